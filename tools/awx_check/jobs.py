"""Run one job with ansible-runner as AWX does.

AWX runs a job in three parts (``transmit``, ``worker``, ``process``): it packs a private data directory, a worker in
the execution environment unpacks and plays it, and AWX reads the events that the worker prints. Here the worker is a
separate process in a separate folder. It gets only what was packed and an environment without keys.
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

#: How often to check for cancellation (AWX checks less often), and how long the worker may run on after the signal.
LOOK_SECONDS = 0.2
GRACE_SECONDS = 10.0
#: A PID namespace, as in a container: when its first process ends, the kernel kills all others in it.
CONTAINER = ("unshare", "--pid", "--fork", "--mount-proc", "--kill-child=SIGKILL")


@dataclass(frozen=True)
class Job:
    """What AWX knows about a job when it starts it.

    Attributes:
        playbook: Relative to the project.
        inventory: An inventory source of the project, relative to it; read as an inventory update reads it.
        extra_vars: From the survey and the launch, with their types. AWX marks every string in them as unsafe, and
            ansible-core 2.19 parses such a string as YAML: `true` becomes a boolean.
        template_vars: The variables of the job template, which AWX passes unchanged. `extra_vars` win.
        limit: Pattern of hosts.
        job_tags: Tags to play, separated by commas.
        skip_tags: Tags to skip.
        verbosity: 0 to 5.
        forks: 0 is Ansible's default.
        timeout: Seconds after which the job is killed; 0 is never.
        environment: Environment variables from the credentials. ``{{ tower.filename.NAME }}`` is the path of a file.
        files: Files from the credentials: name -> content.
        check: Whether the job type is ``check``.
        id: The job's number in AWX.
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
    """What AWX knows about a job that has ended.

    Attributes:
        status: ``successful``, ``failed``, ``canceled``, ``timeout`` (AWX shows it as failed) or ``error``.
        rc: Exit code of ``ansible-playbook``, 254 if it was killed; None if the worker did not send it.
        stdout: What the job's page shows.
        events: Every event, in order.
        artefacts: Folder with what the worker sent back.
        stats: What ``set_stats`` published.
        explanation: AWX's explanation of an error; may be empty.
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
        folder: Receives all files of the job; created if missing.
        project: The project's checkout.
        cancel: Returns whether to cancel the job. The worker then gets SIGTERM, and SIGKILL 10 s later.
        contained: Whether all processes of the job die with the worker, as in a container. To cancel then kills all of
            them at once, as `podman kill` does. Requires permission to create a PID namespace.
        on_event: Called with each event as it arrives.

    Returns:
        The job's result.

    Raises:
        FileNotFoundError: The project lacks the playbook or the inventory.
        subprocess.CalledProcessError: The inventory cannot be read.
    """
    for name in (job.playbook, job.inventory):
        if not (project / name).exists():
            raise FileNotFoundError(f"{name}: not found in the project {project}")
    controller, execution = folder.absolute() / "controller", folder.absolute() / "worker"
    revision = private_data.copy_project(project, controller / "project")
    private_data.write(job, controller, execution, revision)
    payload = folder / "payload"
    parameters = private_data.parameters(job, controller, execution, revision)
    with payload.open("wb") as packed:
        # Without a cancel callback ansible-runner replaces this process's signal handlers.
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
    """Collects the worker's events and status, as AWX's callback receiver does."""

    def __init__(self, on_event: Callable[[dict[str, Any]], None] | None) -> None:
        self._on_event = on_event
        self._events: list[dict[str, Any]] = []
        self._status, self._explanation = "error", ""

    def take_event(self, event: dict[str, Any]) -> bool:
        """Keep an event; True makes ansible-runner write it to the artefacts."""
        self._events.append(event)
        if self._on_event is not None:
            self._on_event(event)
        return True

    def take_status(self, status: Mapping[str, Any], runner_config: Any) -> None:
        """Keep a status and its explanation."""
        self._status = str(status["status"])
        self._explanation = str(status.get("job_explanation") or "")

    def result(self, artefacts: Path, cancelled: bool) -> Result:
        """The job's result."""
        stats: dict[str, Any] = {}
        for event in self._events:
            # As in AWX, the last event with artifact data wins.
            stats = (event.get("event_data") or {}).get("artifact_data") or stats
        rc = None
        with contextlib.suppress(OSError, ValueError):  # the worker was killed before it could send it
            rc = int((artefacts / "rc").read_text())
        stdout = "\n".join(event["stdout"] for event in self._events if event.get("stdout"))
        status = "canceled" if cancelled else self._status
        explanation = "" if cancelled else self._explanation
        return Result(status, rc, stdout.replace("\r\n", "\n"), self._events, artefacts, stats, explanation)


class _Canceller:
    """Terminates a worker once its job is cancelled."""

    def __init__(self, worker: subprocess.Popen[bytes], cancel: Callable[[], bool] | None, contained: bool) -> None:
        self.cancelled = False
        self._worker, self._cancel, self._contained = worker, cancel, contained
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> _Canceller:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Kill a worker that still runs."""
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
        """Send SIGKILL to the worker's process group; in a container this ends all of the job's processes."""
        with contextlib.suppress(ProcessLookupError):  # already ended
            os.killpg(self._worker.pid, signal.SIGKILL)


def describe(result: Result) -> str:
    """A job as one line of JSON, without its events."""
    return json.dumps(
        {"status": result.status, "rc": result.rc, "explanation": result.explanation, "stats": result.stats}
    )
