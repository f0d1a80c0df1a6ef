#!/bin/sh
# Makes the environment if need be, and faketime for the drills of the clock, then breaks runs on purpose.
# The first argument is the module: drills or drills.soak. The others go to it.
set -eu

cd "$(dirname "$0")/.."
scripts/setup.sh controller
if ! command -v faketime >/dev/null && [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
    apt-get update -qq && apt-get install -y -qq --no-install-recommends faketime >/dev/null
fi
exec .venv/bin/python -m "$@"
