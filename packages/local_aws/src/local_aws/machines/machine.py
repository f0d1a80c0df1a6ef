"""A machine, as the emulator controls it."""

from __future__ import annotations

import base64
import contextlib
import importlib.resources
import itertools
import os
import py_compile
import shutil
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import asdict
from pathlib import Path
from typing import Any

from local_aws.machines import frames, processes
from local_aws.machines.spec import Boot, BootError, Isolation, MachineError, MachineSpec, User

_BOOTED = "booted-once"  # a marker file: the user data is not run again
BOOT_SECONDS = 30.0
KILL_SECONDS = 15.0
# The modules of the init and its shims, copied into the machine's folder: the code inside uses neither this package's
# folder, which may be hidden, nor its imports.
_INSIDE = (
    *("accounts", "client", "frames", "image", "init", "kernel"),
    *("monitor", "power", "processes", "root", "spec", "sudo"),
)
_START = """
import sys
sys.path.insert(0, sys.argv[1])
from local_aws.machines.monitor import main
sys.exit(main(int(sys.argv[2])))
"""
# Variables that name certificate files, which stay visible in a machine.
_CERTIFICATES = ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "AWS_CA_BUNDLE", "PIP_CERT")


class RemoteProcess:
    """A command in a machine, created by ``Machine.spawn``."""

    def __init__(self, machine: Machine, number: int) -> None:
        self._machine = machine
        self._number = number
        self._ended = threading.Event()
        self._code: int | None = None

    def wait(self, timeout: float | None = None) -> int | None:
        """Wait for the command, not for its children, at most ``timeout`` seconds.

        Returns its exit status, -n if signal n ended it (-9 if the machine ended first), or None after ``timeout``.
        """
        return self._code if self._ended.wait(timeout) else None

    def kill(self) -> None:
        """Kill every process of its session; daemons in sessions of their own survive."""
        with contextlib.suppress(MachineError):
            self._machine._send({"do": "kill", "id": self._number})

    def _end(self, code: int) -> None:
        if not self._ended.is_set():
            self._code = code
            self._ended.set()


