#!/bin/sh
# Installs faketime, by which drills and tests set a controller's clock wrong, where Debian's packages can be installed.
# Where they cannot, what needs it says so: a drill that does not hold, a test that is skipped.
set -eu

if ! command -v faketime >/dev/null && [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
    { apt-get update -qq && apt-get install -y -qq --no-install-recommends faketime >/dev/null; } ||
        printf 'faketime cannot be installed here: what sets a clock wrong is left out\n' >&2
fi
