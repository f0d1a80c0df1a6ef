"""Machines as they are used, once for every isolation this host has.

Run as root, the two levels of an ordinary user are run by one: user id 61234, in folders of its own, with an
interpreter it can reach. Run as an ordinary user, the overlay is left out.
"""

from __future__ import annotations

import base64
import functools
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from local_aws.machines import Isolation

PACKAGE = Path(__file__).parents[2] / "local_aws" / "machines"
DRIVER = Path(__file__).parent / "machines_driver.py"
ORDINARY = 61234
# Deeper than a unix socket's path may be, with what ends an option of mount.
DEEP = f"a, folder {'with-a-long-name-' * 8}"

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="machines are Linux")


@functools.cache
def ordinary_python() -> str | None:
    """An interpreter that the ordinary user can run; ours may lie in root's home."""
    for python in (os.path.realpath(sys.executable), "/usr/bin/python3", "/usr/local/bin/python3"):
        if os.path.exists(python):
            ids: dict[str, Any] = {"user": ORDINARY, "group": ORDINARY, "extra_groups": [], "cwd": "/"}
            try:
                code = subprocess.call([python, "-IS", "-c", "import sys; sys.exit(sys.version_info < (3, 11))"], **ids)
            except PermissionError:
                continue
            if code == 0:
                return python
    return None


