"""Boot, disk, and the parts of the host that a machine sees."""

from __future__ import annotations

import os
import shutil
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from local_aws.machines import Isolation

pytestmark = pytest.mark.slow

if TYPE_CHECKING:
    from collections.abc import Callable

    from .conftest import Driver

namespaced = pytest.mark.parametrize("driver", [Isolation.OVERLAY, Isolation.USER_NAMESPACE], indirect=True, ids=str)


def test_it_boots_and_runs_its_user_data_once_as_root(driver: Driver) -> None:
    script = b"#!/bin/sh\necho user $USER id $(id -u) home $HOME\nenv\necho again >>~/boots\necho oops >&2\nexit 3\n"
    box = driver.machine(user_data=script, environment={"AWS_ENDPOINT_URL": "http://127.0.0.1:9"})
    assert box.state("booted", limit=0)["code"] == 3
    console = box.state()["console"]
    uid = driver.uid if driver.level == Isolation.PROCESS_GROUP else 0
    assert f"user root id {uid} " in console and "oops" in console and "exit status 3" in console
    assert "AWS_ENDPOINT_URL=http://127.0.0.1:9" in console
    assert "SECRET_OF_THE_HOST" not in console and "/nowhere" not in console
    assert box.out("cat ~/boots", "root") == "again"


def test_stopped_machine_keeps_disk_and_skips_user_data(driver: Driver) -> None:
    script = b"#!/bin/sh\necho again >>~/boots\n"
    first = driver.machine("first", at="disk", user_data=script)
    first.run("sudo shutdown now")
    assert first.state("wait", limit=20)["over"]
    second = driver.machine("second", at="disk", user_data=script)
    assert second.out("cat ~/boots", "root") == "again"
    assert second.out("sudo id -u") == second.out("id -u", "root")
    assert second.out([os.path.realpath("/bin/sh"), "-c", "python3 -c 'print(6 * 7)'"]) == "42"


@pytest.mark.parametrize("data", [b"#cloud-config\npackages: [git]\n", b"\x1f\x8b\x08zip", b""])
def test_non_script_user_data_is_skipped_and_reported(driver: Driver, data: bytes) -> None:
    box = driver.machine(user_data=data)
    assert box.state("booted", limit=0)["code"] is None
    assert "user data: expected a script (#!), got" in box.state()["console"]


def test_missing_interpreter_fails_user_data_only(driver: Driver) -> None:
    box = driver.machine(user_data=b"#!/no/such/program\n")
    assert box.state("booted", limit=0)["code"] == 126
    assert "user data cannot be run" in box.state()["console"]
    assert box.out("echo alive") == "alive"


@namespaced
def test_writes_of_machine_root_stay_off_the_host(driver: Driver) -> None:
    mark = f"proof-{uuid.uuid4().hex}"
    places = [
        "/opt",
        "/root",
        "/home",
        "/tmp",
        "/var/tmp",
        "/etc",
        "/run",
        "/dev/shm",
        "/srv",
        "/var/log",
        "/var/cache",
    ]
    if driver.level == Isolation.OVERLAY:
        places += ["/", "/usr/bin", "/usr/lib", "/var/lib"]
    box = driver.machine()
    box.out(f"for each in {' '.join(places)}; do echo x >$each/{mark} && cat $each/{mark} || exit 1; done", "root")
    for place in places:
        assert not os.path.lexists(f"{place}/{mark}"), place
    if driver.level == Isolation.OVERLAY:
        # Deletions and changes of the host's files stay on the machine's disk, too.
        host = Path("/etc/passwd").read_text()
        box.out("rm /usr/bin/env && echo x >>/etc/passwd && ! test -e /usr/bin/env", "root")
        assert os.path.exists("/usr/bin/env") and Path("/etc/passwd").read_text() == host
    box.state("destroy")
    assert not box.state()["folder"]


@pytest.mark.parametrize("driver", [Isolation.PROCESS_GROUP], indirect=True, ids=str)
def test_process_group_keeps_homes_in_its_folder(driver: Driver) -> None:
    box = driver.machine()
    for user in ("root", "ssm-user"):
        for place in box.out('echo "$HOME"; echo "$TMPDIR"', user).splitlines():
            assert Path(place).is_relative_to(driver.folder / "one") and os.path.isdir(place)


