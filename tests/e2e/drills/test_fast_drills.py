"""The fast drills of `make drill`: each breaks a real run and must hold."""

from __future__ import annotations

import pytest

from tests.support.stage import Stage
from tests.support.waiting import busy_seconds
from tools.drills.catalogue import all_drills
from tools.drills.drill import Drill, perform

FAST = [drill for drill in all_drills() if drill.fast]


@pytest.mark.parametrize("drill", FAST, ids=[drill.name for drill in FAST])
def test_drill_holds(drill: Drill, stage: Stage) -> None:
    row = perform(drill, stage, slack=busy_seconds(10))

    assert row.problems == []
