"""How processes and machines end."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from local_aws.machines import Isolation

pytestmark = pytest.mark.slow

if TYPE_CHECKING:
    from .conftest import Driver

namespaced = pytest.mark.parametrize("driver", [Isolation.OVERLAY, Isolation.USER_NAMESPACE], indirect=True, ids=str)


def test_daemon_outlives_its_session_and_not_its_machine(driver: Driver) -> None:
    box = driver.machine()
    mark = driver.mark()
    # A double fork with its own session, as Ansible's async wrapper does, for each user.
    daemon = f"setsid sh -c 'sleep {mark} & exit'"
    box.out(f"{daemon}; sudo {daemon}; true >/dev/null")
    driver.eventually(lambda: len(driver.processes_with(f"\0{mark}\0")) == 2, "the daemons do not run")
    number = box.spawn(f"{daemon}; sleep 1000")
    driver.eventually(lambda: len(driver.processes_with(f"\0{mark}\0")) == 3, "the third daemon does not run")
    assert driver.ask("kill-command", number=number, limit=10)["code"] == -signal.SIGKILL
    assert len(driver.processes_with(f"\0{mark}\0")) == 3
    box.state("kill")
    assert not driver.processes_with(f"\0{mark}\0")
    assert box.state()["reasons"] == ["killed"]
    assert not box.state()["alive"]


def test_killing_a_command_kills_its_session(driver: Driver) -> None:
    box = driver.machine()
    mark = driver.mark()
    number = box.spawn(f"sleep {mark} & exit 0")
    assert driver.ask("wait-command", number=number, limit=10)["code"] == 0
    driver.eventually(lambda: bool(driver.processes_with(f"\0{mark}\0")), "the process in the session does not run")
    driver.ask("kill-command", number=number, limit=10)
    driver.gone(f"\0{mark}\0")


def test_forking_tree_is_killed(driver: Driver) -> None:
    box = driver.machine()
    mark = driver.mark()
    box.spawn(f"while :; do setsid sh -c 'sleep {mark} & setsid sleep {mark} &' & sleep 0.05; done", "root")
    driver.eventually(lambda: len(driver.processes_with(f"\0{mark}\0")) > 6, "the tree does not grow")
    box.state("destroy")
    driver.gone(f"\0{mark}\0")
    assert not box.state()["folder"]


def test_only_root_shuts_down(driver: Driver) -> None:
    box = driver.machine()
    for command in ("shutdown now", "poweroff", "halt", "reboot", "shutdown -c"):
        answer = box.run(command)
        assert answer["code"] == 1 and "must be root" in answer["out"], command
    assert box.state()["alive"]


def test_shutdown_now_ends_the_machine_and_all_in_it(driver: Driver) -> None:
    box = driver.machine()
    mark = driver.mark()
    stubborn = box.spawn(f"trap '' TERM HUP; setsid sleep {mark} & while :; do sleep 1; done", "root")
    driver.eventually(lambda: bool(driver.processes_with(f"\0{mark}\0")), "the process does not run")
    box.run("sudo shutdown -h now")
    assert box.state("wait", limit=20)["over"]
    assert driver.ask("wait-command", number=stubborn, limit=5)["code"] == -signal.SIGKILL
    assert not driver.processes_with(f"\0{mark}\0")
    driver.eventually(lambda: box.state()["reasons"] == ["shutdown"], "the reason is not reported")
    answer = box.run("echo too late")
    assert answer["failure"] == "MachineError" and "\n" not in answer["text"]


def test_processes_get_sigterm_before_shutdown(driver: Driver) -> None:
    shared = driver.top / "shared"
    box = driver.machine(shared={str(shared): "/mnt/shared"}, environment={"PLACE": "/mnt/shared"})
    box.spawn('trap "echo bye >$PLACE/note; exit" TERM; touch $PLACE/up; while :; do sleep 0.1; done', "root")
    driver.eventually((shared / "up").exists, "the process does not run")
    box.run("sudo poweroff")
    assert box.state("wait", limit=20)["over"]
    assert (shared / "note").read_text() == "bye\n"


def test_scheduled_shutdown_can_be_shown_and_cancelled(driver: Driver) -> None:
    box = driver.machine(minute_seconds=0.5)
    answer = box.run("sudo shutdown -P +600")
    assert answer["code"] == 0 and answer["out"].startswith("Shutdown scheduled for ")
    assert "use 'shutdown -c' to cancel." in answer["out"]
    assert "Shutdown scheduled" in box.run("shutdown --show")["out"]
    assert box.run("sudo shutdown -c")["code"] == 0
    assert box.run("shutdown --show")["out"].strip() == "No scheduled shutdown." and box.state()["alive"]
    assert box.run("sudo shutdown +soon")["code"] == 1
    box.run("sudo shutdown -P +1")
    assert box.state("wait", limit=20)["over"]
    driver.eventually(lambda: box.state()["reasons"] == ["shutdown"], "the reason is not reported")


def test_dead_man_switch_outlives_user_data(driver: Driver) -> None:
    box = driver.machine(minute_seconds=0.05, user_data=b"#!/bin/sh\nshutdown -P +100 'lease is over'\n")
    assert box.state("booted", limit=0)["code"] == 0
    assert box.state("wait", limit=20)["over"]
    driver.eventually(lambda: box.state()["reasons"] == ["shutdown"], "the reason is not reported")


def test_reboot_kills_every_process_and_keeps_the_machine(driver: Driver) -> None:
    box = driver.machine(user_data=b"#!/bin/sh\necho again >>~/boots\n")
    number = box.spawn("setsid sleep 1000 & sleep 1000")
    box.run("sudo reboot")
    assert driver.ask("wait-command", number=number, limit=20)["code"] is not None
    assert box.out("cat ~/boots", "root") == "again"
    assert box.state()["alive"] and not box.state()["reasons"]


@namespaced
def test_host_cannot_be_shut_down_by_any_path(driver: Driver) -> None:
    box = driver.machine()
    names = "shutdown poweroff halt reboot telinit systemctl"
    folders = "/usr/local/sbin /usr/local/bin /usr/sbin /usr/bin /sbin /bin"
    listing = box.out(
        f"for d in {folders}; do for n in {names}; do test -e $d/$n && grep -c machines.client $d/$n; done; done; true"
    )
    assert set(listing.split()) <= {"1"}
    assert box.run("/usr/bin/env PATH=/usr/sbin:/usr/bin:/sbin:/bin systemctl poweroff")["code"] == 1
    assert box.out("ls -A /run") == "local-aws\nlock\nuser"  # neither systemd's socket nor the bus


@namespaced
def test_reboot_system_call_ends_only_the_machine(driver: Driver) -> None:
    box = driver.machine()
    # LINUX_REBOOT_CMD_POWER_OFF: safe, as this machine has its own process-id namespace.
    assert box.out("readlink /proc/self/ns/pid") != os.readlink("/proc/self/ns/pid")
    script = "import ctypes; ctypes.CDLL(None).reboot(0x4321fedc)"
    box.run(["python3", "-c", script], "root")
    assert box.state("wait", limit=20)["over"]
    driver.eventually(lambda: box.state()["reasons"] == ["shutdown"], "the reason is not reported")


def test_killed_owner_leaves_nothing(driver: Driver) -> None:
    mark = driver.mark()
    box = driver.machine()
    box.spawn(f"setsid sleep {mark} & sudo setsid sleep {mark}")
    driver.eventually(lambda: len(driver.processes_with(f"\0{mark}\0")) >= 2, "the process does not run")
    driver.process.kill()
    driver.process.wait()
    driver.gone(f"\0{mark}\0")
    driver.gone(str(driver.top))
    assert str(driver.top) not in Path("/proc/self/mountinfo").read_text()


def test_killed_init_is_a_crash_and_leaves_nothing(driver: Driver) -> None:
    mark = driver.mark()
    box = driver.machine()
    number = box.spawn(f"setsid sleep {mark} & sleep 1000")
    driver.eventually(lambda: bool(driver.processes_with(f"\0{mark}\0")), "the process does not run")
    os.kill(box.pid, signal.SIGKILL)
    assert box.state("wait", limit=20)["over"]
    assert driver.ask("wait-command", number=number, limit=5)["code"] == -signal.SIGKILL
    driver.gone(f"\0{mark}\0")
    driver.eventually(lambda: box.state()["reasons"] == ["crashed"], "the reason is not reported")


def test_killed_monitor_leaves_nothing(driver: Driver) -> None:
    mark = driver.mark()
    box = driver.machine()
    box.spawn(f"setsid sleep {mark} & sleep 1000")
    driver.eventually(lambda: bool(driver.processes_with(f"\0{mark}\0")), "the process does not run")
    status = Path(f"/proc/{box.pid}/stat").read_text()
    os.kill(int(status.rpartition(")")[2].split()[1]), signal.SIGKILL)
    assert box.state("wait", limit=20)["over"]
    driver.gone(f"\0{mark}\0")


def test_orphans_are_collected(driver: Driver) -> None:
    box = driver.machine()
    mark = driver.mark()
    box.out(f"for i in 1 2 3 4 5; do (sh -c 'exit 0' {mark} &) ; done")
    init = box.pid

    def zombies() -> list[str]:
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    fields = (entry / "stat").read_text().rpartition(")")[2].split()
                except OSError:
                    continue
                if fields[0] == "Z" and int(fields[1]) == init:
                    found.append(entry.name)
        return found

    driver.eventually(lambda: not zombies(), "zombies are left")
