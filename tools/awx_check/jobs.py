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
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
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
        verbosity: 0 to 5.
        forks: 0 is Ansible's default.
        timeout: Seconds after which the job is killed; 0 is never.
        environment: Environment variables from the credentials. ``{{ tower.filename.NAME }}`` is the path of a file.
        files: Files from the credentials: name -> content.
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
    """Run one job of a project to its end; `folder` receives all files of the job.

    Once `cancel` returns true the worker gets SIGTERM, and SIGKILL 10 s later. With `contained` all processes of the
    job die with the worker, as in a container, and to cancel kills all of them at once, as `podman kill` does; this
    requires permission to create a PID namespace. `on_event` is called with each event as it arrives.

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
    events: list[dict[str, Any]] = []
    status: dict[str, Any] = {"status": "error"}

    def keep(event: dict[str, Any]) -> bool:
        events.append(event)
        if on_event is not None:
            on_event(event)
        return True  # ansible-runner writes it to the artefacts

    with payload.open("rb") as sent, (folder / "worker.log").open("wb") as log:
        worker = subprocess.Popen(
            [
                *(CONTAINER if contained else ()),
                *(sys.executable, "-m", "ansible_runner", "worker", f"--private-data-dir={execution}"),
            ],
            stdin=sent,
            stdout=subprocess.PIPE,
            stderr=log,
            env=private_data.execution_environment(),
            cwd=folder,
            start_new_session=True,
        )
    with ThreadPoolExecutor(1) as pool:
        cancelled = pool.submit(_watch, worker, cancel or (lambda: False), contained)
        try:
            ansible_runner.run(
                streamer="process",
                quiet=True,
                _input=worker.stdout,
                private_data_dir=str(controller),
                ident=str(job.id),
                event_handler=keep,
                status_handler=lambda changed, runner_config: status.update(changed),
                cancel_callback=lambda: False,
            )
            worker.wait()
        finally:
            _kill(worker)
    if cancelled.result():
        status = {"status": "canceled"}
    artefacts = controller / "artifacts" / str(job.id)
    rc = None
    with contextlib.suppress(OSError, ValueError):  # the worker was killed before it could send it
        rc = int((artefacts / "rc").read_text())
    stdout = "\n".join(event["stdout"] for event in events if event.get("stdout")).replace("\r\n", "\n")
    stats: dict[str, Any] = {}
    for event in events:
        # As in AWX, the last event with artifact data wins.
        stats = (event.get("event_data") or {}).get("artifact_data") or stats
    return Result(status["status"], rc, stdout, events, artefacts, stats, status.get("job_explanation") or "")


def _watch(worker: subprocess.Popen[bytes], cancel: Callable[[], bool], contained: bool) -> bool:
    """Terminate a worker once its job is cancelled; return whether it was."""
    while worker.poll() is None:
        if cancel():
            if not contained:
                worker.send_signal(signal.SIGTERM)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    worker.wait(GRACE_SECONDS)
            _kill(worker)
            return True
        with contextlib.suppress(subprocess.TimeoutExpired):
            worker.wait(LOOK_SECONDS)
    return False


def _kill(worker: subprocess.Popen[bytes]) -> None:
    """Send SIGKILL to the process group of a worker that still runs; in a container this ends all of the job."""
    with contextlib.suppress(ProcessLookupError):  # already ended
        if worker.poll() is None:
            os.killpg(worker.pid, signal.SIGKILL)


def describe(result: Result) -> str:
    """A job as one line of JSON, without its events."""
    return json.dumps(
        {"status": result.status, "rc": result.rc, "explanation": result.explanation, "stats": result.stats}
    )
