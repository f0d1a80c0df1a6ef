"""One embedded AWS in which everything that uses the policies is done once, and recorded."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tools.policies.recording import Recording, record
from tools.policies.scene import Scene


@pytest.fixture(scope="session")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """An account under the supplied policies; stopped, and nothing of it left, at the end."""
    made = Scene(tmp_path_factory.mktemp("policies"))
    with made.running():
        yield made
    made.account.assert_ended()


@pytest.fixture(scope="session")
def recording(scene: Scene) -> Recording:
    """What was asked of the policies."""
    return record(scene)
