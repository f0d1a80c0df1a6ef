"""The preflight's checks, one file each, discovered automatically.

A check is a file `c<order>_<name>.py` whose first line states what holds when it passes. It defines `GROUP` (one of
`preflight.GROUPS`), `REMEDY` (what to do when it fails, one line) and `run(context: Context) -> Finding`, which writes
nothing. `run` imports the packages that it needs, so that a missing one fails that check only. The text of a
`PredictorError` becomes the detail of a failed check. A test requires a section of that name in `docs/preflight.md`.
"""

from __future__ import annotations
