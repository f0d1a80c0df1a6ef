"""One job, run by ansible-runner as AWX runs it.

AWX does it in three parts (``transmit``, ``worker``, ``process``): it packs a private data directory, a worker in the
execution environment unpacks and plays it, and AWX reads the events that the worker prints. So it is here: the worker
is a process of its own, in a folder of its own, and gets nothing but what was packed and an environment without a key.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ansible_runner

from tools.awx_check import private_data

#: AWX looks this often whether a job was cancelled (here faster), and lets the worker go on so long after the signal.
LOOK_SECONDS = 0.2
GRACE_SECONDS = 10.0
#: A PID namespace is what a container ends by: with its first process every other one in it is killed, by the kernel.
CONTAINER = ("unshare", "--pid", "--fork", "--mount-proc", "--kill-child=SIGKILL")


@dataclass(frozen=True)
class Job:
    """What AWX knows of a job when it starts it.

    Attributes:
        playbook: Relative to the project.
        inventory: An inventory source of the project, relative to it; taken up as an inventory update does.
        extra_vars: What the survey and whoever launches give, with the types that they have there. AWX marks every
            text in them as unsafe, which ansible-core 2.19 then reads as YAML does: `true` is no text any more.
        template_vars: The variables of the job template itself, which AWX hands on as they are. `extra_vars` win.
        limit: Pattern of hosts.
        job_tags: Tags to play, separated by commas.
        skip_tags: Tags to skip.
        verbosity: 0 to 5.
        forks: 0 is Ansible's own default.
        timeout: Seconds after which the job is killed; 0 is never.
        environment: What the credentials put into the environment. ``{{ tower.filename.NAME }}`` is the path of a file.
        files: What the credentials put into files: name -> content.
        check: Whether the template is of the type ``check``.
        id: AWX's number of the job.
    """

    playbook: str
    inventory: str
    extra_vars: Mapping[str, Any] = field(default_factory=dict)
    limit: str = ""
    job_tags: str = ""
    skip_tags: str = ""
    verbosity: int = 0
    forks: int = 0
    timeout: int = 0
    environment: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    template_vars: Mapping[str, Any] = field(default_factory=dict)
    check: bool = False
    id: int = 1


@dataclass(frozen=True)
class Result:
    """What AWX knows of a job that has ended.

    Attributes:
        status: ``successful``, ``failed``, ``canceled``, ``timeout`` (AWX shows it as failed) or ``error``.
        rc: Exit code of ``ansible-playbook``, 254 for one that was killed; None where the worker could not tell.
        stdout: What the job's page shows.
        events: Every event, in order.
        artefacts: Folder with what the worker sent back.
        stats: What ``set_stats`` published.
        explanation: Why there is an error, in AWX's words; empty where there is none.
    """

    status: str
    rc: int | None
    stdout: str
    events: list[dict[str, Any]]
    artefacts: Path
    stats: dict[str, Any]
    explanation: str = ""


def run_job(
    job: Job,
    folder: Path,
    project: Path,
    cancel: Callable[[], bool] | None = None,
    *,
    contained: bool = False,
    on_event: Callable[[dict[str, Any]], None] | None = None,
) -> Result:
    """Run one job to its end.

    Args:
        job: The job.
        folder: Gets everything of it; made if it is not there.
        project: What AWX has checked out.
        cancel: Says whether somebody has pressed "cancel". Then the worker gets SIGTERM, and SIGKILL 10 s later.
        contained: Whether what the job starts dies with its worker, as in a container. Then "cancel" kills all of it at
            once, as `podman kill` does. Needs the right to make a PID namespace.
        on_event: Called with each event as it arrives.

    Returns:
        What came of it.

    Raises:
        FileNotFoundError: The playbook or the inventory is not in the project.
        subprocess.CalledProcessError: The inventory cannot be read.
    """
    for name in (job.playbook, job.inventory):
        if not (project / name).exists():
            raise FileNotFoundError(f"{name} is not in the project {project}")
    controller, execution = folder.absolute() / "controller", folder.absolute() / "worker"
    revision = private_data.copy_project(project, controller / "project")
    private_data.write(job, controller, execution, revision)
    payload = folder / "payload"
    parameters = private_data.parameters(job, controller, execution, revision)
    with payload.open("wb") as packed:
        # Without a callback, ansible-runner would put its own in the place of this process's signal handlers.
        ansible_runner.run(streamer="transmit", _output=packed, cancel_callback=lambda: False, **parameters)
    collector = _Collector(on_event)
    with payload.open("rb") as packed, (folder / "worker.log").open("wb") as log:
        worker = subprocess.Popen(
            [
                *(CONTAINER if contained else ()),
                *(sys.executable, "-m", "ansible_runner", "worker", f"--private-data-dir={execution}"),
            ],
            stdin=packed,
            stdout=subprocess.PIPE,
            stderr=log,
            env=private_data.execution_environment(),
            cwd=folder,
            start_new_session=True,
        )
    canceller = _Canceller(worker, cancel, contained)
    with canceller:
        ansible_runner.run(
            streamer="process",
            quiet=True,
            _input=worker.stdout,
            private_data_dir=str(controller),
            ident=str(job.id),
            event_handler=collector.take_event,
            status_handler=collector.take_status,
            cancel_callback=lambda: False,
        )
        worker.wait()
    return collector.result(controller / "artifacts" / str(job.id), canceller.cancelled)


class _Collector:
    """Takes what the worker tells, as AWX's callback receiver does."""

    def __init__(self, on_event: Callable[[dict[str, Any]], None] | None) -> None:
        """Nothing has been told yet."""
        self._on_event = on_event
        self._events: list[dict[str, Any]] = []
        self._status, self._explanation = "error", ""

    def take_event(self, event: dict[str, Any]) -> bool:
        """Keep an event; True has it written to the artefacts."""
        self._events.append(event)
        if self._on_event is not None:
            self._on_event(event)
        return True

    def take_status(self, status: Mapping[str, Any], runner_config: Any) -> None:
        """Keep a status and the reason for it."""
        self._status = str(status["status"])
        self._explanation = str(status.get("job_explanation") or "")

    def result(self, artefacts: Path, cancelled: bool) -> Result:
        """What came of the job."""
        stats: dict[str, Any] = {}
        for event in self._events:
            # AWX: the last event that has any wins.
            stats = (event.get("event_data") or {}).get("artifact_data") or stats
        rc = None
        with contextlib.suppress(OSError, ValueError):  # the worker was killed before it could send it
            rc = int((artefacts / "rc").read_text())
        stdout = "\n".join(event["stdout"] for event in self._events if event.get("stdout"))
        status = "canceled" if cancelled else self._status
        explanation = "" if cancelled else self._explanation
        return Result(status, rc, stdout.replace("\r\n", "\n"), self._events, artefacts, stats, explanation)


