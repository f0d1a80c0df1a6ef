"""Pure parts of machines: command lines, users, mount tables, frames."""

from __future__ import annotations

import datetime as dt
import os
import socket
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local_aws.machines import frames, kernel, power, sudo
from local_aws.machines.image import with_user

NOON = dt.datetime(2024, 1, 6, 12, 0)


@pytest.mark.parametrize(
    ("arguments", "user", "command"),
    [
        (["id"], "root", ["id"]),
        (["-H", "-S", "-n", "-p", "[prompt] password:", "-u", "app", "/bin/sh", "-c", "x -u y"], "app", None),
        (["-HSnu", "app", "--", "-odd"], "app", ["-odd"]),
        (["--user=app", "--non-interactive", "--stdin", "--set-home", "ls", "-l"], "app", ["ls", "-l"]),
        (["-u", "#1001", "id"], "#1001", ["id"]),
        (["echo", "--preserve-env", "-u", "x"], "root", ["echo", "--preserve-env", "-u", "x"]),
    ],
)
def test_sudo_finds_the_user_and_leaves_the_command_alone(
    arguments: list[str], user: str, command: list[str] | None
) -> None:
    call = sudo.parse(arguments)
    assert call.action == "run" and call.user == user
    assert call.command == (arguments[7:] if command is None else command)


def test_sudo_takes_assignments_only_before_the_command() -> None:
    call = sudo.parse(["-n", "A=1", "B_2=x=y", "env", "C=3"])
    assert call.assignments == {"A": "1", "B_2": "x=y"} and call.command == ["env", "C=3"]


@pytest.mark.parametrize("arguments", [[], ["-u"], ["-Q", "id"], ["--nothing", "id"], ["-n"]])
def test_sudo_rejects_unknown_options(arguments: list[str]) -> None:
    with pytest.raises(sudo.UsageError, match="usage: sudo"):
        sudo.parse(arguments)


@pytest.mark.parametrize(
    ("arguments", "action"), [(["-v"], "nothing"), (["-k"], "nothing"), (["-l"], "list"), (["-V"], "version")]
)
def test_sudo_without_a_command_has_other_uses(arguments: list[str], action: str) -> None:
    assert sudo.parse(arguments).action == action


@pytest.mark.parametrize(
    ("name", "arguments", "expected"),
    [
        ("shutdown", ["now"], power.PowerCall("schedule", "poweroff", 0)),
        ("shutdown", ["-h", "now", "going", "down"], power.PowerCall("schedule", "poweroff", 0)),
        ("shutdown", ["-P", "+90"], power.PowerCall("schedule", "poweroff", 90)),
        ("shutdown", ["--no-wall", "-H", "5"], power.PowerCall("schedule", "poweroff", 5)),
        ("shutdown", [], power.PowerCall("schedule", "poweroff", 1)),
        ("shutdown", ["-r", "+0"], power.PowerCall("schedule", "reboot", 0)),
        ("shutdown", ["13:30"], power.PowerCall("schedule", "poweroff", 90)),
        ("shutdown", ["11:59"], power.PowerCall("schedule", "poweroff", 24 * 60 - 1)),
        ("shutdown", ["-c"], power.PowerCall("cancel")),
        ("shutdown", ["-k", "now"], power.PowerCall("nothing")),
        ("poweroff", ["-f"], power.PowerCall("schedule", "poweroff", 0)),
        ("halt", ["--reboot"], power.PowerCall("schedule", "reboot", 0)),
        ("reboot", [], power.PowerCall("schedule", "reboot", 0)),
        ("reboot", ["-w"], power.PowerCall("nothing")),
        ("telinit", ["0"], power.PowerCall("schedule", "poweroff", 0)),
        ("systemctl", ["--no-wall", "reboot"], power.PowerCall("schedule", "reboot", 0)),
    ],
)
def test_power_commands_mean_what_they_mean_to_systemd(
    name: str, arguments: list[str], expected: power.PowerCall
) -> None:
    assert power.parse(name, arguments, NOON) == expected


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("shutdown", ["+1.5"]),
        ("shutdown", ["24:00"]),
        ("shutdown", ["tomorrow"]),
        ("shutdown", ["--sometime"]),
        ("telinit", ["3"]),
        ("systemctl", ["start", "sshd"]),
        ("systemctl", []),
    ],
)
def test_unknown_power_commands_are_errors(name: str, arguments: list[str]) -> None:
    with pytest.raises(power.PowerError):
        power.parse(name, arguments, NOON)


def test_new_user_gets_the_next_free_id_once() -> None:
    text = "root:x:0:0:root:/root:/bin/sh\nme:x:1000:1001:,,,:/home/me:/bin/sh\nbroken line"
    once, uid = with_user(text, "ssm-user", "/home/ssm-user")
    assert uid == 1002 and once.startswith(text + "\n") and once.endswith(":/home/ssm-user:/bin/sh\n")
    assert with_user(once, "ssm-user", "/home/ssm-user") == (once, 1002)
    assert with_user("", "ssm-user", "/h")[1] == 1001


def test_mount_points_with_blanks_and_their_flags_are_read() -> None:
    table = (
        "22 27 0:21 / /proc rw,relatime shared:5 - proc proc rw\n"
        "28 27 0:25 / /mnt/a\\040b\\134c ro,nosuid,nodev,noexec,noatime - tmpfs none ro,size=4k\n"
    )
    proc, odd = kernel.mounts(table)
    assert (proc.point, proc.fstype, proc.flags) == ("/proc", "proc", kernel.MS_RELATIME)
    flags = kernel.MS_RDONLY | kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC | kernel.MS_NOATIME
    assert (odd.point, odd.fstype, odd.flags) == ("/mnt/a b\\c", "tmpfs", flags)


@given(st.lists(st.dictionaries(st.text(), st.text() | st.integers(), max_size=3), min_size=1, max_size=4))
def test_frames_arrive_whole_and_in_order(messages: list[dict[str, object]]) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        for message in messages:
            frames.send(ours, message)
        ours.shutdown(socket.SHUT_WR)
        assert [frames.receive(theirs) for _ in messages] == [(message, []) for message in messages]
        assert frames.receive(theirs) is None


def test_large_frame_carries_its_descriptors() -> None:
    ours, theirs = socket.socketpair()
    reader, writer = os.pipe()
    with ours, theirs:
        large = {"argv": ["x" * 100_000] * 20, "odd": "\udcff"}
        thread = threading.Thread(target=frames.send, args=(ours, large, (writer,)))
        thread.start()
        got = frames.receive(theirs)
        thread.join()
    assert got is not None and got[0] == large
    (copy,) = got[1]
    assert not os.get_inheritable(copy)
    os.write(copy, b"through")
    assert os.read(reader, 10) == b"through"
    for descriptor in (reader, writer, copy):
        os.close(descriptor)


@pytest.mark.parametrize("data", [b"\0", b"\0\0\0\5{}", b"\xff\xff\xff\xff", b"\0\0\0\2[]", b"\0\0\0\2{x"])
def test_broken_frame_is_an_error(data: bytes) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.sendall(data)
        ours.shutdown(socket.SHUT_WR)
        with pytest.raises(frames.FrameError):
            frames.receive(theirs)
