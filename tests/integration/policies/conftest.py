"""One embedded AWS in which everything that uses the policies runs once and is recorded."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tools.policies.recording import Recording, record
from tools.policies.scene import Scene


@pytest.fixture(scope="session")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """An account with the project's policies; at the end it must stop completely."""
    scene = Scene(tmp_path_factory.mktemp("policies"))
    with scene.running():
        yield scene
    scene.account.assert_ended()


@pytest.fixture(scope="session")
def recording(scene: Scene) -> Recording:
    """The recorded policy decisions."""
    return record(scene)