class _Canceller:
    """Ends a worker when somebody asks for it."""

    def __init__(self, worker: subprocess.Popen[bytes], cancel: Callable[[], bool] | None, contained: bool) -> None:
        """Nobody has asked yet."""
        self.cancelled = False
        self._worker, self._cancel, self._contained = worker, cancel, contained
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> _Canceller:
        """Begin to look."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Whatever went wrong here, leave no worker behind."""
        if self._worker.poll() is None:
            self._kill()
            self._worker.wait()
        self._thread.join()

    def _watch(self) -> None:
        while self._worker.poll() is None:
            if self._cancel is not None and self._cancel():
                self.cancelled = True
                break
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._worker.wait(LOOK_SECONDS)
        if not self.cancelled:
            return
        if not self._contained:
            self._worker.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._worker.wait(GRACE_SECONDS)
                return
        self._kill()

    def _kill(self) -> None:
        """SIGKILL to the worker's process group; in a container that is the end of everything in it."""
        with contextlib.suppress(ProcessLookupError):  # it has ended meanwhile
            os.killpg(self._worker.pid, signal.SIGKILL)


def describe(result: Result) -> str:
    """A job in one line of JSON, without its events: for people and for the messages of assertions."""
    return json.dumps(
        {"status": result.status, "rc": result.rc, "explanation": result.explanation, "stats": result.stats}
    )
