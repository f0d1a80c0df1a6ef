"""Training: read, build features and labels, walk forward, judge, write.

One direction: `run` uses all others; `walk_forward` uses `layer1`, `meta` and `folds`; the rest use only `ic`, `rows`.
Arrays are wide (days x symbols) until `rows` makes them long, ordered by day, so that a fold's rows are a slice.
"""

from __future__ import annotations
