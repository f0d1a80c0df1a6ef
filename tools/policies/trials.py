"""Run what needs a statement without that statement, and report where and how it fails."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tools.policies.recording import ARCHIVED, EVERYTHING
from tools.policies.scene import ROLES, SENDER, Scene
from tools.policies.statements import Statement

LONGEST_WORDS = 260


@dataclass(frozen=True)
class Failure:
    """The step that failed without a statement, and its message."""

    step: str
    message: str


def fail(scene: Scene, statement: Statement) -> Failure | None:
    """Run what needs a statement while its policy lacks it; None if nothing failed."""
    with scene.without(statement.policy, statement.sid):
        return _needs(statement)(scene, statement)


def _needs(statement: Statement) -> Callable[[Scene, Statement], Failure | None]:
    special = {
        ("control_node", "TakeTheRollbackRole"): _rollback,
        ("training_instance", "Heartbeat"): _heartbeat,
        ("preflight_instance", "NeverWrite"): _careless_preflight,
    }
    usual = {"control_node_notifications": _notification, "expiry": _expiry, "rollback": _rollback}
    return special.get((statement.policy, statement.sid)) or usual.get(statement.policy, _run)


def _run(scene: Scene, statement: Statement, *arguments: str) -> Failure | None:
    """Run a training for a statement of the training's role, else a preflight."""
    training = statement.policy == "training_instance"
    mode = ("-e", "training_mode=full") if training else ("-e", "preflight_only=true")
    code, output, receipt = scene.train(*mode, *arguments)
    if code == 0:
        return None
    error = str(receipt.get("error") or output[-LONGEST_WORDS:])
    failed = [each["name"] for each in receipt.get("steps", []) if each["status"] == "failed"]
    message = re.sub(r'^open failed at "[^"]*": The preflight failed: \d+ of \d+ checks?\. ', "", error)
    return Failure(failed[0] if failed else "open", short(message, statement.actions()))


def _careless_preflight(scene: Scene, statement: Statement) -> Failure | None:
    """Run a preflight whose role has another policy that allows writing; only this statement prevents it."""
    iam, role = scene.account.client("iam"), ROLES[statement.policy]
    iam.put_role_policy(RoleName=role, PolicyName="careless", PolicyDocument=json.dumps(EVERYTHING))
    try:
        return _run(scene, statement)
    finally:
        iam.delete_role_policy(RoleName=role, PolicyName="careless")


def _rollback(scene: Scene, _: Statement) -> Failure | None:
    """Roll back to the archived set of the recorded trainings that is not live."""
    live = scene.live_date()
    wanted = next(day for day in ARCHIVED if day != live)
    scene.make_room(wanted)
    code, output = scene.playbook("rollback", "-e", f"to={wanted}", "-e", f"runs_dir={scene.folder}")
    return None if code == 0 else Failure("rollback", short(_error_of(output)))


def _error_of(output: str) -> str:
    """The last error that Ansible printed."""
    found = re.findall(r"\[ERROR\]: (?:Task failed: )?(?:Action failed: )?(.+)", output)
    return str(found[-1]) if found else output[-LONGEST_WORDS:]


def _notification(scene: Scene, statement: Statement) -> Failure | None:
    """Run a preflight that fails early and sends notifications."""
    _, _, receipt = scene.train("-e", "preflight_only=true", "-e", "data_bucket=not-there", *scene.notified())
    failed = [each for each in receipt["notifications"] if not each["sent"]]
    if not failed:
        return None
    channel = "ses" if "ses:SendRawEmail" in statement.actions() else "sns"
    assert [each["channel"] for each in failed] == [channel], failed
    return Failure("report", short(f"NOT SENT to {failed[0]['to']} by {channel}: {failed[0]['error']}"))


def _expiry(scene: Scene, statement: Statement) -> Failure | None:
    ended, denied = scene.expire(f"expires-without-{statement.sid}")
    return None if ended else Failure("schedule in the cloud", short(f"the instance goes on running: {denied}"))


def _heartbeat(scene: Scene, _: Statement) -> Failure | None:
    result = scene.errand("training", ROLES["training_instance"], "2022-12-29", "without-heartbeat")
    return Failure("training", short(result)) if "could not be sent" in result else None


def short(text: str, about: Sequence[str] = ()) -> str:
    """Shorten a message to one line, and replace what differs between runs; the first of the actions stays visible."""
    line = " ".join(text.split()).replace(SENDER, "<sender>").replace("arn:aws:iam::123456789012:user/", "")
    line = re.sub(r"(ClientError: )?An error occurred \(\w+\) when calling the \w+ operation( \([^)]*\))?: ", "", line)
    line = re.sub(r"arn:aws:sts::\d+:assumed-role/", "", line)
    line = re.sub(r"\bi-[0-9a-f]{8,}", "i-…", line)
    line = re.sub(r"\brollback-\d{8}T\d{6}Z", "rollback-…", line)
    line = re.sub(r"\b\d{8}T\d{6}Z-[0-9a-z]+", "<run id>", line)
    named = [line.index(action) + len(action) for action in about if action in line]
    if named and min(named) > LONGEST_WORDS:
        # Start at the check that names it.
        line = f"… {line[line.rindex('. ', 0, min(named)) + 2 :]}" if ". " in line[: min(named)] else line
    return line if len(line) <= LONGEST_WORDS else f"{line[: LONGEST_WORDS - 1]}…"
