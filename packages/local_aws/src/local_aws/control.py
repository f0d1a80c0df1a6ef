"""Start, stop and control an embedded AWS from another process."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from local_aws.state import LocalAwsError, Reservation, reserve

LOCK = "server.lock"
"""Held by the server of a state folder while it lives."""

START_SECONDS = 60.0
STOP_SECONDS = 120.0


def running(reservation: Reservation) -> int | None:
    """Process id of the server of this state folder; None if it is not running."""
    try:
        pid = int(json.loads((reservation.home / "server.json").read_text())["pid"])
        # After a kill or a reboot another process may have that id, so the port must answer too.
        os.kill(pid, 0)
        socket.create_connection(("127.0.0.1", reservation.port), timeout=10).close()
    except (FileNotFoundError, ProcessLookupError, ConnectionError, TimeoutError, ValueError, KeyError):
        return None
    except PermissionError:
        pass  # it is alive, as another user's process
    return pid


def start(
    home: Path | None = None,
    *,
    boot_delay: float | None = None,
    idle_minutes: float | None = None,
    decisions: bool = False,
) -> Reservation:
    """Start the embedded AWS of ``home`` unless it is running; return once it answers, or raise LocalAwsError."""
    reservation = reserve(home)
    if running(reservation) is not None:
        return reservation
    timing = {"--boot-delay": boot_delay, "--idle-minutes": idle_minutes}
    options = [f"{name}={value}" for name, value in timing.items() if value is not None]
    options += ["--decisions"] if decisions else []
    process = _spawn(reservation, options)
    waited = False
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        ended = process.poll() is not None
        pid = running(reservation)
        if pid is not None:
            if pid != process.pid:  # another start won; ours must not take over when that server stops
                process.kill()
                process.wait()
            return reservation
        if ended and _held(reservation.home / LOCK):
            waited = True  # a concurrent start, or a server that is stopping: wait for its outcome
        elif ended and waited:
            process, waited = _spawn(reservation, options), False
        elif ended:
            break
        time.sleep(0.05)
    process.kill()
    process.wait()
    raise LocalAwsError(f"the embedded AWS did not start: {_last_line(reservation.home / 'server.log')}")


def stop(home: Path | None = None) -> bool:
    """Stop it and every machine in it; return whether it was running; LocalAwsError if it does not stop in time."""
    reservation = reserve(home)
    pid = running(reservation)
    if pid is None:
        return False
    call(reservation, "stop", {})
    deadline = time.monotonic() + STOP_SECONDS
    while time.monotonic() < deadline:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)  # if this process is its parent
        if not Path(f"/proc/{pid}").exists() if Path("/proc/self").exists() else running(reservation) is None:
            return True
        time.sleep(0.05)
    raise LocalAwsError(f"the embedded AWS (process {pid}) does not stop")


def call(reservation: Reservation, name: str, arguments: dict[str, Any] | None = None) -> Any:
    """Send a control request, a GET without ``arguments``; LocalAwsError if the server is not running or refuses it."""
    request = urllib.request.Request(
        f"{reservation.endpoint}/_local_aws/{name}",
        data=None if arguments is None else json.dumps(arguments).encode(),
        headers={"X-Admin-Token": reservation.admin_token, "Content-Type": "application/json"},
    )
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=60) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        with contextlib.suppress(ValueError, KeyError):
            raise LocalAwsError(json.load(error)["error"]) from error
        raise LocalAwsError(f"the embedded AWS refused {name}: HTTP {error.code}") from error
    except (urllib.error.URLError, ConnectionError, TimeoutError) as error:
        raise LocalAwsError("the embedded AWS is not running; start it with: python -m local_aws start") from error


def _spawn(reservation: Reservation, options: list[str]) -> subprocess.Popen[bytes]:
    path = os.pathsep.join(filter(None, [str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH")]))
    with (reservation.home / "server.log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "local_aws", "--home", str(reservation.home), "serve", *options],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**os.environ, "PYTHONPATH": path},
            start_new_session=True,
        )


def _held(path: Path) -> bool:
    with path.open("a") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _last_line(path: Path) -> str:
    lines = path.read_text(errors="replace").split("\n") if path.exists() else []
    return next((line.strip() for line in reversed(lines) if line.strip()), f"see {path}")
