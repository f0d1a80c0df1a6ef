"""The gate: every input of a run is checked here, once, before anything is started or launched."""

from __future__ import annotations

import difflib
import os
import re
import secrets
from collections.abc import Collection, Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase
from ansible.utils.vars import load_extra_vars

PROJECT = Path(__file__).resolve().parents[2]
from ansible_collections.spot_train.core.plugins.module_utils.inputs import source as run_source
from ansible_collections.spot_train.core.plugins.module_utils.inputs import tags as run_tags
from ansible_collections.spot_train.core.plugins.module_utils.inputs.credentials import without_credentials
from ansible_collections.spot_train.core.plugins.module_utils.inputs.values import (
    InputError,
    Spec,
    convert,
    known_inputs,
    known_of,
    unknown,
)

DOCUMENTATION = r"""
module: run_inputs
short_description: Check what a run was asked for, convert text to its type, name the run
description:
  - Refuses an extra variable (C(-e)) that no role's argument spec knows, a value of the wrong type, a choice that
    is none, and a date that is none, each with one line.
  - Text is converted here and nowhere else. C(true), C(false), C(yes), C(no) are booleans; everything else is refused.
  - Asks a git repository which commit the training source is. User and password of its URL are in nothing that is
    returned.
  - C(--tags) and C(--skip-tags) are inputs too. Without the training a run is a preflight, however that was said;
    without the preflight its receipt says so. A tag that the playbook does not have is refused.
  - Returns C(run), which the rest of the run reads as a fact, and warns of a folder that is not as committed.
options:
  spec:
    description: Role whose C(meta/argument_specs.yml) describes the inputs of the playbook itself.
    type: str
    default: run_open
  only:
    description:
      - Names of the extra variables that the playbook takes. Nothing else is checked then, no run is named, and
        nothing is returned.
    type: list
    elements: str
  describe:
    description: Facts to carry in C(run) as they are, for example the region and the buckets.
    type: dict
    default: {}
"""

# What Ansible, AWX and Tower put among the extra variables themselves.
PASSED_BY_ENGINES = re.compile(
    r"^(ansible_|(awx|tower)_(execution|inventory|job|parent|project|schedule|user|webhook|workflow)_)"
)
# What the playbooks publish with set_stats; AWX makes it extra variables of the next jobs of a workflow.
PUBLISHED = frozenset(("spot_train_run", "spot_train_ended", "spot_train_reaped", "spot_train_rollback"))


def check_extra(extra: Mapping[str, Any], known: Mapping[str, Spec]) -> dict[str, Any]:
    """Return the extra variables with their values converted.

    Raises:
        InputError: A name that nobody knows, or a value that does not fit.
    """
    values = {}
    for name, value in extra.items():
        if PASSED_BY_ENGINES.match(name) or name in PUBLISHED:
            continue
        if name not in known:
            raise unknown(name, known)
        values[name] = convert(name, value, known[name])
    return values


def check_date(name: str, value: Any) -> str:
    """Return ``value`` as an ISO date.

    Raises:
        InputError: There is no such day, or it is written otherwise.
    """
    text = value.isoformat() if isinstance(value, date) else str(value)
    try:
        if not re.fullmatch(r"\d{4}-\d{2}-\d{2}", text):
            raise ValueError("format")
        return date.fromisoformat(text).isoformat()
    except ValueError as error:
        raise InputError(f"{name}={text!r} is no date: write it as YYYY-MM-DD, for example 2026-01-31") from error


def check_source(source: Any, options: Mapping[str, Spec]) -> tuple[dict[str, Any], list[str]]:
    """Check the training source, and find out which commit it is.

    Args:
        source: What was asked for.
        options: The argument specs of its parts.

    Returns:
        The source with its defaults, `revision` and, of a folder, `dirty` and `unpushed`, its URL without user and
        password; and sentences that a person should read.

    Raises:
        InputError: It cannot be used.
    """
    try:
        run_source.check_origin(source)
        checked = _parts("training_source", source, options)
        run_source.check_parts(checked)
        if url := checked.get("git"):
            known: dict[str, Any] = {"revision": run_source.resolve(url, checked["ref"])}
            known["git"] = without_credentials(url)
            notes: list[str] = []
        else:
            run_source.check_folder(checked)
            known, notes = run_source.look_at(Path(checked["path"]))
            known["revision"] = known["revision"] or revision_of(Path(checked["path"]))
    except run_source.SourceError as error:
        raise InputError(str(error)) from error
    return {**checked, **known}, notes


def _parts(name: str, given: Mapping[str, Any], options: Mapping[str, Spec]) -> dict[str, Any]:
    """The parts of a mapping, converted; those with a default are always there.

    Raises:
        InputError: An unknown one, one that is missing, or one of the wrong type.
    """
    for part in given:
        if part not in options:
            near = difflib.get_close_matches(str(part), options, n=1)
            hint = f"did you mean {near[0]!r}" if near else f"there is {', '.join(options)}"
            raise InputError(f"unknown input '{name}.{part}' ({hint})")
    parts = {}
    for part, spec in options.items():
        value = given.get(part, spec.get("default"))
        if value is not None and value != "":
            parts[part] = convert(f"{name}.{part}", value, spec)
        elif spec.get("required"):
            raise InputError(f"{name}.{part} is not set: {_first_line(spec)}")
    return parts


