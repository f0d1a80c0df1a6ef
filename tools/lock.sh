#!/bin/sh
# Regenerates every lock file: for all platforms and Python 3.11 to 3.13, with hashes, with no index address.
# Versions stay as they are unless a requirement changed; arguments (--upgrade) go to uv.
set -eu

cd "$(dirname "$0")/.."
export UV_PYTHON_DOWNLOADS=never UV_SYSTEM_CERTS=1

# lock <folder> <name> [options...]: <name>.in -> <name>.lock
lock() {
    folder=$1 name=$2
    shift 2
    (
        cd "$folder"
        "$uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
            --custom-compile-command 'make lock' "$@" "$name.in" --output-file "$name.lock"
    )
    printf '%s/%s.lock\n' "$folder" "$name"
}

uv=$PWD/.venv/bin/uv
lock . requirements "$@"
lock . requirements-controller --constraints requirements.lock "$@"
lock files/predictor requirements "$@"
lock files/predictor requirements-dev "$@"
