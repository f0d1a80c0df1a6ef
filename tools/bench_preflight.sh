#!/bin/sh
# Makes the two environments if need be, then measures the preflight. Arguments go to tools/benchmarks/preflight_scan.py.
set -eu

cd "$(dirname "$0")/.."
tools/setup.sh controller predictor
exec .venv/bin/python -m tools.benchmarks.preflight_scan "$@"
