#!/bin/sh
# Runs every linter, all of them even when one fails, so that one run tells the whole story.
# Once the environments are there, nothing here reaches the network.
set -eu

cd "$(dirname "$0")/.."
tools/setup.sh
PATH="$PWD/.venv/bin:$PATH"
export PATH
export ANSIBLE_CONFIG="$PWD/ansible.cfg" ANSIBLE_HOME="$PWD/.ansible"

failed=

# check <name> <command...>: runs it and remembers its name if it fails.
check() {
    name=$1
    shift
    if "$@"; then
        printf '%s: ok\n' "$name"
    else
        printf '%s: FAILED\n' "$name"
        failed="$failed $name"
    fi
}

# The Python files that run in .venv.
python_sources() {
    # Through the link, so that the collection's modules have the names by which they are imported.
    find collections/ansible_collections/spot_train/core/plugins/ docs files/instance tools tests packages -name '*.py' \
        -not -path 'tests/*/predictor/*' -not -path tests/support/predictor.py \
        -not -path 'tools/benchmarks/instance/*' 2>/dev/null
}

check ruff ruff check --quiet .
check ruff-format ruff format --check --quiet .
# shellcheck disable=SC2046  # A list of paths without blanks.
check mypy mypy $(python_sources)
if [ -d files/predictor/src ]; then
    check mypy-predictor env MYPYPATH=files/predictor/src \
        mypy files/predictor/src tests/unit/predictor tests/integration/predictor \
        tests/support/predictor.py tools/benchmarks/instance
fi
check shellcheck shellcheck tools/*.sh .ci/run
check yamllint yamllint --strict .
check ansible-lint ansible-lint

if [ -n "$failed" ]; then
    printf 'make lint: failed:%s\n' "$failed" >&2
    exit 1
fi
