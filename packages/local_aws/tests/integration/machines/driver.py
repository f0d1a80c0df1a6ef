"""A process that owns machines for a test: JSON lines in and out, standard library only.

The machines are in a separate process, so that a test can run them as an ordinary user and kill their owner. The first
argument is the folder with the package ``local_aws``.
"""

from __future__ import annotations

import base64
import json
import os
import pty
import select
import sys
import threading
import time
from pathlib import Path, PurePosixPath
from typing import Any

sys.path.insert(0, sys.argv[1])

from local_aws.machines import Isolation, Machine, MachineSpec, RemoteProcess, detect
from local_aws.machines.spec import User

MACHINES: dict[str, Machine] = {}
REASONS: dict[str, list[str]] = {}
RUNNING: dict[int, RemoteProcess] = {}


def start(name: str, folder: str, level: str, user_data: str | None = None, **options: Any) -> dict[str, Any]:
    shared = {Path(source): PurePosixPath(target) for source, target in options.pop("shared", {}).items()}
    hidden = [Path(path) for path in options.pop("hidden", [])]
    visible = [Path(path) for path in options.pop("visible", [])]
    environment = options.pop("environment", {})
    script = None if user_data is None else base64.b64decode(user_data)
    spec = MachineSpec(name, f"ip-{name}", script, environment, shared, hidden=hidden, visible=visible, **options)
    machine = MACHINES[name] = Machine(spec, Path(folder), Isolation(level))
    REASONS[name] = []
    machine.on_exit(REASONS[name].append)
    machine.start()
    return {"pid": machine.pid}


def run(name: str, argv: list[str], user: User, stdin: str, tty: bool, limit: float, **options: Any) -> dict[str, Any]:
    """Run a command to its end; with ``tty`` on a terminal, whose output includes the errors."""
    if tty:
        ours, theirs = pty.openpty()
        into, out_of = ours, ours
        ends = (theirs, theirs, theirs)
    else:
        read_in, into = os.pipe()
        out_of, write_out = os.pipe()
        ends = (read_in, write_out, write_out)
    process = MACHINES[name].spawn(argv, user=user, stdin=ends[0], stdout=ends[1], stderr=ends[2], tty=tty, **options)
    for end in set(ends):
        os.close(end)
    os.write(into, stdin.encode())
    if not tty:
        os.close(into)
    output = b""
    deadline = time.monotonic() + limit
    while time.monotonic() < deadline:
        # A daemon may keep the pipe open after the end of the command.
        if not select.select([out_of], [], [], 0.1)[0]:
            if process.wait(0) is not None:
                break
            continue
        try:
            part = os.read(out_of, 65536)
        except OSError:
            break  # a terminal whose other side is closed
        if not part:
            break
        output += part
    os.close(out_of)
    return {"code": process.wait(limit), "out": output.decode(errors="replace")}


def spawn(name: str, argv: list[str], user: User) -> dict[str, Any]:
    quiet = os.open(os.devnull, os.O_RDWR)
    process = MACHINES[name].spawn(argv, user=user, stdin=quiet, stdout=quiet, stderr=quiet)
    os.close(quiet)
    number = len(RUNNING)
    RUNNING[number] = process
    return {"number": number}


def ask(request: dict[str, Any]) -> dict[str, Any]:
    do = request.pop("do")
    if do == "start":
        return start(**request)
    if do == "run":
        return run(**request)
    if do == "spawn":
        return spawn(**request)
    if do == "detect":
        return {"level": detect(Path(request["folder"]))}
    if do in ("kill-command", "wait-command"):
        process = RUNNING[request["number"]]
        if do == "kill-command":
            process.kill()
        return {"code": process.wait(request["limit"])}
    machine = MACHINES[request["name"]]
    if do == "booted":
        return {"booted": machine.booted.wait(request["limit"]), "code": machine.user_data_exit}
    if do == "wait":
        return {"over": machine.wait(request["limit"])}
    if do in ("kill", "destroy"):
        getattr(machine, do)()
    return {
        "alive": machine.alive,
        "console": machine.console(),
        "folder": machine.folder.exists(),
        "reasons": REASONS[request["name"]],
        "threads": threading.active_count(),
    }


def main() -> None:
    for line in sys.stdin:
        try:
            answer = ask(json.loads(line))
        except Exception as error:  # reported to the test
            answer = {"failure": type(error).__name__, "text": str(error), "errno": getattr(error, "errno", None)}
        print(json.dumps(answer), flush=True)


main()
