#!/bin/sh
# Finds a Python, git and curl, then makes .venv, and with the argument 2.21 also .venv-2.21 (tools/setup.py).
# PYTHON=<interpreter> overrides the search. One line lists everything that is missing.
set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd -P)

die() {
    printf 'make setup: %s\n' "$1" >&2
    exit 1
}

# Prints the real path of an interpreter that this project supports, or fails: neither a shim nor the one in .venv, which
# set-up may replace.
supported() {
    "$1" -I -c '
import os, sys
print(os.path.realpath(sys.executable))
sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))
' 2>/dev/null
}

missing=
for tool in git curl; do
    command -v "$tool" >/dev/null 2>&1 || missing="${missing:+$missing, }$tool"
done

python=
if [ -n "${PYTHON:-}" ]; then
    python=$(supported "$PYTHON") || missing="${missing:+$missing, }Python 3.11 to 3.13 (not PYTHON=$PYTHON)"
else
    # An existing environment keeps its Python without PYTHON=.
    for candidate in "$root/.venv/bin/python" python3 python3.13 python3.12 python3.11; do
        if python=$(supported "$candidate"); then break; fi
        python=
    done
    [ -n "$python" ] || missing="${missing:+$missing, }Python 3.11 to 3.13 (or set PYTHON=<path>)"
fi
[ -z "$missing" ] || die "missing: $missing"

exec "$python" -I "$root/tools/setup.py" "$@"
