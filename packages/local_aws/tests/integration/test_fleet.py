"""Races between boot and termination."""

from __future__ import annotations

import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from local_aws import fleet
from local_aws.faults import Faults
from local_aws.machines import Isolation, Machine
from local_aws.state import reserve


def test_instance_terminated_during_boot_leaves_no_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    booting, go_on = threading.Event(), threading.Event()
    machines: list[Machine] = []

    class SlowMachine(Machine):
        def start(self) -> None:
            machines.append(self)
            booting.set()
            assert go_on.wait(30)
            super().start()

    monkeypatch.setattr(fleet, "Machine", SlowMachine)
    monkeypatch.setattr("local_aws.ec2.backend", lambda: SimpleNamespace(lock=threading.RLock()))
    instance: Any = SimpleNamespace(
        id="i-1", user_data=None, private_dns_name="ip-1.ec2.internal", state="shutting-down"
    )
    kept = fleet.Fleet(
        reserve(tmp_path), Faults(), Isolation.PROCESS_GROUP, boot_delay=0.0, on_gone=lambda instance_id: None
    )
    kept.boot(instance)
    assert booting.wait(30)
    end = threading.Thread(target=kept.halt, args=(instance,), kwargs={"destroy": True})
    end.start()
    end.join(0.5)  # as far as it gets during the boot
    go_on.set()
    end.join(60)
    boots = [thread for thread in threading.enumerate() if thread.name == "boot-i-1"]
    for thread in boots:
        thread.join(60)
    try:
        assert not end.is_alive() and not kept.active()
        assert not (tmp_path / "machines" / "i-1").exists()
    finally:
        machines[0].destroy()


def test_instance_terminated_before_boot_never_boots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    instance: Any = SimpleNamespace(id="i-1", user_data=None)
    kept = fleet.Fleet(
        reserve(tmp_path), Faults(), Isolation.PROCESS_GROUP, boot_delay=0.0, on_gone=lambda instance_id: None
    )
    monkeypatch.setattr(threading, "Thread", lambda **_: SimpleNamespace(start=lambda: None))
    kept.boot(instance)
    monkeypatch.undo()
    kept.halt(instance, destroy=True)
    kept._boot(kept._live["i-1"])
    assert not kept.active() and not (tmp_path / "machines").exists()
