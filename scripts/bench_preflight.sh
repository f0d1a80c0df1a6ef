#!/bin/sh
# Makes the two environments if need be, then measures the preflight. Arguments go to benchmarks/preflight_scan.py.
set -eu

cd "$(dirname "$0")/.."
scripts/setup.sh controller predictor
exec .venv/bin/python -m benchmarks.preflight_scan "$@"
