#!/bin/sh
# Makes the two environments if need be, then measures the training. Arguments go to tools/benchmarks/train_scale.py.
set -eu

cd "$(dirname "$0")/.."
tools/setup.sh controller predictor
exec .venv/bin/python -m tools.benchmarks.train_scale "$@"
