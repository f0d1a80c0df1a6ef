"""Training: read, build features and labels, walk forward, apply the gates, write.

Imports run one way: `run` uses all other modules; `walk_forward` uses `layer1`, `meta` and `folds`; the rest use `ic`
and `rows`. Arrays are wide (days x symbols) until `rows` makes them long, ordered by day, so that a fold's rows are a
slice.
"""

from __future__ import annotations

import os

# By default OpenMP's threads spin while they wait: on a busy machine, a walk-forward of 25 s took 265 s. LightGBM reads
# the variable when it is loaded, so it is set before every import.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
