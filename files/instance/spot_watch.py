#!/usr/bin/env python3
# Copyright: spot-train contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Run a command on an EC2 spot instance, and stop it gracefully when EC2 reclaims the instance.

The instance's metadata service announces this about two minutes ahead. The announcement is written to the notice file,
and the command gets SIGTERM, then SIGKILL after a grace period. A rebalance recommendation is only recorded. The notice
file is `{"kind": "spot" | "rebalance", "noticed_at": …, "reclaim_at": … | null}`, times in UTC.

A command that exceeds its time limit is stopped in the same way. Ansible's limit for an asynchronous job is unreliable:
async_wrapper may create the process group that it kills after the job has started outside it.

Exit code: 75 if the command was stopped for EC2, 124 if it exceeded its limit, otherwise its own (128 + n after signal
n). A stopped command that exits with 0 has completed its work, so the code stays 0.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import http.client
import json
import math
import os
import signal
import subprocess
import sys
import time
from datetime import datetime, timezone
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

INTERRUPTED, OVER_LIMIT, NOT_STARTED = 75, 124, 127
ENDPOINT_VARIABLE, ENDPOINT = "AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://169.254.169.254"
SPOT, REBALANCE = "spot/instance-action", "events/recommendations/rebalance"
ANSWER_SECONDS = 5.0
TOKEN_SECONDS = 21600
TIME = "%Y-%m-%dT%H:%M:%SZ"
FORWARDED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None)


class Unavailable(Exception):
    """The metadata service does not answer as expected."""


class Metadata:
    """The instance's metadata service, version 2."""

    def __init__(self, endpoint: str) -> None:
        """Take the service's http URL."""
        self.endpoint = endpoint
        self._address = urlsplit(endpoint)
        self._token = ""

    def get(self, path: str) -> dict[str, Any] | None:
        """Read a JSON object below `/latest/meta-data/`, None if it does not exist.

        Raises:
            Unavailable: The service does not answer, or not with a JSON object.
        """
        status, body = self._ask(path)
        if status == 401:
            self._token = ""
            status, body = self._ask(path)
        if status == 404:
            return None
        if status != 200:
            raise Unavailable(f"status {status} for {path}")
        try:
            document = json.loads(body)
        except (ValueError, RecursionError):
            document = None
        if not isinstance(document, dict):
            raise Unavailable(f"no JSON object at {path}")
        return document

    def _ask(self, path: str) -> tuple[int, bytes]:
        if not self._token:
            ttl = {"X-aws-ec2-metadata-token-ttl-seconds": str(TOKEN_SECONDS)}
            status, token = self._request("PUT", "/latest/api/token", ttl)
            if status != 200:
                raise Unavailable(f"status {status} for a token")
            self._token = token.decode("ascii", "replace")
        return self._request("GET", f"/latest/meta-data/{path}", {"X-aws-ec2-metadata-token": self._token})

    def _request(self, method: str, path: str, headers: dict[str, str]) -> tuple[int, bytes]:
        # Not urllib, which would use the proxy that the environment names.
        try:
            host, port = self._address.hostname or "", self._address.port
            with contextlib.closing(http.client.HTTPConnection(host, port, timeout=ANSWER_SECONDS)) as connection:
                connection.request(method, path, headers=headers)
                answer = connection.getresponse()
                return answer.status, answer.read()
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise Unavailable(str(error) or type(error).__name__) from error


