"""Training: read, build features and labels, walk forward, judge, write.

One direction: `run` uses all others; `walk_forward` uses `layer1`, `meta` and `folds`; the rest use only `ic`, `rows`.
Arrays are wide (days x symbols) until `rows` makes them long, ordered by day, so that a fold's rows are a slice.
"""

from __future__ import annotations

import os

# OpenMP's threads otherwise spin while they wait for each other. On a machine that does something else as well, a
# walk-forward of 25 s was seen to take 265 s. It is read when LightGBM is loaded, so it stands before every import.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
