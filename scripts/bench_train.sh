#!/bin/sh
# Makes the two environments if need be, then measures the training. Arguments go to benchmarks/train_scale.py.
set -eu

cd "$(dirname "$0")/.."
scripts/setup.sh controller predictor
exec .venv/bin/python -m benchmarks.train_scale "$@"
