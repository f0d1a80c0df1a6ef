"""The client behind a machine's ``sudo``, ``shutdown`` and similar commands: it forwards them to the init.

It passes its standard input, output and error to the init, so that a command under ``sudo`` uses the caller's own pipe
or terminal. (The terminal stays the caller's *controlling* terminal: an interactive root shell has no job control.)
"""

from __future__ import annotations

import datetime as dt
import os
import select
import signal
import socket
import sys
from collections.abc import Sequence
from dataclasses import asdict
from types import FrameType
from typing import Any

from local_aws.machines import frames, power, sudo

SOCKET = "init.sock"
_FORWARDED = (
    *(signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT),
    *(signal.SIGUSR1, signal.SIGUSR2, signal.SIGWINCH, signal.SIGALRM),
)


def main(argv: Sequence[str], folder: str) -> int:
    """Run the command that ``argv[0]`` names, with the init's socket in ``folder``.

    Returns its exit status, 128 + n if signal n ended it, or 1 on errors.
    """
    name = os.path.basename(argv[0])
    try:
        if name == "sudo":
            return _sudo(folder, argv[1:])
        return _power(folder, name, argv[1:])
    except OSError as error:
        print(f"{name}: this machine's init does not answer: {error}", file=sys.stderr)
        return 1


def connect(folder: str) -> socket.socket:
    """Connect to the init's socket in ``folder``; its path may exceed the 107 bytes of unix(7)."""
    here = os.open(folder, os.O_PATH | os.O_DIRECTORY)
    try:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.connect(f"/proc/self/fd/{here}/{SOCKET}")
    finally:
        os.close(here)
    return sock


def _sudo(folder: str, arguments: Sequence[str]) -> int:
    try:
        call = sudo.parse(arguments)
    except sudo.UsageError as error:
        print(f"sudo: {error}", file=sys.stderr)
        return 1
    if call.action == "version":
        print(sudo.VERSION)
        return 0
    request: dict[str, Any] = {"do": "sudo", "call": asdict(call), "cwd": _cwd(), "env": dict(os.environ)}
    with connect(folder) as sock:

        def forward(number: int, _frame: FrameType | None) -> None:
            frames.send(sock, {"signal": number})

        waker, wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        # Signals are forwarded from the moment the command may have started, and not before.
        signal.pthread_sigmask(signal.SIG_BLOCK, _FORWARDED)
        for each in _FORWARDED:
            signal.signal(each, forward)
        frames.send(sock, request, (0, 1, 2))
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _FORWARDED)
        # Not a blocking receive: a signal just before it would be forwarded only after it.
        while sock.fileno() not in select.select([sock.fileno(), waker], [], [])[0]:
            os.read(waker, 4096)
        answer = frames.receive(sock)
    if answer is None:
        return 1  # the machine ended
    message, _ = answer
    if "error" in message:
        print(f"sudo: {message['error']}", file=sys.stderr)
        return int(message.get("code", 1))
    if "text" in message:
        print(message["text"])
    code = int(message["code"])
    return code if code >= 0 else 128 - code


def _power(folder: str, name: str, arguments: Sequence[str]) -> int:
    try:
        call = power.parse(name, arguments, dt.datetime.now())
    except power.PowerError as error:
        print(error, file=sys.stderr)
        return 1
    if call.action == "nothing":
        return 0
    with connect(folder) as sock:
        frames.send(sock, {"do": "power", "call": asdict(call)})
        answer = frames.receive(sock)
    message = answer[0] if answer else {}
    if "error" in message:
        print(f"{name}: {message['error']}", file=sys.stderr)
        return 1
    if "at" in message:
        at = dt.datetime.fromtimestamp(message["at"]).astimezone()
        print(power.scheduled(message["kind"], at), file=sys.stderr)
    elif call.action == "show":
        print("No scheduled shutdown.", file=sys.stderr)
        return 1
    return 0


def _cwd() -> str:
    try:
        return os.getcwd()
    except OSError:
        return "/"  # the folder was removed
