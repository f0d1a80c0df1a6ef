#!/bin/sh
# Brings .venv up to date, installs faketime for the clock drills, then breaks runs on purpose.
# The first argument is the module: tools.drills, tools.drills.soak or tools.drills.training_kills. The others go to it.
set -eu

cd "$(dirname "$0")/.."
tools/setup.sh
tools/faketime.sh
exec .venv/bin/python -m "$@"
