# Copyright: spot-train contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The watchdog of a run: removes the run's resources when ``ansible-playbook`` is killed.

``always`` does not run at SIGINT, SIGTERM or SIGKILL. So this process waits, in a separate session, for the end of the
main process. If the run is not closed by then (a file ``closed`` in its folder), it sweeps, repeats that until no
worker of the dead run could still launch something, and runs playbooks/terminate.yml to report on the run. The action
plugin ``watchdog`` starts it; its log is ``watchdog.log`` in the folder of the run. It kills a playbook that still runs
seconds after Ctrl-C, which ``interrupt.py`` marks by a file.

It also terminates hung SSM sessions. The connection plugin reads a line of output, and waits for a session to close,
without a time limit: a network failure in the middle of a line would block the playbook forever.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LOOK_SECONDS = 0.2
INTERRUPTED_SECONDS = 4.0
"""Time for a playbook to end after Ctrl-C; ``interrupt.py`` explains why it may hang."""
REMEMBER_SECONDS = 3.0
"""A worker seen this shortly before the end of the main process may outlive it."""
WORKER_SECONDS = 12.0
"""Time for an orphaned worker to end before it is killed."""
TROUBLE_SECONDS = 600.0
TROUBLE_PAUSES = (2.0, 5.0, 10.0, 20.0, 40.0, 60.0)
LATE_SECONDS = 2.0
REPORT_SECONDS = 300.0
HUNG_LOOK_SECONDS = 2.0
SHOWN_BY = ("ANSIBLE_CALLBACK_PLUGINS", "ANSIBLE_FORCE_COLOR", "AWX_ISOLATED_DATA_DIR", "ORIGINAL_STDOUT_CALLBACK")
"""Variables by which ansible-runner replaces the output of a playbook."""
PIDFD = hasattr(os, "pidfd_open")


@dataclass(frozen=True)
class Settings:
    """Settings of a watchdog, its one JSON argument."""

    pid: int
    started: int | None
    run_dir: str
    region: str
    wanted: dict[str, Any]
    report_command: list[str]
    config: str | None
    session_seconds: float
    """Time for a worker with an SSM session to stay in the same system call."""


def start_time(pid: int) -> int | None:
    """When a process started, in clock ticks since boot; None if it is gone, a zombie, or unknown."""
    fields = stat_of(pid)
    return int(fields[19]) if fields and fields[0] != "Z" else None


