"""The init of a machine: process 1 of its namespace or, without one, the reaper of the orphans in its tree.

One thread, one loop. It answers the emulator on an inherited socket (start and kill commands), ``sudo`` and
``shutdown`` on a socket inside the machine, reaps processes, runs the user data once and keeps the shutdown timer. It
runs with ``-I -S`` from the copy of these modules in the machine's folder, so it uses the standard library only.
"""

from __future__ import annotations

import contextlib
import errno
import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from local_aws.machines import accounts, frames, kernel, power, processes, sudo
from local_aws.machines.client import SOCKET
from local_aws.machines.image import Image
from local_aws.machines.spec import SESSION_USER, Boot, Isolation

GRACE = 2.0
"""Seconds between SIGTERM and SIGKILL at a shutdown."""
_CLIENT_TIMEOUT = 5.0
# Capabilities that affect the host's kernel, clock or network: CAP_NET_ADMIN, CAP_SYS_MODULE, CAP_SYS_RAWIO,
# CAP_SYS_TIME, CAP_MKNOD, CAP_SYSLOG (capabilities(7)).
_FORBIDDEN = (12, 16, 17, 25, 27, 34)
_CAP_SYS_BOOT = 22  # in a process-id namespace reboot(2) ends only that; without one, the host


@dataclass(frozen=True)
class Job:
    """A running command, and a callback for its exit code."""

    process: subprocess.Popen[bytes]
    ended: Callable[[int], None]


