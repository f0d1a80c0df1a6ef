"""The drills, grouped by what they break."""

from __future__ import annotations

from tools.drills.catalogue import connection, ending, interruption, launching, layers, others, signals
from tools.drills.drill import Drill


def all_drills() -> list[Drill]:
    """Every drill, in the order of the documentation."""
    parts = (signals, layers, connection, launching, interruption, ending, others)
    return [drill for part in parts for drill in part.DRILLS]
