"""The reserved port."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from local_aws import state


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ("32768\t60999\n", [*range(10_000, 32_768), *range(61_000, 65_536)]),
        ("1024 60999", range(61_000, 65_536)),
        ("1024 65535", range(1_024, 65_536)),
        ("nothing of the kind", range(1_024, 65_536)),
        (None, range(1_024, 65_536)),
    ],
    ids=["usual", "from_low_on", "all", "damaged", "no_linux"],
)
def test_free_port_avoids_the_ephemeral_range(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str | None, wanted: range | list[int]
) -> None:
    path = tmp_path / "ip_local_port_range"
    if given is not None:
        path.write_text(given)
    monkeypatch.setattr(state, "PORT_RANGE", path)

    ports = [state.free_port() for _ in range(20)]

    assert [port for port in ports if port not in wanted] == []


def test_free_port_skips_ports_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    free = state.free_port()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        monkeypatch.setattr(state, "_ports_outside_ephemeral_range", lambda: [taken.getsockname()[1], free])

        assert state.free_port() == free
