"""The preflight's checks, one small file each, found without registration.

A new check is a file `c<order>_<name>.py` in this folder with a first line that says what holds when it passes, with
`GROUP` (one of `preflight.GROUPS`), `REMEDY` (what to do when it fails, one line) and one function,
`run(context: Context) -> Finding`. It imports what it needs inside that function, so that a missing package fails one
check and not the preflight. It may raise `PredictorError`, whose text becomes the detail of a failed check. It writes
nothing. `docs/preflight.md` gets a section of its name; a test holds the two equal.
"""

from __future__ import annotations
