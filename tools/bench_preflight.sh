#!/bin/sh
# Brings .venv up to date, then measures the preflight. Arguments go to tools/benchmarks/preflight_scan.py.
set -eu

cd "$(dirname "$0")/.."
tools/setup.sh
exec .venv/bin/python -m tools.benchmarks.preflight_scan "$@"