class Machine:
    """One machine; thread-safe."""

    def __init__(self, spec: MachineSpec, folder: Path, isolation: Isolation) -> None:
        """Describe a machine, with disk and console in ``folder``; ``start`` boots it.

        On the folder of a machine that was shut down it has its disk, and does not run the user data again.
        """
        self.spec = spec
        self.folder = folder
        self.isolation = isolation
        self.user_data_exit: int | None = None
        self.booted = threading.Event()
        self.pid: int | None = None
        """Process id of its init on the host; None before ``start``."""
        self._monitor: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._sending = threading.Lock()
        self._state = threading.Lock()
        self._numbers = itertools.count(1)
        self._processes: dict[int, RemoteProcess] = {}
        self._answers: dict[int, Future[dict[str, Any]]] = {}
        self._callbacks: list[Callable[[str], None]] = []
        self._reason: str | None = None
        self._killed = self._shutdown = False
        self._ready = threading.Event()
        self._failure = ""
        self._over = threading.Event()

    @property
    def alive(self) -> bool:
        """Whether it was started and has not ended."""
        return self._monitor is not None and not self._over.is_set()

    def start(self) -> None:
        """Boot and return when the init answers; the user data may still run (see ``booted``).

        Raises:
            BootError: It did not boot; no process is left.
        """
        if self._monitor is not None:
            raise BootError(f"{self.spec.instance_id} was started already")
        try:
            boot = self._prepare()
            ours, theirs = socket.socketpair()
            with theirs, open(self.folder / "console.log", "ab") as console:
                self._control = ours
                # No preexec_fn with PR_SET_PDEATHSIG: this process has threads, and that signal follows the *thread*.
                self._monitor = subprocess.Popen(
                    [boot.python, "-I", "-S", "-c", _START, str(self.folder.resolve() / "lib"), str(theirs.fileno())],
                    stdin=subprocess.DEVNULL,
                    stdout=console,
                    stderr=console,
                    env={"LANG": "C.UTF-8", "PATH": os.defpath},  # visible in the machine's /proc/1
                    cwd="/",
                    pass_fds=[theirs.fileno()],
                    start_new_session=True,
                )
            threading.Thread(target=self._listen, name=f"machine-{self.spec.instance_id}", daemon=True).start()
            frames.send(ours, asdict(boot))
        except OSError as error:
            self.kill()
            raise BootError(f"{self.spec.instance_id} cannot be started: {error}") from error
        if not self._ready.wait(BOOT_SECONDS) or self._failure or self.pid is None or self._over.is_set():
            why = self._failure or f"its init did not answer (see {self.folder / 'console.log'})"
            self.kill()
            raise BootError(f"{self.spec.instance_id} did not boot ({self.isolation}): {why}")

    def spawn(
        self,
        argv: Sequence[str],
        *,
        user: User,
        stdin: int,
        stdout: int,
        stderr: int,
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
        tty: bool = False,
    ) -> RemoteProcess:
        """Start a command, found in the machine's PATH, as leader of a new session.

        The caller closes its own copies of the three descriptors. ``env`` has additional variables; ``cwd`` is
        ``/usr/bin`` by default for ``ssm-user`` and ``/`` for root. ``tty`` makes ``stdin``, the slave of a terminal,
        the session's controlling terminal.

        Raises:
            OSError: The command cannot be started.
            MachineError: The machine has ended.
        """
        number = next(self._numbers)
        process = RemoteProcess(self, number)
        answer: Future[dict[str, Any]] = Future()
        with self._state:
            self._processes[number] = process
            self._answers[number] = answer
        request = {"do": "spawn", "id": number, "argv": list(argv), "user": user, "env": dict(env or {}), "cwd": cwd}
        self._send({**request, "tty": tty}, (stdin, stdout, stderr))
        message = answer.result()  # the machine's end sets an exception
        if message["event"] == "refused":
            raise OSError(message["errno"], message["error"])
        return process

    def on_exit(self, callback: Callable[[str], None]) -> None:
        """Call ``callback`` once, in a thread, when the machine has ended and no process of it is left.

        It gets ``shutdown`` (requested inside), ``killed`` (``kill`` or ``destroy``) or ``crashed``.
        """
        with self._state:
            reason = self._reason
            if reason is None:
                self._callbacks.append(callback)
        if reason is not None:
            threading.Thread(target=callback, args=(reason,), daemon=True).start()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for the machine's end; return whether it has ended."""
        return self._over.wait(timeout)

    def kill(self) -> None:
        """Kill every process in it, and wait until they are gone."""
        self._killed = True
        monitor, control = self._monitor, self._control
        if control is not None:
            # At the hang-up the monitor kills the init; the kernel kills the rest.
            with contextlib.suppress(OSError):
                control.shutdown(socket.SHUT_RDWR)
        if monitor is None:
            self._close_control()
            return
        try:
            monitor.wait(KILL_SECONDS)
        except subprocess.TimeoutExpired:
            monitor.kill()  # the init then gets its parent's death signal
            monitor.wait()
            self._await_init(KILL_SECONDS)
        self._over.wait(KILL_SECONDS)

    def _await_init(self, seconds: float) -> None:
        """Wait for the init to end, without a monitor that would report it."""
        deadline = time.monotonic() + seconds
        while self.pid is not None and processes.lives(self.pid) and time.monotonic() < deadline:
            time.sleep(0.01)

    def destroy(self) -> None:
        """Kill it, and remove its disk and console."""
        self.kill()
        if self.folder.exists():
            _remove(self.folder)

    def console(self) -> str:
        """The output of the boot and of the user data so far."""
        try:
            return (self.folder / "console.log").read_text(errors="replace")
        except FileNotFoundError:
            return ""

    def _prepare(self) -> Boot:
        self.folder.mkdir(parents=True, exist_ok=True)
        folder = self.folder.resolve()
        if self.isolation == Isolation.PROCESS_GROUP and ":" in str(folder):
            # A colon would split PATH, and `shutdown` would be the host's.
            raise OSError(f"folder: expected a path without a colon, got {folder}")
        folder.chmod(0o700)
        _install(folder / "lib")
        (folder / "disk").mkdir(exist_ok=True)
        spec = self.spec
        for source in spec.shared:
            source.mkdir(parents=True, exist_ok=True)
        shared = {str(source.resolve()): str(target) for source, target in spec.shared.items()}
        environment = dict(spec.environment)
        if self.isolation == Isolation.PROCESS_GROUP:
            for source_text, target_text in shared.items():
                for name, value in environment.items():
                    if value == target_text or value.startswith(f"{target_text}/"):
                        environment[name] = source_text + value[len(target_text) :]
        script = None if (folder / _BOOTED).exists() else spec.user_data
        python = os.path.realpath(sys.executable)
        kept = [Path(sys.base_prefix), Path(python), *spec.visible]
        kept += [Path(os.environ[name]) for name in _CERTIFICATES if os.environ.get(name)]
        return Boot(
            instance_id=spec.instance_id,
            hostname=spec.hostname,
            isolation=self.isolation.value,
            folder=str(folder),
            python=python,
            environment=environment,
            shared=shared,
            hidden=[str(path.resolve()) for path in (folder, *spec.hidden)],
            # By its own name and by its target: a bundle may be a link into a hidden folder.
            visible={
                name: os.path.realpath(each)
                for each in kept
                for name in (os.path.abspath(each), os.path.realpath(each))
            },
            user_data=None if script is None else base64.b64encode(script).decode(),
            minute_seconds=spec.minute_seconds,
            boot_failure=spec.boot_failure,
        )

    def _send(self, message: Mapping[str, Any], descriptors: Sequence[int] = ()) -> None:
        try:
            if self._control is None or self._over.is_set():
                raise BrokenPipeError
            with self._sending:
                frames.send(self._control, message, descriptors)
        except (BrokenPipeError, ConnectionResetError) as error:
            raise MachineError(f"{self.spec.instance_id} has ended") from error

    def _listen(self) -> None:
        assert self._control is not None and self._monitor is not None
        while (got := frames.receive_or_none(self._control)) is not None:
            self._on_event(got[0])
        with contextlib.suppress(OSError):
            self._control.shutdown(socket.SHUT_RDWR)
        self._monitor.wait()
        self._finish()

    def _close_control(self) -> None:
        if self._control is not None:
            self._control.close()

    def _on_event(self, message: dict[str, Any]) -> None:
        event = message["event"]
        if event == "pid":
            self.pid = message["pid"]
        elif event == "ready":
            (self.folder / _BOOTED).touch()
            self._ready.set()
        elif event == "failed":
            self._failure = message["error"]
            self._ready.set()
        elif event == "booted":
            self.user_data_exit = message["code"]
            self.booted.set()
        elif event == "shutdown":
            self._shutdown = True
        elif event in ("spawned", "refused"):
            with self._state:
                answer = self._answers.pop(message["id"])
                if event == "refused":
                    del self._processes[message["id"]]
            answer.set_result(message)
        elif event == "exited":
            with self._state:
                process = self._processes.pop(message["id"])
            process._end(message["code"])

    def _finish(self) -> None:
        with self._state:
            self._reason = "shutdown" if self._shutdown else "killed" if self._killed else "crashed"
            callbacks, self._callbacks = self._callbacks, []
            waiting, left = list(self._answers.values()), list(self._processes.values())
            self._over.set()
        with self._sending:
            self._close_control()
        self._ready.set()
        for answer in waiting:
            answer.set_exception(MachineError(f"{self.spec.instance_id} has ended"))
        for process in left:
            process._end(-9)
        for callback in callbacks:
            callback(self._reason)


def _install(lib: Path) -> None:
    """Copy the modules for the inside, compiled, under the same package name."""
    package = lib / "local_aws" / "machines"
    if package.exists():
        shutil.rmtree(lib)
    package.mkdir(parents=True)
    for folder in (package.parent, package):
        (folder / "__init__.py").touch()
    sources = importlib.resources.files("local_aws.machines")
    for name in _INSIDE:
        target = package / f"{name}.py"
        target.write_bytes(sources.joinpath(f"{name}.py").read_bytes())
    for path in lib.rglob("*.py"):
        # Unchecked, as a copy of the copy has another time stamp.
        py_compile.compile(str(path), doraise=True, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)


def _remove(folder: Path) -> None:
    """Remove a tree whose folders may lack permissions (an overlay's work folder has mode 0)."""
    for path, names, _ in os.walk(folder):
        for name in names:
            each = os.path.join(path, name)
            if not os.path.islink(each) and os.stat(each).st_mode & stat.S_IRWXU != stat.S_IRWXU:
                os.chmod(each, stat.S_IRWXU)
    shutil.rmtree(folder)
