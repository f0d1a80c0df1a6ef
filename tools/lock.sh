#!/bin/sh
# Regenerates every lock file: for all platforms and Python 3.11 to 3.13, with hashes, without the address of an index.
# Versions stay as they are unless a requirement changed; arguments (--upgrade) go to uv.
set -eu

cd "$(dirname "$0")/.."

# lock <file> <sources and options...>
lock() {
    file=$1
    shift
    .venv/bin/python -I tools/setup.py uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
        --no-emit-index-url --custom-compile-command 'make lock' --output-file "$file" "$@"
    printf '%s\n' "$file"
}

# The instance's packages first: .venv holds the same versions.
predictor=files/predictor/requirements
lock "$predictor.lock" "$predictor.in" "$@"
lock requirements.lock pyproject.toml packages/local_aws/pyproject.toml "$predictor.in" --constraints "$predictor.lock" \
    --extra prices --group collections --group dev --group docs "$@"
lock requirements-controller.lock pyproject.toml --group execution-environment --constraints requirements.lock "$@"
