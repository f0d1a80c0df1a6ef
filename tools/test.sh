#!/bin/sh
# test.sh [--all] [pytest's arguments...]: sets everything up, then runs linters and tests.
# Without --all: what is not marked slow (CONTRIBUTING.md). With it: the same, then the slow tests, for which it also makes
# .venv-2.21. TESTS=<files> runs all tests of those files, without linters.
# The last line is pytest's summary. The exit code is 1 if anything failed.
set -eu

cd "$(dirname "$0")/.."
all=
if [ "${1:-}" = --all ]; then
    all=yes
    shift
fi
tools/setup.sh ${all:+2.21}
tools/faketime.sh
PATH="$PWD/.venv/bin:$PATH"
export PATH
export ANSIBLE_CONFIG="$PWD/ansible.cfg" ANSIBLE_HOME="$PWD/.ansible"

failed=0
chosen=${TESTS:-}${*:+ $*}

# run_pytest <arguments...>: "no test matched" is a failure only if nothing was chosen.
run_pytest() {
    code=0
    python -m pytest "$@" || code=$?
    if [ "$code" -ne 0 ] && { [ "$code" -ne 5 ] || [ -z "$chosen" ]; }; then failed=1; fi
}

# run_workers <arguments...>: five workers for two cores, since most tests wait for a run. The tests of a file share expensive
# fixtures and stay together. In the order given, the longest first: xdist would start the files with few tests last, which
# are the longest.
run_workers() {
    run_pytest -n 5 --dist loadfile --no-loadscope-reorder --durations 15 "$@"
}

if [ -n "${TESTS:-}" ]; then
    # shellcheck disable=SC2086  # A list of paths.
    run_workers $TESTS "$@"
    exit "$failed"
fi

# Next to the unit tests, which need one core.
output=$(mktemp)
trap 'rm -f "$output"' EXIT
tools/lint.sh >"$output" 2>&1 &
lint=$!
run_pytest -q tests/unit "$@"
wait "$lint" || failed=1
cat "$output"

run_workers -m "not slow" tests/e2e tests/integration packages/local_aws/tests "$@"
if [ -n "$all" ]; then
    run_workers -m slow tests/e2e/molecule tests/integration/policies tests/integration/awx tests/e2e/runs/test_ordinary_user.py \
        tests/integration/account_setup tests/e2e tests/integration packages/local_aws/tests "$@"
fi
exit "$failed"