def chosen_parts(variables: Mapping[str, Any], parts: Collection[str]) -> set[str]:
    """Return which of the parts of a playbook `--tags` and `--skip-tags` leave to be done.

    Raises:
        InputError: A tag that the playbook does not have, or tags that leave nothing to do.
    """
    asked, unwanted = variables.get("ansible_run_tags") or ("all",), variables.get("ansible_skip_tags") or ()
    try:
        chosen: set[str] = run_tags.chosen_parts(list(asked), list(unwanted), parts)
    except run_tags.TagError as error:
        raise InputError(str(error)) from error
    return chosen


def leave_out(parts: Collection[str], preflight_only: bool) -> tuple[list[str], list[str]]:
    """Say what the tags leave out of a run.

    Args:
        parts: What they leave to be done.
        preflight_only: The input of that name.

    Returns:
        The parts that are left out, and sentences that a person should read.

    Raises:
        InputError: With the input, nothing is left to be done.
    """
    if preflight_only and "preflight" not in parts:
        raise InputError("preflight_only=true leaves out the training, the tags the preflight: there is nothing to do")
    said = "the preflight on the instance is left out: nothing checks software, machine and data before the training"
    left_out = [part for part in run_tags.PARTS if part not in parts]
    return left_out, [said] if "preflight" in left_out else []


def revision_of(folder: Path) -> str | None:
    """The commit that a folder is of; None where nobody knows.

    AWX copies a project without what git knows of it, and says in the environment which commit it is.
    """
    revision: str | None = run_source.look_at(folder)[0]["revision"]
    if revision is None and folder.resolve().is_relative_to(PROJECT):
        return os.environ.get("PROJECT_REVISION") or None
    return revision


def name_run(now: datetime) -> str:
    """A run id: UTC time to the second and six random hexadecimal digits; sorts by time."""
    return f"{now:%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"


class ActionModule(ActionBase):  # type: ignore[misc]
    """See ``DOCUMENTATION``."""

    TRANSFERS_FILES = False
    _VALID_ARGS = frozenset(("spec", "only", "describe"))

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Check the inputs and return ``run``."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        variables = task_vars or {}
        try:
            parts = chosen_parts(variables, () if self._task.args.get("only") else run_tags.PARTS)
            if only := self._task.args.get("only"):
                self._check_given(only)
            else:
                result["run"] = self._run_facts(variables, parts)
                result["warnings"] = [f"{note[0].upper()}{note[1:]}." for note in result["run"]["notes"]]
        except InputError as error:
            return {**result, "failed": True, "msg": f"{error}. Nothing was started."}
        result["changed"] = False
        return result

    def _roles(self) -> Path:
        base = Path(self._loader.get_basedir()).resolve()
        return next(p / "roles" for p in (base, *base.parents) if (p / "roles").is_dir())

    def _check_given(self, only: list[str]) -> None:
        """Check the extra variables of a playbook that takes these and no other.

        They are not returned: tokens and passwords are among them, and Ansible shows what an action returns.
        """
        roles = self._roles()
        known = known_inputs(roles, known_of(roles / "run_open"), without=())
        check_extra(load_extra_vars(self._loader), {name: known.get(name, {"type": "str"}) for name in only})

    def _run_facts(self, variables: dict[str, Any], parts: set[str]) -> dict[str, Any]:
        roles = self._roles()
        own = known_of(roles / self._task.args.get("spec", "run_open"))
        extra = check_extra(load_extra_vars(self._loader), known_inputs(roles, own))
        values = {}
        for name, spec in own.items():
            if name in variables:
                values[name] = extra[name] if name in extra else convert(name, self._templated(variables, name), spec)
            elif spec.get("required"):
                raise InputError(f"{name} is not set: {spec['short'] if 'short' in spec else _first_line(spec)}")
        for name, spec in own.items():
            if spec.get("required") and values[name] in ("", None):
                raise InputError(f"{name} is empty: {_first_line(spec)}")
        left_out, said = leave_out(parts, bool(values["preflight_only"]))
        values["preflight_only"] = "training" not in parts or values["preflight_only"]
        values["run_date"] = check_date("run_date", values["run_date"])
        if values["data_bucket"] == values["transport_bucket"]:
            raise InputError(
                f"transport_bucket and data_bucket are both {values['data_bucket']!r}: files on their way to the "
                "instance must never be written to the bucket that holds the data; give transport_bucket another"
            )
        # Last, because it may have to ask another machine.
        values["training_source"], notes = check_source(
            values["training_source"], own["training_source"].get("options") or {}
        )
        now = datetime.now(UTC)
        run_id = name_run(now)
        return {
            **values,
            "run_id": run_id,
            "run_dir": str(Path(values["runs_dir"]).absolute() / run_id),
            "mode": "preflight" if values["preflight_only"] else values["training_mode"],
            "started_at": now.isoformat(timespec="seconds").replace("+00:00", "Z"),
            "region": values["aws_region"],
            "extra": sorted(extra),
            "skipped": left_out,
            "revision": values["training_source"]["revision"],
            "git_revision": revision_of(PROJECT),
            "notes": [*said, *notes],
            **self._task.args.get("describe", {}),
        }

    def _templated(self, variables: dict[str, Any], name: str) -> Any:
        return self._templar.template(variables[name])


def _first_line(spec: Spec) -> str:
    description = spec.get("description", "")
    text = description[0] if isinstance(description, list) else description
    return str(text).split(". ")[0].rstrip(".")