class Init:
    """The loop and its state; ``run`` starts it."""

    def __init__(self, boot: Boot, image: Image, control: socket.socket) -> None:
        self._boot = boot
        self._accounts = accounts.Accounts(boot, image)
        self._control = control
        self._jobs: dict[int, Job] = {}
        self._remote: dict[int, int] = {}  # the emulator's id of a command -> process id
        self._clients: dict[socket.socket, int] = {}  # sudo connection -> process id
        self._due: tuple[float, float, str] | None = None  # monotonic time, wall time, kind
        self._ending = self._over = False
        self._selector = selectors.DefaultSelector()
        self._wake()
        self._listener = self._listen(image)
        self._selector.register(control, selectors.EVENT_READ, self._on_control)
        for capability in _FORBIDDEN if boot.namespaced else (*_FORBIDDEN, _CAP_SYS_BOOT):
            # Only root may, and only root needs it; an old kernel may not know the number.
            with contextlib.suppress(OSError):
                kernel.forbid_capability(capability)

    def run(self) -> None:
        """Serve until the machine is shut down or the emulator hangs up."""
        self._tell({"event": "ready"})
        self._user_data()
        while not self._over:
            self._turn(None)
        if not self._boot.namespaced:
            processes.end_tree()
        # In a namespace the kernel kills the rest when process 1 ends.

    def _turn(self, limit: float | None) -> None:
        """Handle the next events, waiting at most ``limit`` seconds."""
        if self._due is not None:
            left = max(0.0, self._due[0] - time.monotonic())
            limit = left if limit is None else min(left, limit)
        for key, _ in self._selector.select(limit):
            if key.fileobj in self._selector.get_map():  # not closed by an earlier handler
                key.data()
        self._reap()
        if self._due is not None and time.monotonic() >= self._due[0]:
            self._shut_down(self._due[2])

    def _wake(self) -> None:
        reader, writer = socket.socketpair()
        for end in (reader, writer):
            end.setblocking(False)
        signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
        self._wakers = (reader, writer)

        def drain() -> None:
            with contextlib.suppress(BlockingIOError):
                reader.recv(4096)

        def ignore(number: int, frame: object) -> None:
            """A handler, not SIG_IGN, which every command would inherit."""

        def finish(number: int, frame: object) -> None:
            self._over = True

        signal.signal(signal.SIGCHLD, ignore)
        for number in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2):
            signal.signal(number, ignore)
        # Without a namespace it reports the death of the monitor; in one, nothing may end process 1.
        signal.signal(signal.SIGTERM, ignore if self._boot.namespaced else finish)
        self._selector.register(reader, selectors.EVENT_READ, drain)

    def _listen(self, image: Image) -> socket.socket:
        os.chdir(image.socket_folder)  # a relative name, as the path may be too long for a socket
        with contextlib.suppress(FileNotFoundError):
            os.unlink(SOCKET)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(SOCKET)
        overlay = self._boot.isolation == Isolation.OVERLAY
        os.chmod(SOCKET, 0o660 if overlay else 0o600)
        if overlay:
            os.chown(SOCKET, 0, image.session_uid)
        os.chdir("/")
        listener.listen(64)
        self._selector.register(listener, selectors.EVENT_READ, self._accept)
        return listener

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            job = self._jobs.pop(pid, None)
            if job is not None:
                code = os.waitstatus_to_exitcode(status)
                job.process.returncode = code  # reaped here, not by Popen
                job.ended(code)

    def _tell(self, message: Mapping[str, Any]) -> None:
        try:
            frames.send(self._control, message)
        except OSError:
            self._over = True  # the emulator is gone

    def _log(self, text: str) -> None:
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        print(f"[{stamp}] {self._boot.hostname} init: {text}", flush=True)

    def _on_control(self) -> None:
        got = frames.receive_or_none(self._control)
        if got is None:
            self._over = True
            return
        message, descriptors = got
        try:
            if message["do"] == "spawn":
                self._spawn(message, descriptors)
            elif message["do"] == "kill":
                self._kill(message["id"])
        finally:
            for descriptor in descriptors:
                os.close(descriptor)

    def _spawn(self, message: Mapping[str, Any], descriptors: list[int]) -> None:
        number = message["id"]

        def ended(code: int) -> None:
            self._tell({"event": "exited", "id": number, "code": code})

        try:
            account = self._accounts.find(message["user"])
            environment = self._accounts.environment(account) | message["env"]
            default = "/usr/bin" if account.name == SESSION_USER else "/"
            process = self._accounts.start(
                account, message["argv"], environment, message["cwd"] or default, descriptors, tty=message["tty"]
            )
        except (OSError, LookupError) as error:
            number_of = error.errno if isinstance(error, OSError) and error.errno else errno.EINVAL
            self._tell({"event": "refused", "id": number, "errno": number_of, "error": str(error)})
            return
        self._jobs[process.pid] = Job(process, ended)
        self._remote[number] = process.pid
        self._tell({"event": "spawned", "id": number, "pid": process.pid})

    def _kill(self, number: int) -> None:
        """Kill the session of a command, even if the command itself has ended."""
        pid = self._remote.get(number)
        # A process id is not reused while a session of that number has members (credentials(7)): a live process with
        # that id that is not our command means that the session is empty.
        if pid is not None and (pid in self._jobs or not processes.lives(pid)):
            processes.end_session(pid)

    def _user_data(self) -> None:
        script = self._boot.script
        if script is None or not script.startswith(b"#!"):
            if script is not None:
                first = script.split(b"\n", 1)[0][:40].decode(errors="replace")
                self._log(f"user data: expected a script (#!), got {first!r}; it was not run")
            self._tell({"event": "booted", "code": None})
            return

        def ended(code: int) -> None:
            self._log(f"user data ended with exit status {code}")
            self._tell({"event": "booted", "code": code})

        self._log("running user data")
        root = self._accounts.find("root")
        try:
            path = self._store_script(script)
            process = self._accounts.start(root, [path], self._accounts.environment(root), "/", (0, 1, 2))
        except OSError as error:
            self._log(f"user data cannot be run: {error}")
            self._tell({"event": "booted", "code": 126})
            return
        self._jobs[process.pid] = Job(process, ended)

    def _store_script(self, script: bytes) -> str:
        folder = "/run/cloud-init" if self._boot.namespaced else f"{self._boot.folder}/disk/runtime/cloud-init"
        os.makedirs(folder, mode=0o700, exist_ok=True)
        path = f"{folder}/part-001"
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o700), "wb") as file:
            file.write(script)
        return path

    def _accept(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except OSError:
            return  # the client went away
        connection.settimeout(_CLIENT_TIMEOUT)  # a stalled client must not stall the machine
        descriptors: list[int] = []
        try:
            got = frames.receive(connection)
            if got is None:
                connection.close()
                return
            message, descriptors = got
            caller = self._accounts.peer(connection)
            if caller is None:
                frames.send(connection, {"error": "permission denied on this machine"})
            elif message.get("do") == "power":
                frames.send(connection, self._power(message["call"], caller))
            elif self._sudo(connection, message, descriptors, caller):
                return
        except (OSError, KeyError, TypeError, ValueError) as error:
            self._log(f"a request inside the machine failed: {error!r}")
        finally:
            for descriptor in descriptors:
                os.close(descriptor)
        if connection not in self._clients:
            connection.close()

    def _sudo(self, connection: socket.socket, message: Mapping[str, Any], descriptors: list[int], caller: str) -> bool:
        """Start a command for ``caller``; return whether the connection stays open."""
        call = message["call"]
        try:
            account = self._accounts.find(call["user"])
            if call["action"] == "list":
                host = self._boot.hostname
                text = f"User {caller} may run the following commands on {host}:\n    (ALL) NOPASSWD: ALL"
                frames.send(connection, {"text": text, "code": 0})
                return False
            if call["action"] == "nothing":
                frames.send(connection, {"code": 0})
                return False
            uid = self._accounts.find(caller).uid
            environment = sudo.environment(call, self._accounts.environment(account), message["env"], caller, uid)
            overlay = self._boot.isolation == Isolation.OVERLAY
            argv, program = sudo.command_line(call, account.shell, profile=overlay)
            cwd = account.home if call["login"] else message["cwd"]
            if not os.path.isdir(cwd):
                cwd = "/"
            process = self._accounts.start(account, argv, environment, cwd, descriptors, executable=program)
        except FileNotFoundError:
            frames.send(connection, {"error": f"{' '.join(call['command'][:1])}: command not found", "code": 1})
            return False
        except (OSError, LookupError) as error:
            frames.send(connection, {"error": str(error), "code": 1})
            return False

        def ended(code: int) -> None:
            self._clients.pop(connection, None)
            self._selector.unregister(connection)
            with contextlib.suppress(OSError):
                frames.send(connection, {"code": code})
            connection.close()

        self._jobs[process.pid] = Job(process, ended)
        self._clients[connection] = process.pid
        self._selector.register(connection, selectors.EVENT_READ, lambda: self._on_client(connection))
        return True

    def _on_client(self, connection: socket.socket) -> None:
        """Forward a signal; if the ``sudo`` client has ended, kill its command."""
        pid = self._clients[connection]
        got = frames.receive_or_none(connection)
        if got is None:
            self._clients.pop(connection)
            self._selector.unregister(connection)
            # The job stays, so that it is reaped.
            self._jobs[pid] = Job(self._jobs[pid].process, lambda code: connection.close())
            processes.end_session(pid)
            return
        message, descriptors = got
        for descriptor in descriptors:
            os.close(descriptor)
        # An invalid message must not end the machine.
        with contextlib.suppress(OSError, KeyError, TypeError, ValueError):
            os.killpg(pid, int(message["signal"]))

    def _power(self, call: Mapping[str, Any], caller: str) -> dict[str, Any]:
        if call["action"] == "show":
            return {} if self._due is None else {"at": self._due[1], "kind": self._due[2]}
        if caller != "root":
            return {"error": "must be root"}
        if self._ending:
            return {"error": "a shutdown is in progress"}
        if call["action"] == "cancel":
            if self._due is not None:
                self._log("the scheduled shutdown was cancelled")
            self._due = None
            return {}
        minutes, kind = float(call["minutes"]), str(call["kind"])
        delay = minutes * self._boot.minute_seconds
        self._due = (time.monotonic() + delay, time.time() + delay, kind)
        self._log(f"{kind} in {delay:g} s")
        return {"at": self._due[1], "kind": kind} if minutes else {}

    def _shut_down(self, kind: str) -> None:
        """End every process, with SIGTERM first; then, unless ``kind`` is ``reboot``, the machine."""
        self._due, self._ending = None, True
        self._log(kind)
        if kind != power.REBOOT:
            self._tell({"event": "shutdown"})
        deadline = time.monotonic() + GRACE
        for number in (signal.SIGTERM, signal.SIGCONT):
            processes.send(self._others(), number)
        while self._others() and time.monotonic() < deadline and not self._over:
            self._turn(0.05)
        while (left := self._others()) and time.monotonic() < deadline + GRACE and not self._over:
            processes.send(left, signal.SIGKILL)
            self._turn(0.02)
        self._ending = False
        self._over = self._over or kind != power.REBOOT

    def _others(self) -> list[int]:
        if self._boot.namespaced:
            return [process.pid for process in processes.living() if process.pid != 1]
        return processes.descendants(os.getpid())


def enter(boot: Boot, image: Image, control: socket.socket) -> int:
    """Run the init until the machine ends; return the exit status."""
    try:
        Init(boot, image, control).run()
    except Exception:
        sys.excepthook(*sys.exc_info())  # to the console; the emulator sees a crash
        return 1
    return 0
