#!/bin/sh
# Removes what setup, tests and runs made, except runs/. `make clean` stops the embedded AWS first.
set -eu

cd "$(dirname "$0")/.."
rm -rf .venv .venv-2.21 .venv.lock .local_aws .cache \
    .ansible .hypothesis .mypy_cache .pytest_cache .ruff_cache
find . -name __pycache__ -type d -not -path './runs/*' -prune -exec rm -rf {} +