def stat_of(pid: int) -> list[str]:
    """Fields of /proc/<pid>/stat from the state on (proc(5)); empty without such a file."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return []
    return text.rpartition(")")[2].split()


class Watched:
    """The main process of a playbook, and the workers that it forks."""

    def __init__(self, pid: int, started: int | None) -> None:
        """Open a handle of the process."""
        self.pid, self._started = pid, started
        self._handle = self._open()
        self._workers: dict[int, float] = {}

    def wait(self, look: Callable[[list[int]], None]) -> None:
        """Wait until it has ended, remembering its workers, with which ``look`` is called while it is alive."""
        while self.is_alive():
            self._remember()
            look(list(self._workers))
            if self._handle is None:
                time.sleep(LOOK_SECONDS)
            else:
                select.select([self._handle], [], [], LOOK_SECONDS)

    def is_alive(self) -> bool:
        """Whether the process still runs, not another one with its id."""
        if self._started is not None:
            return start_time(self.pid) == self._started
        try:
            os.kill(self.pid, 0)  # a system without /proc
        except OSError:
            return False
        return True

    def kill(self) -> None:
        """Kill it, if it still runs."""
        if self.is_alive():
            send([self.pid], signal.SIGKILL)

    def orphans(self) -> list[int]:
        """Processes of the last known workers, each of which leads a process group."""
        groups = {str(pid) for pid in self._workers}
        found = (int(path.name) for path in Path("/proc").glob("[0-9]*") if path.name != str(os.getpid()))
        return [pid for pid in found if (fields := stat_of(pid)) and fields[0] != "Z" and fields[2] in groups]

    def _open(self) -> int | None:
        if not PIDFD:
            return None
        try:
            return os.pidfd_open(self.pid)
        except OSError:
            return None  # it has ended, or this kernel has no pidfd

    def _remember(self) -> None:
        now = time.monotonic()
        self._workers.update(dict.fromkeys(children(self.pid), now))
        self._workers = {pid: seen for pid, seen in self._workers.items() if now - seen < REMEMBER_SECONDS}


class HungSessions:
    """Finds SSM sessions whose worker is blocked.

    While the connection plugin waits for a command, it polls the output each second. In the middle of a line, or while
    it waits for the session to close, it blocks: its threads make no voluntary context switches
    (voluntary_ctxt_switches, proc_pid_status(5)).
    """

    def __init__(self, seconds: float) -> None:
        """Start without sessions; ``seconds`` is how long a worker may block."""
        self._seconds = seconds
        self._seen: dict[int, tuple[int, float]] = {}
        self._next = 0.0

    def find(self, workers: list[int]) -> list[int]:
        """Return the processes of hung sessions; checks every HUNG_LOOK_SECONDS at most."""
        now = time.monotonic()
        if now < self._next:
            return []
        self._next = now + HUNG_LOOK_SECONDS
        seen, hung = {}, []
        for worker in workers:
            sessions = [pid for pid in children(worker) if is_session(pid)]
            switches = switches_of(worker)
            if not sessions or switches is None:
                continue
            before, since = self._seen.get(worker, (None, now))
            seen[worker] = (switches, since if switches == before else now)
            if now - seen[worker][1] > self._seconds:
                hung += sessions
        self._seen = seen
        return hung


def send(pids: Iterable[int], number: int) -> None:
    """Signal the processes that have not ended."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def children(pid: int) -> list[int]:
    """The child processes of a process; empty if unknown."""
    found: list[int] = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found += map(int, path.read_text().split())
        except OSError:
            continue  # the thread has ended
    return found


def is_session(pid: int) -> bool:
    """Whether a process is a session-manager-plugin: its second or third argument says so."""
    try:
        return b"\0StartSession\0" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def switches_of(pid: int) -> int | None:
    """Voluntary context switches of a process; None if it is gone or stopped (Ctrl-Z)."""
    total = 0
    for path in Path(f"/proc/{pid}/task").glob("*/status"):
        try:
            status = dict(line.split(":", 1) for line in path.read_text(errors="replace").splitlines() if ":" in line)
        except OSError:
            continue  # the thread has ended
        if status["State"].strip()[:1] in "Tt":
            return None
        total += int(status["voluntary_ctxt_switches"])
    return total or None


