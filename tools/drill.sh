#!/bin/sh
# Makes the environment if need be, and faketime for the drills of the clock, then breaks runs on purpose.
# The first argument is the module: drills, drills.soak or drills.training_kills. The others go to it.
set -eu

cd "$(dirname "$0")/.."
environments=controller
case $1 in
    drills.training_kills) environments="controller predictor" ;;
esac
# shellcheck disable=SC2086  # A list of names.
tools/setup.sh $environments
tools/faketime.sh
exec .venv/bin/python -m "$@"
