"""The preflight's checks, one small file each, found without registration.

A new check is a file `c<order>_<name>.py` in this folder with one function, `run(context: Context) -> Finding`.
It imports what it needs inside that function, so that a missing package fails one check and not the preflight.
It may raise `PredictorError`, whose text becomes the detail of a failed check. It writes nothing.
"""

from __future__ import annotations
