#!/bin/sh
# Everything, from nothing: the environments, the linters beside the predictor's tests, then all
# other tests.
# TESTS=<files> runs only those, without the linters. Arguments go to pytest.
# The last line is pytest's summary; a failure anywhere makes the exit code 1.
set -eu

cd "$(dirname "$0")/.."
tools/setup.sh 2.21
tools/faketime.sh
PATH="$PWD/.venv/bin:$PATH"
export PATH
export ANSIBLE_CONFIG="$PWD/ansible.cfg" ANSIBLE_HOME="$PWD/.ansible"

failed=0
chosen=${TESTS:-}${*:+ $*}

# run_pytest <python> <arguments...>: "no test matched" is a failure only when nothing was chosen.
run_pytest() {
    code=0
    "$@" || code=$?
    if [ "$code" -ne 0 ] && { [ "$code" -ne 5 ] || [ -z "$chosen" ]; }; then failed=1; fi
}

# The longest first, so that no worker is left alone with one of them at the end.
main_tests=
for path in tests/e2e/molecule tests/integration/account_setup tests/integration/policies tests/e2e/runs tests/e2e/runner \
    tests/integration/termination tests/e2e tests/integration packages/local_aws/tests tests/unit tests/*/ tests/test_*.py; do
    path=${path%/}
    case " $main_tests " in
        *" $path "*) ;;
        *) if [ -e "$path" ]; then main_tests="$main_tests $path"; fi ;;
    esac
done
main_tests=${main_tests:-tests}
predictor_tests="tests/unit/predictor tests/integration/predictor"
if [ -n "${TESTS:-}" ]; then
    main_tests=
    predictor_tests=
    for path in $TESTS; do
        case $path in
            tests/unit/predictor* | tests/integration/predictor*) predictor_tests="$predictor_tests $path" ;;
            *) main_tests="$main_tests $path" ;;
        esac
    done
else
    # Beside the predictor's tests: each keeps about one core busy.
    lint_output=$(mktemp)
    trap 'rm -f "$lint_output"' EXIT
    tools/lint.sh >"$lint_output" 2>&1 &
    lint=$!
fi

# shellcheck disable=SC2086  # Lists of paths.
if [ -n "$predictor_tests" ]; then
    run_pytest .venv/bin/python -m pytest -n 2 --dist loadfile $predictor_tests "$@"
fi
if [ -n "${lint:-}" ]; then
    wait "$lint" || failed=1
    cat "$lint_output"
fi
# shellcheck disable=SC2086
if [ -n "$main_tests" ]; then
    # Five workers for two cores, as most of these tests wait for a run; the tests of a file stay together, as they share
    # what is expensive. In the order given: xdist's own would put the files with few tests last, which here are the
    # longest.
    run_pytest .venv/bin/python -m pytest -n 5 --dist loadfile --no-loadscope-reorder --durations 20 \
        --ignore tests/unit/predictor --ignore tests/integration/predictor $main_tests "$@"
fi
exit "$failed"
