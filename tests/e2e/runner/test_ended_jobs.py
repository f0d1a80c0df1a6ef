"""Jobs that AWX ends in mid-training: what ends the instance then, and within how long."""

from __future__ import annotations

import time
from typing import Any

import pytest

from tests.e2e.runner.conftest import Jobs
from tests.e2e.runs.conftest import NO_LEAKS
from tests.support.waiting import happens
from tools.awx_check.jobs import Result

LONG = {"folds": 600, "fold_seconds": 1}
SURVEY = {"preflight_only": "false", "training_mode": "full"}
#: From the end of the worker: the watchdog's sweep, and the end of the machine.
WATCHDOG_SECONDS = 40.0
#: As in tools/drills/catalogue/layers.py: a lease that outlasts the start of a training by little.
LEASE_MINUTES = 3
AFTER_LEASE_SECONDS = 20.0
REPORT_SECONDS = 120.0


class Cancelling:
    """Presses "cancel" once a job shows the folds of its training, and remembers when."""

    def __init__(self, jobs: Jobs) -> None:
        """Nothing is pressed yet."""
        self._jobs = jobs
        self.at: float | None = None

    def __call__(self) -> bool:
        """Whether it is pressed."""
        if self.at is None and self._jobs.in_training():
            self.at = time.monotonic()
        return self.at is not None


def watchdog_log(jobs: Jobs) -> str:
    return (jobs.left_folder() / "watchdog.log").read_text()


def ended_by_watchdog(jobs: Jobs) -> None:
    """Wait until the watchdog has terminated and reported the run: nothing is left, and the receipt says why."""
    assert happens(lambda: "reported" in watchdog_log(jobs), within=REPORT_SECONDS), watchdog_log(jobs)
    receipt = jobs.receipt()
    assert receipt["outcome"] == "interrupted"
    assert "terminated by the watchdog" in receipt["error"]
    assert "\x1b" not in watchdog_log(jobs), "it was shown as ansible-runner wants it"
    assert receipt["leaks"] == NO_LEAKS
    assert jobs.stage.left() == NO_LEAKS


@pytest.fixture(scope="module")
def cancelled(jobs: Jobs) -> tuple[Result, float]:
    """A job that was cancelled once it trained, and how many seconds after its start that was."""
    cancel, started = Cancelling(jobs), time.monotonic()
    result = jobs.train(SURVEY, LONG, cancel, skip_tags="preflight")
    assert cancel.at is not None
    return result, cancel.at - started


def test_watchdog_cleans_up_after_a_cancelled_job(jobs: Jobs, cancelled: tuple[Result, float]) -> None:
    result, _ = cancelled

    assert (result.status, result.stats) == ("canceled", {})
    assert result.rc in (254, None)  # None: it was still packing what it sends back when it was killed
    jobs.seconds_until_gone(time.monotonic(), WATCHDOG_SECONDS)
    ended_by_watchdog(jobs)


def test_job_at_its_time_limit_leaves_nothing(jobs: Jobs, cancelled: tuple[Result, float]) -> None:
    _, until_training = cancelled

    late = jobs.train(SURVEY, LONG, skip_tags="preflight", timeout=round(1.5 * until_training) + 20)

    assert (late.status, late.rc, late.stats) == ("timeout", 254, {})
    assert jobs.in_training(), "this job took much longer than the one before it"
    jobs.seconds_until_gone(time.monotonic(), WATCHDOG_SECONDS)
    ended_by_watchdog(jobs)


@pytest.fixture(scope="module")
def killed(jobs: Jobs) -> tuple[Result, float]:
    """A job whose container was killed in mid-training, watchdog and all, and when."""
    cancel = Cancelling(jobs)
    lease = {"spot_instance_lease_minutes": LEASE_MINUTES, "spot_instance_dead_man_minutes": LEASE_MINUTES}
    result = jobs.train({**SURVEY, **lease}, LONG, cancel, contained=True, skip_tags="preflight")
    assert cancel.at is not None
    return result, cancel.at


def test_a_container_that_is_killed_takes_the_watchdog_with_it(jobs: Jobs, killed: tuple[Result, float]) -> None:
    result, _ = killed

    assert (result.status, result.rc) == ("canceled", None)
    # The kernel kills all at once, but each goes only when it is its turn on a processor.
    assert happens(lambda: not [line for line in jobs.account.processes() if "runs.watchdog" in line], within=10)
    assert "has ended" not in watchdog_log(jobs)


def test_lease_and_reaper_end_what_a_lost_job_left(jobs: Jobs, killed: tuple[Result, float]) -> None:
    _, since = killed
    jobs.seconds_until_gone(since, LEASE_MINUTES * 60 + AFTER_LEASE_SECONDS)

    reaped = jobs.run("playbooks/reap.yml", {})

    assert reaped.status == "successful", reaped.stdout
    published = reaped.stats["spot_train_reaped"]
    assert published["error"] is None
    assert published["ended"]["launch_templates"], published
    assert jobs.stage.left() == NO_LEAKS


def test_run_without_its_folder_can_be_terminated(jobs: Jobs, killed: tuple[Result, float]) -> None:
    run_id = jobs.left_folder().name

    ended = jobs.run("playbooks/terminate.yml", {"run_id": run_id, "runs_dir": str(jobs.stage.folder / "lost")})

    assert ended.status == "successful", ended.stdout
    published: dict[str, Any] = ended.stats["spot_train_ended"]
    assert (published["run_id"], published["error"]) == (run_id, None)
    assert not any(published["left"].values())
    assert "spot_train_run" not in ended.stats
