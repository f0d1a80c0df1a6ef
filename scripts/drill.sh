#!/bin/sh
# Makes the environment if need be, and faketime for the drills of the clock, then breaks runs on purpose.
# The first argument is the module: drills or drills.soak. The others go to it.
set -eu

cd "$(dirname "$0")/.."
scripts/setup.sh controller
scripts/faketime.sh
exec .venv/bin/python -m "$@"