@namespaced
def test_machine_has_own_name_processes_and_devices(driver: Driver) -> None:
    box = driver.machine("name")
    assert box.out("hostname") == "ip-name"
    assert box.out("getent hosts ip-name | head -1") != ""
    assert box.out("ps -e -o pid= | head -1").strip() == "1"
    assert set(box.out("ls /home").split()) == {"ssm-user"}
    assert box.out("ls -A /tmp") == ""
    assert box.out("echo x >/dev/null; head -c 4 /dev/urandom | wc -c; test -c /dev/ptmx && ls /dev/pts") == "4\nptmx"
    assert box.run("echo 1 >/proc/sys/kernel/panic", "root")["code"] != 0
    assert box.run("echo s >/proc/sysrq-trigger", "root")["code"] != 0
    assert not box.run("cat /etc/resolv.conf")["code"]


@pytest.mark.parametrize("driver", [Isolation.OVERLAY], indirect=True, ids=str)
def test_machine_root_cannot_reach_host_clock_network_or_disks(driver: Driver) -> None:
    box = driver.machine()
    bounding = int(box.out("grep CapBnd /proc/self/status", "root").split()[1], 16)
    for capability in (12, 16, 17, 25, 27):
        assert not bounding >> capability & 1
    assert box.run("mknod /tmp/disk b 8 0", "root")["code"] != 0


def test_machines_are_isolated_from_each_other(driver: Driver) -> None:
    one, two = driver.machine("one"), driver.machine("two")
    mark = driver.mark()
    one.spawn(f"sleep {mark}")
    two.spawn(f"sleep {mark}")
    driver.eventually(lambda: len(driver.processes_with(f"\0{mark}\0")) >= 2, "sleep does not run in both")
    one.out("echo mine >~/note", "root")
    assert two.run("test -e ~/note", "root")["code"] == 1
    if driver.level != Isolation.PROCESS_GROUP:
        assert two.out("pgrep -c sleep", "root") == "1"
    one.state("destroy")
    assert two.out("echo alive") == "alive" and driver.processes_with(f"\0{mark}\0")
    assert (one.state()["folder"], two.state()["folder"]) == (False, True)


def test_shared_folder_is_writable_and_on_the_host(driver: Driver) -> None:
    shared = driver.top / "cache"
    box = driver.machine(shared={str(shared): "/var/cache/packages"}, environment={"CACHE": "/var/cache/packages/pip"})
    box.out("mkdir -p $CACHE && echo kept >$CACHE/wheel", "root")
    assert (shared / "pip/wheel").read_text() == "kept\n"
    box.state("destroy")
    assert (shared / "pip/wheel").read_text() == "kept\n"


@namespaced
def test_hidden_folders_cannot_be_read(driver: Driver) -> None:
    secret = driver.top / "state"
    secret.mkdir()
    (secret / "key").write_text("secret")
    box = driver.machine(hidden=[str(secret)])
    assert box.run(["cat", str(secret / "key")], "root")["code"] != 0
    assert box.run(["ls", str(driver.folder / "one" / "disk")], "root")["code"] != 0
    assert box.run(["ls", "/run/host"], "root")["code"] != 0


@namespaced
def test_visible_paths_are_readable_and_read_only(driver: Driver) -> None:
    kept = driver.top / "kept" / "deep"
    kept.mkdir(parents=True)
    (kept / "file").write_text("kept")
    (driver.top / "link").symlink_to(kept / "file")
    visible = [str(kept), str(driver.top / "link")]
    for name in ("one", "two"):  # the second boots on the same disk
        box = driver.machine(name, at="disk", visible=visible)
        for user in ("root", "ssm-user"):
            assert box.out(["cat", str(kept / "file"), str(driver.top / "link")], user) == "keptkept"
            assert box.run(["touch", str(kept / "file")], user)["code"] != 0
        box.state("kill")


def test_every_user_has_python_and_its_library(driver: Driver) -> None:
    box = driver.machine()
    for user in ("root", "ssm-user"):
        box.out(["python3", "-c", "import json, ssl, sqlite3"], user)
    interpreter = box.out('head -n 1 "$(readlink -f "$(command -v sudo)")" | cut -c3- | cut -d\' \' -f1')
    assert box.out([interpreter, "-IS", "-c", "import ctypes; print(6 * 7)"]) == "42"


