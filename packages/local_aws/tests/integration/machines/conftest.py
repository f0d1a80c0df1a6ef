"""Machines at every level of isolation that this host has, owned by a driver process.

As root, the two levels of an ordinary user run as user id 61234, in its own folders, with an interpreter that it can
read. As an ordinary user, the overlay is skipped.
"""

from __future__ import annotations

import atexit
import base64
import functools
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import local_aws.machines
from local_aws.machines import Isolation

PACKAGE = Path(local_aws.machines.__file__).parent
DRIVER = Path(__file__).parent / "driver.py"
ORDINARY = 61234
# Longer than the path of a unix socket may be, with characters that end a mount option.
DEEP = f"a, folder {'with-a-long-name-' * 8}"


def processes_with(text: str) -> list[int]:
    """Live processes of this host whose command line or mounts contain ``text``."""
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
    """Assert that processes and mounts with ``text`` disappear."""
    eventually(lambda: not processes_with(text), f"processes or mounts of {text} are left", limit)


def eventually(condition: Callable[[], bool], what: str, limit: float = 10.0) -> None:
    deadline = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


@functools.cache
def ordinary_python() -> str | None:
    """An interpreter that the ordinary user can run; ours may be in root's home."""
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


@functools.cache
def library() -> Path:
    """A copy of the tested code that every user can read; the project may be in root's home."""
    top = Path(tempfile.mkdtemp(prefix="machines-lib-"))
    atexit.register(shutil.rmtree, top)
    top.chmod(0o755)
    shutil.copytree(PACKAGE, top / "local_aws/machines", ignore=shutil.ignore_patterns("__pycache__"))
    (top / "local_aws/__init__.py").touch()
    shutil.copy(DRIVER, top / "driver.py")
    return top


class Driver:
    """The process that owns the machines, and a folder that it may write."""

    def __init__(self, level: Isolation, wrap: tuple[str, ...] = (), as_root: bool = False) -> None:
        self.level = level
        self.top = Path(tempfile.mkdtemp(prefix="machines-"))
        python, user = os.path.realpath(sys.executable), None
        if os.geteuid() == 0 and level != Isolation.OVERLAY and not as_root:
            user, found = ORDINARY, ordinary_python()
            if found is None:
                pytest.skip("no Python 3.11 that an ordinary user can run")
            python = found
        self.folder = self.top / DEEP
        self.folder.mkdir()
        self.top.chmod(0o755)
        if user is not None:
            for path in (self.top, self.folder):
                os.chown(path, user, user)
        ids: dict[str, Any] = {} if user is None else {"user": user, "group": user, "extra_groups": []}
        self.process = subprocess.Popen(
            [*wrap, python, "-S", str(library() / "driver.py"), str(library())],
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
        assert line, "the driver died"
        return dict(json.loads(line))

    @property
    def uid(self) -> int:
        """The user it runs as."""
        return Path(f"/proc/{self.process.pid}").stat().st_uid

    @staticmethod
    def mark() -> str:
        """A unique number of seconds, as the argument of ``sleep`` of a process to find."""
        return f"{uuid.uuid4().int % 10**6 + 10**6}.5"

    processes_with = staticmethod(processes_with)
    gone = staticmethod(gone)
    eventually = staticmethod(eventually)

    def machine(self, name: str = "one", **options: Any) -> Box:
        """Boot a machine and wait for the end of its user data."""
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
        """Output of a successful command."""
        answer = self.run(command, user, **options)
        assert answer.get("code") == 0, answer
        return str(answer["out"]).strip()

    def spawn(self, command: str, user: str = "ssm-user") -> int:
        return int(self.driver.ask("spawn", name=self.name, argv=["sh", "-c", command], user=user)["number"])

    def state(self, do: str = "state", **request: Any) -> dict[str, Any]:
        return self.driver.ask(do, name=self.name, **request)


@functools.cache
def available(level: Isolation) -> bool:
    """Whether this host has the level, detected as the emulator does."""
    if not sys.platform.startswith("linux"):
        return False
    if level == Isolation.PROCESS_GROUP:
        return True
    if level == Isolation.OVERLAY and os.geteuid() != 0:
        return False
    driver = Driver(level)
    try:
        return bool(driver.ask("detect", folder=str(driver.folder))["level"] == level)
    finally:
        driver.close()


@pytest.fixture
def make_driver() -> Iterator[Callable[..., Driver]]:
    """Creates drivers; it skips a test whose level this host lacks."""
    made: list[Driver] = []

    def make(level: Isolation, **options: Any) -> Driver:
        if not available(level):
            pytest.skip(f"no {level} here")
        made.append(Driver(level, **options))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture(params=list(Isolation), ids=str)
def driver(request: pytest.FixtureRequest, make_driver: Callable[..., Driver]) -> Driver:
    """A driver for each level."""
    return make_driver(request.param)