class Watcher:
    """Polls EC2's announcements and records them."""

    def __init__(self, metadata: Metadata, notice: Path) -> None:
        """Prepare the notice file, deleting an earlier watcher's."""
        notice.parent.mkdir(parents=True, exist_ok=True)
        notice.unlink(missing_ok=True)
        self._metadata = metadata
        self._notice = notice
        self._rebalance = False
        self._warned = False

    def reclaimed(self) -> bool:
        """Poll once; whether EC2 reclaims the instance. Warns once if the metadata service is unavailable."""
        try:
            announced = self._metadata.get(SPOT)
            if announced is not None:
                return self._end(announced)
            if not self._rebalance and self._metadata.get(REBALANCE) is not None:
                self._rebalance = True
                self._write("rebalance", None)
                say("EC2 recommends rebalancing: an interruption is more likely; the command continues")
        except Unavailable as error:
            if not self._warned:
                self._warned = True
                say(f"cannot read interruption notices from the metadata service {self._metadata.endpoint}: {error}")
        return False

    def _end(self, announced: dict[str, Any]) -> bool:
        at = str(announced.get("time"))
        try:
            datetime.strptime(at, TIME)
        except ValueError:
            at = ""
        self._write("spot", at or None)
        say(
            f"EC2 reclaims this instance at {at or 'an unknown time'} ({announced.get('action')}): stopping the command"
        )
        return True

    def _write(self, kind: str, reclaim_at: str | None) -> None:
        document = {"kind": kind, "noticed_at": datetime.now(timezone.utc).strftime(TIME), "reclaim_at": reclaim_at}
        part = self._notice.with_name(f".{self._notice.name}.part")
        try:
            part.write_text(json.dumps(document) + "\n", encoding="utf-8")
            part.chmod(0o644)
            part.replace(self._notice)
        except OSError as error:
            say(f"cannot write the notice file: {error}")


def say(text: str) -> None:
    """Print one line to standard error, which the command shares."""
    print(f"spot_watch: {text}", file=sys.stderr, flush=True)


def start(command: list[str]) -> subprocess.Popen[bytes]:
    """Start a command in a new session, and forward signals to it; if this process is killed, so is the command."""
    # Signals are blocked until they can be forwarded, but not in the command.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, FORWARDED)

    def prepare() -> None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)

    try:
        child = subprocess.Popen(command, start_new_session=True, preexec_fn=prepare)
        for number in FORWARDED:
            signal.signal(number, lambda number, frame: send(child, number))
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return child


def send(child: subprocess.Popen[bytes], number: int) -> None:
    """Send a signal to the command and its descendants."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, number)


def run_watched(child: subprocess.Popen[bytes], watcher: Watcher, every: float, grace: float, limit: float) -> int:
    """Wait for the command, EC2 or the limit; return the exit code.

    All times are in seconds: ``every`` between polls, ``grace`` from SIGTERM to SIGKILL, ``limit`` of the command.
    """
    deadline = time.monotonic() + limit
    while not watcher.reclaimed():
        with contextlib.suppress(subprocess.TimeoutExpired):
            code = child.wait(every)
            return code if code >= 0 else 128 - code  # as a shell reports it
        if time.monotonic() >= deadline:
            say(f"the command exceeded its limit of {limit:g} s: stopping it")
            return end(child, grace) and OVER_LIMIT
    return end(child, grace) and INTERRUPTED


def end(child: subprocess.Popen[bytes], grace: float) -> int:
    """Stop the command by SIGTERM, then by SIGKILL after the grace period; returns its return code."""
    send(child, signal.SIGTERM)
    try:
        return child.wait(grace)
    except subprocess.TimeoutExpired:
        say(f"the command did not exit within {grace:g} s of SIGTERM: killing it")
        send(child, signal.SIGKILL)
        return child.wait()


def main() -> int:
    """Run the program; returns its exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--notice", type=Path, required=True, metavar="FILE", help="file for EC2's announcement (JSON)")
    parser.add_argument("--every", type=float, required=True, metavar="SECONDS", help="interval between polls")
    parser.add_argument("--grace", type=float, required=True, metavar="SECONDS", help="from SIGTERM to SIGKILL")
    parser.add_argument("--limit", type=float, default=math.inf, metavar="SECONDS", help="time limit of the command")
    parser.add_argument("command", nargs="+", metavar="COMMAND", help="after --")
    options = parser.parse_args()
    watcher = Watcher(Metadata(os.environ.get(ENDPOINT_VARIABLE) or ENDPOINT), options.notice)
    try:
        child = start(options.command)
    except OSError as error:
        say(f"cannot start {options.command[0]}: {error.strerror}")
        return NOT_STARTED
    return run_watched(child, watcher, options.every, options.grace, options.limit)


if __name__ == "__main__":
    sys.exit(main())
