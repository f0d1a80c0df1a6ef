#!/bin/sh
# Stops the embedded AWS. Where none was ever started, there is nothing to do and nothing to set up for it.
set -eu

cd "$(dirname "$0")/.."
[ -d "${LOCAL_AWS_HOME:-.local_aws}" ] || exit 0
[ -x .venv/bin/python ] || tools/setup.sh
exec .venv/bin/python -m local_aws stop
