"""The stage of the drills that `make test-all` runs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.stage import Stage


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """An embedded AWS with bystanders."""
    with Stage(tmp_path_factory.mktemp("stage")).running() as running:
        yield running
    running.account.assert_ended()
