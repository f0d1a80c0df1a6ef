#!/bin/sh
# Runs every linter, even after one has failed. Needs no network once the environments exist.
set -eu

cd "$(dirname "$0")/.."
tools/setup.sh
PATH="$PWD/.venv/bin:$PATH"
export PATH
export ANSIBLE_CONFIG="$PWD/ansible.cfg" ANSIBLE_HOME="$PWD/.ansible"

failed=

# check <name> <command...>: runs the command and keeps its name if it fails.
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

# In the background, since it takes as long as all the others. A syntax check needs an inventory, but no plugin that imports
# boto3 to read it.
output=$(mktemp)
trap 'rm -f "$output"' EXIT
ANSIBLE_INVENTORY=inventory/aws/hosts.yml ANSIBLE_INVENTORY_ENABLED=yaml ansible-lint >"$output" 2>&1 &
ansible_lint=$!

check ruff ruff check --quiet .
check ruff-format ruff format --check --quiet .
check shellcheck shellcheck tools/*.sh .ci/run
check yamllint yamllint --strict .
# shellcheck disable=SC2046  # A list of paths without blanks.
check mypy mypy $(python_sources)
check mypy-predictor env MYPYPATH=files/predictor/src \
    mypy files/predictor/src tests/unit/predictor tests/integration/predictor \
    tests/support/predictor.py tools/benchmarks/instance
check ansible-lint wait "$ansible_lint"
cat "$output"

if [ -n "$failed" ]; then
    printf 'make lint: failed:%s\n' "$failed" >&2
    exit 1
fi
