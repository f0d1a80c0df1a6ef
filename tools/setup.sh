#!/bin/sh
# Finds a Python, git and curl, then makes the environments named as arguments (default: controller).
# PYTHON=<interpreter> overrides the search. What is missing is said in one line.
set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd -P)

die() {
    printf 'make setup: %s\n' "$1" >&2
    exit 1
}

# Prints the real path of an interpreter that this project supports, else fails. Not a shim, and not the
# interpreter of .venv, which set-up may have to replace.
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
    # Asked for by name: nothing else will do.
    python=$(supported "$PYTHON") || missing="${missing:+$missing, }Python 3.11 to 3.13 (PYTHON=$PYTHON is none)"
else
    # The environment that is there keeps its Python, so that PYTHON=… need not be repeated.
    for candidate in "$root/.venv/bin/python" python3 python3.13 python3.12 python3.11; do
        if python=$(supported "$candidate"); then break; fi
        python=
    done
    [ -n "$python" ] || missing="${missing:+$missing, }Python 3.11 to 3.13 (PYTHON=<path> names one elsewhere)"
fi
[ -z "$missing" ] || die "missing: $missing"

exec "$python" -I "$root/tools/environments.py" "${@:-controller}"