class Watchdog:
    """Watches one run."""

    def __init__(self, settings: Settings, sweep: Callable[[], str]) -> None:
        """Open a handle of the playbook; ``sweep`` removes the run's resources and says what went wrong."""
        self._settings, self._sweep = settings, sweep
        self._watched = Watched(settings.pid, settings.started)
        self._closed = Path(settings.run_dir) / "closed"
        self._note = Path(settings.run_dir) / "interrupted"
        self._interrupted: float | None = None
        self._hung = HungSessions(settings.session_seconds)

    def watch(self) -> None:
        """Wait for the end of the playbook, and terminate the run if it is not closed."""
        self._watched.wait(self._look)
        if self._closed.exists():
            return
        say(f"ansible-playbook (process {self._settings.pid}) ended without closing the run: terminating the run")
        self._end()
        self._report()

    def _look(self, workers: list[int]) -> None:
        """Kill a playbook that does not end after Ctrl-C; terminate hung sessions."""
        for pid in self._hung.find(workers):
            seconds = self._settings.session_seconds
            say(f"nothing has moved in an SSM session for {seconds:.0f} s: terminating it ({pid})")
            send([pid], signal.SIGTERM)
        if self._interrupted is None:
            self._interrupted = time.monotonic() if self._note.exists() else None
        elif time.monotonic() - self._interrupted > INTERRUPTED_SECONDS:
            say(f"ansible-playbook does not end {INTERRUPTED_SECONDS:.0f} s after Ctrl-C: killing it")
            self._watched.kill()

    def _end(self) -> None:
        """Sweep until nothing is left over and no worker could launch more, and then once more."""
        begun = time.monotonic()
        troubles = 0
        while True:
            trouble = self._sweep()
            if not trouble and not self._orphans_live(begun):
                break
            if not trouble:
                time.sleep(1)
                continue
            say(f"sweep failed: {trouble}")
            if time.monotonic() - begun > TROUBLE_SECONDS:
                say(f"giving up after {TROUBLE_SECONDS:.0f} s: leftovers live until their lease expires")
                return
            time.sleep(TROUBLE_PAUSES[min(troubles, len(TROUBLE_PAUSES) - 1)])
            troubles += 1
        # A pending launch may have completed by now.
        time.sleep(LATE_SECONDS)
        say(self._sweep() or f"the run is terminated, {time.monotonic() - begun:.1f} s after its playbook")

    def _orphans_live(self, begun: float) -> bool:
        orphans = self._watched.orphans()
        if orphans and time.monotonic() - begun > WORKER_SECONDS:
            say(f"killing orphaned processes of the playbook: {', '.join(map(str, orphans))}")
            send(orphans, signal.SIGKILL)
        return bool(orphans)

    def _report(self) -> None:
        """Write receipt and report with playbooks/terminate.yml."""
        config = {"ANSIBLE_CONFIG": self._settings.config} if self._settings.config else {}
        kept = {name: value for name, value in os.environ.items() if not name.startswith(SHOWN_BY)}
        environment = {**kept, **config, "ANSIBLE_STDOUT_CALLBACK": "default", "ANSIBLE_NOCOLOR": "1"}
        try:
            done = subprocess.run(
                self._settings.report_command, env=environment, timeout=REPORT_SECONDS, stdin=subprocess.DEVNULL
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            say(f"cannot write the report: {error}")
            return
        failure = f"playbooks/terminate.yml failed with exit code {done.returncode}: see above"
        say(failure if done.returncode else "reported")


def make_sweep(settings: Settings) -> Callable[[], str]:
    """Return the sweep of the run. Imports and clients are created now, because each second counts later."""
    import boto3

    from ..aws.client import SWEEP, Aws
    from ..sweep.scope import Refused, Scope
    from ..sweep.sweep import sweep

    session = boto3.session.Session(region_name=settings.region)
    aws = Aws(lambda service: session.client(service, config=SWEEP))
    for service in ("ec2", "s3", "scheduler"):
        aws.client(service)
    scope = Scope(**settings.wanted)

    def end() -> str:
        try:
            report = sweep(aws, scope)
        except Refused as refusal:
            return str(refusal)
        except Exception as error:
            # Every error is retried.
            return f"{type(error).__name__}: {error}"
        for line in report.lines():
            say(line)
        return str(report.trouble())

    return end


def say(text: str) -> None:
    """Write a line to watchdog.log; ignore errors such as a full disk."""
    with contextlib.suppress(OSError):
        print(f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())}  {text}", flush=True)


def main() -> int:
    """Watch one run; return 0 even if it cannot be terminated, which is in watchdog.log."""
    settings = Settings(**json.loads(sys.argv[1]))
    closed = Path(settings.run_dir) / "closed"
    # Ignore SIGTERM before the run is closed, for example from a control node that shuts down.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0) if closed.exists() else None)
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    watchdog = Watchdog(settings, make_sweep(settings))
    say(f"watching ansible-playbook (process {settings.pid})")
    watchdog.watch()
    return 0


if __name__ == "__main__":
    sys.exit(main())