class Driver:
    """The process that owns the machines, and a folder for them that it may write."""

    def __init__(self, level: Isolation, wrap: tuple[str, ...] = ()) -> None:
        self.level = level
        self.top = Path(tempfile.mkdtemp(prefix="machines-"))
        python, user = os.path.realpath(sys.executable), None
        if os.geteuid() == 0 and level != Isolation.OVERLAY:
            user, found = ORDINARY, ordinary_python()
            if found is None:
                pytest.skip("no Python 3.11 that an ordinary user can run")
            python = found
        shutil.copytree(PACKAGE, self.top / "lib/local_aws/machines", ignore=shutil.ignore_patterns("__pycache__"))
        (self.top / "lib/local_aws/__init__.py").touch()
        shutil.copy(DRIVER, self.top / "driver.py")
        self.folder = self.top / DEEP
        self.folder.mkdir()
        self.top.chmod(0o755)
        if user is not None:
            for path in (self.top, self.folder):
                os.chown(path, user, user)
        ids: dict[str, Any] = {} if user is None else {"user": user, "group": user, "extra_groups": []}
        self.process = subprocess.Popen(
            [*wrap, python, "-B", "-S", str(self.top / "driver.py"), str(self.top / "lib")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={"PATH": os.environ["PATH"], "SECRET_OF_THE_HOST": "yes", "HOME": "/nowhere"},
            **ids,
        )

    def ask(self, do: str, **request: Any) -> dict[str, Any]:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(json.dumps({"do": do, **request}) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        assert line, "the driver ended"
        return dict(json.loads(line))

    def machine(self, name: str = "one", **options: Any) -> Box:
        """Boot a machine; its user data has ended."""
        data = options.pop("user_data", None)
        text = None if data is None else base64.b64encode(data).decode()
        folder = str(self.folder / options.pop("at", name))
        level = options.pop("level", self.level)
        answer = self.ask("start", name=name, folder=folder, level=level, user_data=text, **options)
        assert "failure" not in answer, answer
        box = Box(self, name, answer["pid"])
        assert self.ask("booted", name=name, limit=30)["booted"]
        return box

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            pipe.close()
        gone(str(self.top))
        subprocess.run(["chmod", "-R", "u+rwx", str(self.top)], check=False, capture_output=True)
        shutil.rmtree(self.top)


class Box:
    """One machine of a driver."""

    def __init__(self, driver: Driver, name: str, pid: int) -> None:
        self.driver, self.name, self.pid = driver, name, pid

    def run(
        self, command: str | list[str], user: str = "ssm-user", stdin: str = "", tty: bool = False, **options: Any
    ) -> dict[str, Any]:
        argv = ["sh", "-c", command] if isinstance(command, str) else command
        return self.driver.ask("run", name=self.name, argv=argv, user=user, stdin=stdin, tty=tty, limit=30, **options)

    def out(self, command: str | list[str], user: str = "ssm-user", **options: Any) -> str:
        """Output of a command that succeeds."""
        answer = self.run(command, user, **options)
        assert answer.get("code") == 0, answer
        return str(answer["out"]).strip()

    def spawn(self, command: str, user: str = "ssm-user") -> int:
        return int(self.driver.ask("spawn", name=self.name, argv=["sh", "-c", command], user=user)["number"])

    def state(self, do: str = "state", **request: Any) -> dict[str, Any]:
        return self.driver.ask(do, name=self.name, **request)


def processes_with(text: str) -> list[int]:
    """Live processes of this host whose command line or mounts hold ``text``."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                if b"\nState:\tZ" in (entry / "status").read_bytes():
                    continue
                everything = (entry / "cmdline").read_bytes() + (entry / "mountinfo").read_bytes()
            except OSError:
                continue
            if text.encode() in everything:
                found.append(int(entry.name))
    return found


def gone(text: str, limit: float = 10.0) -> None:
    """Assert that processes and mounts named ``text`` disappear."""
    eventually(lambda: not processes_with(text), f"processes or mounts of {text} are left", limit)


def eventually(condition: Callable[[], bool], what: str, limit: float = 10.0) -> None:
    deadline = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


LEVELS = list(Isolation)
NAMESPACED = [Isolation.OVERLAY, Isolation.USER_NAMESPACE]


@functools.cache
def available(level: Isolation) -> bool:
    """Whether this host has the level, found as the emulator finds it."""
    if level == Isolation.PROCESS_GROUP:
        return True
    if level == Isolation.OVERLAY and os.geteuid() != 0:
        return False
    driver = Driver(level)
    try:
        return bool(driver.ask("detect", folder=str(driver.folder))["level"] == level)
    finally:
        driver.close()


@pytest.fixture(params=LEVELS, ids=str)
def driver(request: pytest.FixtureRequest) -> Iterator[Driver]:
    if not available(request.param):
        pytest.skip(f"no {request.param} here")
    made = Driver(request.param)
    yield made
    made.close()


only = functools.partial(pytest.mark.parametrize, "driver", indirect=True, ids=str)


def test_it_boots_and_runs_its_user_data_once_as_root(driver: Driver) -> None:
    script = b"#!/bin/sh\necho user $USER id $(id -u) home $HOME\nenv\necho again >>~/boots\necho oops >&2\nexit 3\n"
    box = driver.machine(user_data=script, environment={"AWS_ENDPOINT_URL": "http://127.0.0.1:9"})
    assert box.state("booted", limit=0)["code"] == 3
    console = box.state()["console"]
    uid = (ORDINARY if os.geteuid() == 0 else os.getuid()) if driver.level == Isolation.PROCESS_GROUP else 0
    assert f"user root id {uid} " in console and "oops" in console and "exit status 3" in console
    assert "AWS_ENDPOINT_URL=http://127.0.0.1:9" in console
    assert "SECRET_OF_THE_HOST" not in console and "/nowhere" not in console
    assert box.out("cat ~/boots", "root") == "again"


def test_a_machine_that_was_stopped_keeps_its_disk_and_does_not_run_its_user_data_again(driver: Driver) -> None:
    script = b"#!/bin/sh\necho again >>~/boots\n"
    first = driver.machine("first", at="disk", user_data=script)
    first.run("sudo shutdown now")
    assert first.state("wait", limit=20)["over"]
    second = driver.machine("second", at="disk", user_data=script)
    assert second.out("cat ~/boots", "root") == "again"
    assert second.out("sudo id -u") == second.out("id -u", "root")
    assert second.out([os.path.realpath("/bin/sh"), "-c", "python3 -c 'print(6 * 7)'"]) == "42"


@pytest.mark.parametrize("data", [b"#cloud-config\npackages: [git]\n", b"\x1f\x8b\x08zip", b""])
def test_user_data_that_is_no_script_is_not_run_and_the_console_says_so(driver: Driver, data: bytes) -> None:
    box = driver.machine(user_data=data)
    assert box.state("booted", limit=0)["code"] is None
    assert "user data is no script and was not run" in box.state()["console"]


def test_user_data_with_no_interpreter_fails_and_the_machine_lives(driver: Driver) -> None:
    box = driver.machine(user_data=b"#!/no/such/program\n")
    assert box.state("booted", limit=0)["code"] == 126
    assert "user data cannot be run" in box.state()["console"]
    assert box.out("echo alive") == "alive"


@only([Isolation.OVERLAY, Isolation.USER_NAMESPACE])
def test_the_host_sees_nothing_of_what_root_writes(driver: Driver) -> None:
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
        # Deleting and changing what the host has, too: whiteouts and copies stay on the machine's disk.
        host = Path("/etc/passwd").read_text()
        box.out("rm /usr/bin/env && echo x >>/etc/passwd && ! test -e /usr/bin/env", "root")
        assert os.path.exists("/usr/bin/env") and Path("/etc/passwd").read_text() == host
    box.state("destroy")
    assert not box.state()["folder"]


@only([Isolation.PROCESS_GROUP])
def test_without_a_namespace_homes_and_temporary_files_are_in_its_folder(driver: Driver) -> None:
    box = driver.machine()
    for user in ("root", "ssm-user"):
        for place in box.out('echo "$HOME"; echo "$TMPDIR"', user).splitlines():
            assert Path(place).is_relative_to(driver.folder / "one") and os.path.isdir(place)


@only(NAMESPACED)
def test_it_has_its_own_name_processes_devices_and_places(driver: Driver) -> None:
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


@only([Isolation.OVERLAY])
def test_root_cannot_reach_the_clock_the_network_or_the_disks_of_the_host(driver: Driver) -> None:
    box = driver.machine()
    bounding = int(box.out("grep CapBnd /proc/self/status", "root").split()[1], 16)
    for capability in (12, 16, 17, 25, 27):
        assert not bounding >> capability & 1
    assert box.run("mknod /tmp/disk b 8 0", "root")["code"] != 0


def test_a_session_is_as_on_aws(driver: Driver) -> None:
    box = driver.machine(
        environment={"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}, user_data=b"#!/bin/sh\nexport LEAK=1\n"
    )
    answer = dict(line.split("=", 1) for line in box.out("env").splitlines())
    assert answer["AWS_ENDPOINT_URL"] == "http://127.0.0.1:9"
    assert answer["LANG"] == "C.UTF-8" and answer["USER"] == "ssm-user" and answer["PWD"] == "/usr/bin"
    assert not {"LEAK", "SECRET_OF_THE_HOST", "SUDO_USER"} & set(answer)
    assert box.out("echo x >~/mine && cat ~/mine") == "x"
    assert box.out('echo "$EXTRA"', env={"EXTRA": "yes"}) == "yes"
    assert box.out("pwd", cwd="/usr/lib") == "/usr/lib"


@only(NAMESPACED)
def test_a_missing_become_fails(driver: Driver) -> None:
    box = driver.machine()
    assert box.out("id -un") == "ssm-user" and box.out("id -u") != "0"
    for place in ("/opt", "/etc", "/root", "/usr/bin", "/run", "/var/log"):
        assert box.run(f"touch {place}/mine")["code"] != 0, place
    box.out("echo theirs >/opt/root-file", "root")
    assert box.run("echo mine >/opt/root-file")["code"] != 0
    assert box.run("rm -f /opt/root-file; test -e /opt/root-file")["code"] == 0
    assert box.out("touch /tmp/mine /var/tmp/mine ~/mine && echo ok") == "ok"
    assert box.out("sudo touch /opt/mine && echo ok") == "ok"


def test_sudo_is_root_without_a_password(driver: Driver) -> None:
    box = driver.machine(environment={"AWS_ENDPOINT_URL": "http://127.0.0.1:9"})
    assert box.out("sudo -n sh -c 'echo $USER:$HOME:$SUDO_USER:$AWS_ENDPOINT_URL'") == (
        f"root:{box.out('echo $HOME', 'root')}:ssm-user:http://127.0.0.1:9"
    )
    assert box.out("sudo id -u") == box.out("id -u", "root")
    assert box.out("cd /usr/lib && sudo pwd") == "/usr/lib"
    assert box.out("sudo -u ssm-user sh -c 'echo $USER'") == "ssm-user"
    assert box.out("sudo -u ssm-user sudo -u root sh -c 'echo $USER'") == "root"
    if driver.level != Isolation.PROCESS_GROUP:
        assert box.out("/usr/bin/env -i $(command -v sudo) id -un") == "root"
        assert box.out("sudo -u ssm-user id -un") == "ssm-user"


def test_sudo_passes_exit_codes_and_signals(driver: Driver) -> None:
    box = driver.machine()
    assert box.run("sudo sh -c 'exit 7'")["code"] == 7
    assert box.run("sudo sh -c 'kill -TERM $$'")["code"] == 128 + signal.SIGTERM
    answer = box.run("sudo no-such-command")
    assert answer["code"] == 1 and answer["out"].strip() == "sudo: no-such-command: command not found"
    assert box.run("sudo -u nobody-at-all true")["code"] == 1
    assert box.run("sudo --no-such-option true")["code"] == 1
    assert box.run("sudo")["code"] == 1
    loop = "trap 'echo got it; exit 5' TERM; echo up; while :; do sleep 0.1; done"
    # The signal is sent to the client, which passes it on.
    told = box.out(
        [
            "bash",
            "-c",
            f'coproc sudo bash -c "{loop}"; read -u ${{COPROC[0]}}; kill -TERM $COPROC_PID; '
            "wait $COPROC_PID; echo code $?",
        ]
    )
    assert told.splitlines()[-1] == "code 5"  # bash may note the end of its job before


def test_sudo_understands_what_ansible_sends(driver: Driver) -> None:
    box = driver.machine()
    shell = "/bin/sh -c 'echo BECOME-SUCCESS-abc ; cat'"
    command = f'sudo -H -S -n -p "[sudo via ansible, key=abc] password:" -u root {shell}'
    assert box.out(command, stdin="line one\nline two") == "BECOME-SUCCESS-abc\nline one\nline two"
    big = "x" * 300_000
    assert box.out("sudo -n -- wc -c", stdin=big[:60_000]) == "60000"
    assert len(box.out(["sudo", "-n", "echo", *[big[:100_000]] * 4])) == 400_003
    assert box.out("sudo -nv && sudo -k && sudo -l >/dev/null && sudo -V | head -1").startswith("Sudo version")


def test_sudo_resets_the_environment_unless_told_otherwise(driver: Driver) -> None:
    box = driver.machine()
    show = "sh -c 'echo [$MINE$OTHER]'"
    mine = {"MINE": "a", "OTHER": "b", "LC_ALL": "C"}
    assert box.out(f"sudo {show}", env=mine) == "[]"
    assert box.out(f"sudo -E {show}", env=mine) == "[ab]"
    assert box.out(f"sudo --preserve-env {show}", env=mine) == "[ab]"
    assert box.out(f"sudo --preserve-env=OTHER {show}", env=mine) == "[b]"
    assert box.out(f"sudo MINE=c {show}", env=mine) == "[c]"
    assert box.out("sudo sh -c 'echo $LC_ALL'", env=mine) == "C"
    assert box.out("sudo -E sh -c 'echo $HOME'", env=mine) == box.out("echo $HOME", "root")
    assert box.out("sudo -i pwd") == box.out("echo $HOME", "root")
    assert box.out("sudo -s echo 'a  b' '$HOME'") == f"a  b {box.out('echo $HOME', 'root')}"
    assert box.out("echo 'echo hello' | sudo -i") == "hello"


def test_a_session_and_its_sudo_work_on_a_terminal(driver: Driver) -> None:
    box = driver.machine()
    typed = "stty -echo; PS1=; echo start\ntest -t 0 && echo on-a-terminal\n"
    typed += "sudo sh -c 'read a; echo root got $a; test -t 1'\n"
    answer = box.run(["sh"], stdin=f"{typed}words\necho code $?\nexit 4\n", tty=True)
    assert answer["code"] == 4, answer
    for text in ("on-a-terminal", "root got words", "code 0"):
        assert text in answer["out"], answer
    assert box.run("exec 3</dev/tty && echo has-one", tty=True)["out"].strip() == "has-one"


def test_killing_the_sudo_client_kills_the_command(driver: Driver) -> None:
    box = driver.machine()
    mark = f"{uuid.uuid4().int % 10**6 + 10**6}.5"
    number = box.spawn(f"sudo sleep {mark}")
    eventually(lambda: len(processes_with(f"\0{mark}\0")) >= 2, "sudo and sleep run")
    driver.ask("kill-command", number=number, limit=10)
    gone(f"\0{mark}\0")
    assert box.out("echo alive") == "alive"


def test_a_daemon_outlives_its_session_and_not_its_machine(driver: Driver) -> None:
    box = driver.machine()
    mark = f"{uuid.uuid4().int % 10**6 + 10**6}.25"
    # A double fork with a session of its own, as Ansible's async wrapper does; once of each user.
    daemon = f"setsid sh -c 'sleep {mark} & exit'"
    box.out(f"{daemon}; sudo {daemon}; true >/dev/null")
    eventually(lambda: len(processes_with(f"\0{mark}\0")) == 2, "both daemons run")
    number = box.spawn(f"{daemon}; sleep 1000")
    eventually(lambda: len(processes_with(f"\0{mark}\0")) == 3, "the third daemon runs")
    assert driver.ask("kill-command", number=number, limit=10)["code"] == -signal.SIGKILL
    assert len(processes_with(f"\0{mark}\0")) == 3
    box.state("kill")
    assert not processes_with(f"\0{mark}\0")
    assert box.state()["reasons"] == ["killed"]
    assert not box.state()["alive"]


def test_killing_a_command_takes_what_it_left_in_its_session(driver: Driver) -> None:
    box = driver.machine()
    mark = f"{uuid.uuid4().int % 10**6 + 10**6}.125"
    number = box.spawn(f"sleep {mark} & exit 0")
    assert driver.ask("wait-command", number=number, limit=10)["code"] == 0
    eventually(lambda: bool(processes_with(f"\0{mark}\0")), "it was left")
    driver.ask("kill-command", number=number, limit=10)
    gone(f"\0{mark}\0")


def test_a_tree_that_keeps_forking_dies_too(driver: Driver) -> None:
    box = driver.machine()
    mark = f"{uuid.uuid4().int % 10**6 + 10**6}.75"
    box.spawn(f"while :; do setsid sh -c 'sleep {mark} & setsid sleep {mark} &' & sleep 0.05; done", "root")
    eventually(lambda: len(processes_with(f"\0{mark}\0")) > 6, "the tree grows")
    box.state("destroy")
    gone(f"\0{mark}\0")
    assert not box.state()["folder"]


def test_only_root_shuts_down(driver: Driver) -> None:
    box = driver.machine()
    for command in ("shutdown now", "poweroff", "halt", "reboot", "shutdown -c"):
        answer = box.run(command)
        assert answer["code"] == 1 and "must be root" in answer["out"], command
    assert box.state()["alive"]


def test_shutdown_now_ends_the_machine_and_all_in_it(driver: Driver) -> None:
    box = driver.machine()
    mark = f"{uuid.uuid4().int % 10**6 + 10**6}.375"
    stubborn = box.spawn(f"trap '' TERM HUP; setsid sleep {mark} & while :; do sleep 1; done", "root")
    eventually(lambda: bool(processes_with(f"\0{mark}\0")), "it runs")
    box.run("sudo shutdown -h now")
    assert box.state("wait", limit=20)["over"]
    assert driver.ask("wait-command", number=stubborn, limit=5)["code"] == -signal.SIGKILL
    assert not processes_with(f"\0{mark}\0")
    eventually(lambda: box.state()["reasons"] == ["shutdown"], "the reason is told")
    answer = box.run("echo too late")
    assert answer["failure"] == "MachineError" and "\n" not in answer["text"]


def test_processes_may_say_goodbye_before_a_shutdown(driver: Driver) -> None:
    shared = driver.top / "shared"
    box = driver.machine(shared={str(shared): "/mnt/shared"}, environment={"PLACE": "/mnt/shared"})
    box.spawn('trap "echo bye >$PLACE/note; exit" TERM; touch $PLACE/up; while :; do sleep 0.1; done', "root")
    eventually((shared / "up").exists, "it runs")
    box.run("sudo poweroff")
    assert box.state("wait", limit=20)["over"]
    assert (shared / "note").read_text() == "bye\n"


def test_a_scheduled_shutdown_says_when_can_be_cancelled_and_comes(driver: Driver) -> None:
    box = driver.machine(minute_seconds=0.5)
    answer = box.run("sudo shutdown -P +600")
    assert answer["code"] == 0 and answer["out"].startswith("Shutdown scheduled for ")
    assert "use 'shutdown -c' to cancel." in answer["out"]
    assert "Shutdown scheduled" in box.run("shutdown --show")["out"]
    assert box.run("sudo shutdown -P +1 && sudo shutdown -c")["code"] == 0
    time.sleep(0.7)
    assert box.state()["alive"] and box.run("shutdown --show")["out"].strip() == "No scheduled shutdown."
    assert box.run("sudo shutdown +soon")["code"] == 1
    assert box.run("sudo shutdown -P +1")["code"] == 0
    assert box.state("wait", limit=20)["over"]
    eventually(lambda: box.state()["reasons"] == ["shutdown"], "the reason is told")


def test_the_dead_man_switch_in_user_data_outlives_it(driver: Driver) -> None:
    box = driver.machine(minute_seconds=0.05, user_data=b"#!/bin/sh\nshutdown -P +20 'lease is over'\n")
    assert box.state("booted", limit=0)["code"] == 0
    assert box.state("wait", limit=20)["over"]
    eventually(lambda: box.state()["reasons"] == ["shutdown"], "the reason is told")


def test_a_reboot_ends_every_process_and_keeps_the_machine(driver: Driver) -> None:
    box = driver.machine(user_data=b"#!/bin/sh\necho again >>~/boots\n")
    number = box.spawn("setsid sleep 1000 & sleep 1000")
    box.run("sudo reboot")
    assert driver.ask("wait-command", number=number, limit=20)["code"] is not None
    assert box.out("cat ~/boots", "root") == "again"
    assert box.state()["alive"] and not box.state()["reasons"]


@only(NAMESPACED)
def test_no_path_leads_to_a_shutdown_of_the_host(driver: Driver) -> None:
    box = driver.machine()
    names = "shutdown poweroff halt reboot telinit systemctl"
    folders = "/usr/local/sbin /usr/local/bin /usr/sbin /usr/bin /sbin /bin"
    listing = box.out(
        f"for d in {folders}; do for n in {names}; do test -e $d/$n && grep -c machines.client $d/$n; done; done; true"
    )
    assert set(listing.split()) <= {"1"}
    assert box.run("/usr/bin/env PATH=/usr/sbin:/usr/bin:/sbin:/bin systemctl poweroff")["code"] == 1
    assert box.out("ls -A /run") == "local-aws\nlock\nuser"  # neither systemd's socket nor the bus


@only(NAMESPACED)
def test_reboot_the_system_call_ends_only_the_machine(driver: Driver) -> None:
    box = driver.machine()
    # LINUX_REBOOT_CMD_POWER_OFF: safe to try, because this machine has a process-id namespace of its own.
    assert box.out("readlink /proc/self/ns/pid") != os.readlink("/proc/self/ns/pid")
    script = "import ctypes; ctypes.CDLL(None).reboot(0x4321fedc)"
    box.run(["python3", "-c", script], "root")
    assert box.state("wait", limit=20)["over"]
    eventually(lambda: box.state()["reasons"] == ["shutdown"], "the reason is told")


def test_when_its_owner_is_killed_nothing_is_left(driver: Driver) -> None:
    mark = f"{uuid.uuid4().int % 10**6 + 10**6}.625"
    box = driver.machine()
    box.spawn(f"setsid sleep {mark} & sudo setsid sleep {mark}")
    eventually(lambda: len(processes_with(f"\0{mark}\0")) >= 2, "it runs")
    driver.process.kill()
    driver.process.wait()
    gone(f"\0{mark}\0")
    gone(str(driver.top))
    assert str(driver.top) not in Path("/proc/self/mountinfo").read_text()


def test_when_its_init_is_killed_it_crashed_and_nothing_is_left(driver: Driver) -> None:
    mark = f"{uuid.uuid4().int % 10**6 + 10**6}.875"
    box = driver.machine()
    number = box.spawn(f"setsid sleep {mark} & sleep 1000")
    eventually(lambda: bool(processes_with(f"\0{mark}\0")), "it runs")
    os.kill(box.pid, signal.SIGKILL)
    assert box.state("wait", limit=20)["over"]
    assert driver.ask("wait-command", number=number, limit=5)["code"] == -signal.SIGKILL
    gone(f"\0{mark}\0")
    eventually(lambda: box.state()["reasons"] == ["crashed"], "the reason is told")


def test_when_its_monitor_is_killed_nothing_is_left(driver: Driver) -> None:
    mark = f"{uuid.uuid4().int % 10**6 + 10**6}.9375"
    box = driver.machine()
    box.spawn(f"setsid sleep {mark} & sleep 1000")
    eventually(lambda: bool(processes_with(f"\0{mark}\0")), "it runs")
    status = Path(f"/proc/{box.pid}/stat").read_text()
    os.kill(int(status.rpartition(")")[2].split()[1]), signal.SIGKILL)
    assert box.state("wait", limit=20)["over"]
    gone(f"\0{mark}\0")


def test_two_machines_do_not_meet(driver: Driver) -> None:
    one, two = driver.machine("one"), driver.machine("two")
    mark = f"{uuid.uuid4().int % 10**6 + 10**6}.4375"
    one.spawn(f"sleep {mark}")
    two.spawn(f"sleep {mark}")
    eventually(lambda: len(processes_with(f"\0{mark}\0")) >= 2, "both run")
    one.out("echo mine >~/note", "root")
    assert two.run("test -e ~/note", "root")["code"] == 1
    if driver.level != Isolation.PROCESS_GROUP:
        assert two.out("pgrep -c sleep", "root") == "1"
    one.state("destroy")
    assert two.out("echo alive") == "alive" and processes_with(f"\0{mark}\0")
    assert (one.state()["folder"], two.state()["folder"]) == (False, True)


def test_a_shared_folder_is_the_host_s_and_writable(driver: Driver) -> None:
    shared = driver.top / "cache"
    box = driver.machine(shared={str(shared): "/var/cache/packages"}, environment={"CACHE": "/var/cache/packages/pip"})
    box.out("mkdir -p $CACHE && echo kept >$CACHE/wheel", "root")
    assert (shared / "pip/wheel").read_text() == "kept\n"
    box.state("destroy")
    assert (shared / "pip/wheel").read_text() == "kept\n"


@only(NAMESPACED)
def test_what_is_hidden_cannot_be_seen_and_its_own_folder_is(driver: Driver) -> None:
    secret = driver.top / "state"
    secret.mkdir()
    (secret / "key").write_text("secret")
    box = driver.machine(hidden=[str(secret)])
    assert box.run(["cat", str(secret / "key")], "root")["code"] != 0
    assert box.run(["ls", str(driver.folder / "one" / "disk")], "root")["code"] != 0
    assert box.run(["ls", "/run/host"], "root")["code"] != 0


def test_python_and_its_library_are_there_for_every_user(driver: Driver) -> None:
    box = driver.machine()
    for user in ("root", "ssm-user"):
        box.out(["python3", "-c", "import json, ssl, sqlite3"], user)
    interpreter = box.out('head -n 1 "$(readlink -f "$(command -v sudo)")" | cut -c3- | cut -d\' \' -f1')
    assert box.out([interpreter, "-IS", "-c", "import ctypes; print(6 * 7)"]) == "42"


def test_a_boot_failure_is_one_clear_line_and_leaves_nothing(driver: Driver) -> None:
    folder = str(driver.folder / "broken")
    answer = driver.ask("start", name="broken", folder=folder, level=driver.level, boot_failure=True)
    assert (
        answer["failure"] == "BootError" and "boot failure asked for" in answer["text"] and "\n" not in answer["text"]
    )
    gone(folder)
    state = driver.ask("destroy", name="broken")
    assert not state["alive"] and not state["folder"]


def test_a_command_that_cannot_start_is_an_error_and_not_a_hang(driver: Driver) -> None:
    box = driver.machine()
    assert box.run(["/no/such/program"])["failure"] == "FileNotFoundError"
    assert box.run("true", cwd="/no/such/folder")["failure"] == "FileNotFoundError"
    assert box.run(["/etc/passwd"])["failure"] == "PermissionError"
    assert box.run("true", "nobody-at-all")["failure"] == "OSError"
    assert box.run(["printf", "%s", "\udcff\udcfe"])["code"] == 0
    assert box.out("echo alive") == "alive"


def test_nonsense_on_the_init_s_socket_does_not_end_the_machine(driver: Driver) -> None:
    box = driver.machine()
    runtime = box.out('tail -n 1 "$(readlink -f "$(command -v sudo)")" | sed "s/.*argv, \'//; s/\'))//"')
    script = f"""
import contextlib, os, socket, struct
os.chdir({runtime!r})
for junk in (b'', b'xx', b'\\xff\\xff\\xff\\xff', struct.pack('!I', 4) + b'null', struct.pack('!I', 2) + b'{{}}',
             struct.pack('!I', 40) + b'{{"do": "sudo", "call": 5, "env": 1}}     ',
             struct.pack('!I', 45) + b'{{"do": "power", "call": {{"action": "schedule"}}}}'):
    with socket.socket(socket.AF_UNIX) as sock, contextlib.suppress(ConnectionError):
        sock.connect('init.sock')
        sock.sendall(junk)
        sock.shutdown(socket.SHUT_WR)
        sock.recv(100)
"""
    answer = box.run(["python3", "-c", script])
    assert answer["code"] == 0, answer
    assert box.out("sudo echo alive") == "alive"


@only([Isolation.OVERLAY])
def test_the_init_s_socket_is_closed_to_other_users(driver: Driver) -> None:
    box = driver.machine()
    assert box.run("sudo -u nobody sudo id")["code"] == 1
    assert "Permission denied" in box.run("sudo -u nobody sudo id")["out"]


def test_orphans_are_collected(driver: Driver) -> None:
    box = driver.machine()
    mark = f"{uuid.uuid4().int % 10**6 + 10**6}"
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

    eventually(lambda: not zombies(), "zombies are left")


@pytest.mark.parametrize("kind", ["tmpfs", "overlay"])
def test_on_a_host_of_several_file_systems_it_has_them_all(kind: str) -> None:
    """A host like a container: more than one file system, and the state folder on one that may be no upper side."""
    if not available(Isolation.OVERLAY) or shutil.which("unshare") is None:
        pytest.skip("needs root and util-linux")
    top = Path(tempfile.mkdtemp(prefix="machines-host-"))
    lower = f"-t overlay none -o lowerdir=/usr/share,upperdir={top}/t/u,workdir={top}/t/w"
    # In a mount namespace of the driver's own: this host sees none of it.
    script = f"""set -e
        mount --make-rprivate /
        mount -t tmpfs none /media; echo host >/media/file; mkdir /media/locked; mount -t tmpfs -o ro none /media/locked
        mkdir {top}/t {top}/state; mount -t tmpfs none {top}/t; mkdir {top}/t/u {top}/t/w
        mount {lower if kind == "overlay" else "-t tmpfs none"} {top}/state
        exec "$@" """
    driver = Driver(Isolation.OVERLAY, wrap=("unshare", "--mount", "sh", "-c", script, "sh"))
    try:
        driver.folder = top / "state"
        box = driver.machine()
        assert box.out("cat /media/file") == "host"
        assert box.out("echo mine >/media/file && echo x >/opt/mine && cat /media/file /opt/mine", "root") == "mine\nx"
        assert box.run("touch /media/locked/x", "root")["code"] != 0
        assert driver.machine("two").out("cat /media/file") == "host"
        assert not Path("/opt/mine").exists()
        box.state("destroy")
        assert not box.state()["folder"]
    finally:
        driver.close()
        shutil.rmtree(top)


def test_detect_finds_what_the_user_gets(driver: Driver) -> None:
    level = driver.ask("detect", folder=str(driver.folder))["level"]
    assert level in LEVELS
    assert not list(driver.folder.iterdir())
    if driver.level != Isolation.PROCESS_GROUP:
        assert level == driver.level
