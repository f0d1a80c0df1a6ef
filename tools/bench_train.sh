#!/bin/sh
# Brings .venv up to date, then measures the training. Arguments go to tools/benchmarks/train_scale.py.
set -eu

cd "$(dirname "$0")/.."
tools/setup.sh
exec .venv/bin/python -m tools.benchmarks.train_scale "$@"