def test_boot_failure_is_one_line_and_leaves_nothing(driver: Driver) -> None:
    folder = str(driver.folder / "broken")
    answer = driver.ask("start", name="broken", folder=folder, level=driver.level, boot_failure=True)
    assert answer["failure"] == "BootError" and "fault boot_failure" in answer["text"] and "\n" not in answer["text"]
    driver.gone(folder)
    state = driver.ask("destroy", name="broken")
    assert not state["alive"] and not state["folder"]


@pytest.mark.parametrize("kind", ["tmpfs", "overlay"])
def test_machine_sees_every_host_file_system(kind: str, tmp_path: Path, make_driver: Callable[..., Driver]) -> None:
    """A container-like host: several file systems, and a state folder on one that cannot be an upper side."""
    if shutil.which("unshare") is None:
        pytest.skip("needs util-linux")
    top = tmp_path / "host"
    top.mkdir()
    lower = f"-t overlay none -o lowerdir=/usr/share,upperdir={top}/t/u,workdir={top}/t/w"
    # In the driver's mount namespace, invisible to this host.
    script = f"""set -e
        mount --make-rprivate /
        mount -t tmpfs none /media; echo host >/media/file; mkdir /media/locked; mount -t tmpfs -o ro none /media/locked
        mkdir {top}/t {top}/state; mount -t tmpfs none {top}/t; cd {top}/t; mkdir u w bin-u bin-w
        mount -t overlay none -o lowerdir=/usr/bin,upperdir=bin-u,workdir=bin-w /usr/bin; rm -f /usr/bin/python3
        mount {lower if kind == "overlay" else "-t tmpfs none"} {top}/state
        exec "$@" """
    driver = make_driver(Isolation.OVERLAY, wrap=("unshare", "--mount", "sh", "-c", script, "sh"))
    driver.folder = top / "state"
    box = driver.machine()
    assert box.out("cat /media/file") == "host"
    assert box.out("echo mine >/media/file && echo x >/opt/mine && cat /media/file /opt/mine", "root") == "mine\nx"
    assert box.run("touch /media/locked/x", "root")["code"] != 0
    # An image has python3 even if the host does not.
    assert box.out("command -v python3 && python3 -c 'print(6 * 7)'") == "/usr/bin/python3\n42"
    assert driver.machine("two").out("cat /media/file") == "host"
    assert not Path("/opt/mine").exists()
    box.state("destroy")
    assert not box.state()["folder"]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
@pytest.mark.parametrize("level", [Isolation.USER_NAMESPACE, Isolation.PROCESS_GROUP], ids=str)
def test_root_without_mount_permission_gets_the_next_level(
    level: Isolation, make_driver: Callable[..., Driver]
) -> None:
    """Root in a locked-down container."""
    driver = make_driver(level, as_root=True)
    box = driver.machine()
    assert box.run("shutdown now")["code"] == 1
    assert box.out("sudo sh -c 'echo $USER' && sudo shutdown --show; true").startswith("root")
    if level == Isolation.USER_NAMESPACE:
        # Every file of the host belongs to root, and is still read-only.
        for place in ("/usr/bin", "/var/lib", "/boot"):
            assert "Read-only" in box.run(f"touch {place}/mine", "root")["out"]
        assert box.out("touch /opt/mine /etc/mine && echo ok", "root") == "ok"
        assert box.run("touch /opt/other")["code"] != 0
        assert not Path("/opt/mine").exists() and not Path("/etc/mine").exists()
    else:
        assert not int(box.out("grep CapBnd /proc/self/status", "root").split()[1], 16) >> 22 & 1  # CAP_SYS_BOOT
    box.run("sudo poweroff")
    assert box.state("wait", limit=20)["over"]


def test_detect_finds_the_best_isolation(driver: Driver) -> None:
    level = driver.ask("detect", folder=str(driver.folder))["level"]
    assert level in list(Isolation)
    assert not list(driver.folder.iterdir())
    if driver.level != Isolation.PROCESS_GROUP:
        assert level == driver.level
