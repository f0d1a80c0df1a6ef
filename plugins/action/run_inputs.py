"""Check every input of a run once, before anything is started."""

from __future__ import annotations

import os
import secrets
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleUndefinedVariable
from ansible.plugins.action import ActionBase
from ansible.utils.vars import load_extra_vars
from ansible_collections.spot_train.core.plugins.module_utils.inputs import gate
from ansible_collections.spot_train.core.plugins.module_utils.inputs import source as run_source
from ansible_collections.spot_train.core.plugins.module_utils.inputs import tags as run_tags
from ansible_collections.spot_train.core.plugins.module_utils.inputs.credentials import without_credentials
from ansible_collections.spot_train.core.plugins.module_utils.inputs.values import (
    InputError,
    Spec,
    check_date,
    convert,
    first_line,
    known_of,
)

PROJECT = Path(__file__).resolve().parents[2]
LIMIT = "training_full_seconds"

DOCUMENTATION = r"""
module: run_inputs
short_description: Check the inputs of a playbook, and name the run
description:
  - Refuses an extra variable (C(-e)) that is not an input, Jinja in one, connection variables, and a value that does
    not fit its argument spec, each with one line.
  - The callback P(spot_train.core.run#callback) has converted the extra variables to the types in the argument specs
    before the first task. A value from group_vars or the inventory must have its type.
  - Resolves a git source to a commit. Results do not contain user and password of its URL.
  - C(--tags) and C(--skip-tags) are inputs too. A run without the training is a preflight; a run without the preflight
    has a note in its receipt. Unknown tags are refused.
  - Returns C(run), which later plays read as a fact, and warns of a folder that differs from its commit.
options:
  spec:
    description: Role whose C(meta/argument_specs.yml) describes the inputs of the playbook itself.
    type: str
    default: run_open
  only:
    description:
      - Names of the extra variables that the playbook accepts. Then only these are checked, and nothing is returned.
    type: list
    elements: str
  describe:
    description: Facts to carry in C(run) as they are, for example the region and the buckets.
    type: dict
    default: {}
"""


def check_source(source: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Check the converted training source, and resolve its commit; raise InputError if it cannot be used.

    Returns the source with `revision` and, for a folder, `dirty` and `unpushed`, its URL without user and password; and
    notes for the user.
    """
    try:
        run_source.check_parts(source)
        if url := source.get("git"):
            known: dict[str, Any] = {"revision": run_source.resolve(url, source["ref"])}
            known["git"] = without_credentials(url)
            notes: list[str] = []
        else:
            run_source.check_folder(source)
            known, notes = run_source.look_at(Path(source["path"]))
            known["revision"] = known["revision"] or revision_of(Path(source["path"]))
    except run_source.SourceError as error:
        raise InputError(str(error)) from error
    return {**source, **known}, notes


def chosen_parts(variables: Mapping[str, Any], parts: Collection[str]) -> set[str]:
    """Return the parts that the tags select; raise InputError if a tag is unknown or nothing is left to do."""
    asked, unwanted = variables.get("ansible_run_tags") or ("all",), variables.get("ansible_skip_tags") or ()
    try:
        chosen: set[str] = run_tags.chosen_parts(list(asked), list(unwanted), parts)
    except run_tags.TagError as error:
        raise InputError(str(error)) from error
    return chosen


def leave_out(parts: Collection[str], preflight_only: bool) -> tuple[list[str], list[str]]:
    """Return the parts that the tags skip, and notes for the user; raise InputError if nothing is left to do."""
    if preflight_only and "preflight" not in parts:
        raise InputError(
            "preflight_only=true skips the training and the tags skip the preflight: nothing is left to do"
        )
    note = "the tags skip the preflight on the instance: software, machine and data are not checked before the training"
    left_out = [part for part in run_tags.PARTS if part not in parts]
    return left_out, [note] if "preflight" in left_out else []


def revision_of(folder: Path) -> str | None:
    """Return the commit of a folder; None if unknown.

    AWX copies a project without its git data, and sets the commit in the environment.
    """
    revision: str | None = run_source.look_at(folder)[0]["revision"]
    if revision is None and folder.resolve().is_relative_to(PROJECT):
        return os.environ.get("PROJECT_REVISION") or None
    return revision


def name_run(now: datetime) -> str:
    """Return a run id: UTC time to the second and six random hexadecimal digits; sorts by time."""
    return f"{now:%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"


class ActionModule(ActionBase):  # type: ignore[misc]
    """See ``DOCUMENTATION``."""

    _VALID_ARGS = frozenset(("spec", "only", "describe"))

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Check the inputs and return ``run``."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        variables = task_vars or {}
        try:
            parts = chosen_parts(variables, () if self._task.args.get("only") else run_tags.PARTS)
            if only := self._task.args.get("only"):
                self._check_inputs(variables, gate.inputs_of(only))
            else:
                result["run"] = self._run_facts(variables, parts)
                result["warnings"] = [f"{note[0].upper()}{note[1:]}." for note in result["run"]["notes"]]
        except InputError as error:
            return {**result, "failed": True, "msg": f"{error}. Nothing was started."}
        result["changed"] = False
        return result

    def _check_inputs(self, variables: Mapping[str, Any], known: Mapping[str, Spec]) -> dict[str, Any]:
        """Check extra variables and inputs from group_vars and the inventory; return those that are set."""
        extra = load_extra_vars(self._loader)
        allowed = gate.check_allowed(gate.plain(gate.ALLOWED, self._value(variables, extra, gate.ALLOWED, [])))
        given = gate.convert_extra(extra, known, allowed)
        gate.check_converted(extra, given)
        for name, spec in known.items():
            if name in variables and name not in given:
                try:
                    value = self._templar.template(variables[name])
                except AnsibleUndefinedVariable:
                    if spec.get("required"):
                        raise
                    continue  # it refers to a default of its role
                secret = {"no_log": True} if gate.is_secret(variables[name]) else {}
                given[name] = convert(name, gate.plain(name, value), {**spec, **secret, "typed": True})
        return given

    def _value(self, variables: Mapping[str, Any], extra: Mapping[str, Any], name: str, default: Any) -> Any:
        """Return the raw value of an extra variable, or the templated value of another variable."""
        return extra[name] if name in extra else self._templar.template(variables.get(name, default))

    def _run_facts(self, variables: dict[str, Any], parts: set[str]) -> dict[str, Any]:
        spec = self._task.args.get("spec", "run_open")
        own, extra = known_of(gate.ROLES / spec), load_extra_vars(self._loader)
        try:
            run_source.check_origin(
                gate.plain("training_source", self._value(variables, extra, "training_source", None))
            )
        except run_source.SourceError as error:
            raise InputError(str(error)) from error
        known = gate.inputs_of(spec=spec)
        given = self._check_inputs(variables, known)
        values = {name: given[name] for name in own if name in given}
        for name, option in own.items():
            if option.get("required") and name not in values:
                raise InputError(f"{name} is not set: {first_line(option)}")
            if option.get("required") and values[name] in ("", None):
                raise InputError(f"{name} is empty: {first_line(option)}")
        values.pop(gate.ALLOWED, None)
        left_out, notes = leave_out(parts, bool(values["preflight_only"]))
        values["preflight_only"] = "training" not in parts or values["preflight_only"]
        values["run_date"] = check_date("run_date", values["run_date"])
        if values["data_bucket"] == values["transport_bucket"]:
            raise InputError(
                f"transport_bucket and data_bucket are both {values['data_bucket']!r}: files in transit to the "
                "instance must never be written to the bucket that holds the data; choose another transport_bucket"
            )
        # Last, because it may need the network.
        values["training_source"], source_notes = check_source(values["training_source"])
        now = datetime.now(UTC)
        run_id = name_run(now)
        return {
            **values,
            "run_id": run_id,
            "run_dir": str(Path(values["runs_dir"]).absolute() / run_id),
            "mode": "preflight" if values["preflight_only"] else values["training_mode"],
            "started_at": now.isoformat(timespec="seconds").replace("+00:00", "Z"),
            "region": values["aws_region"],
            # The preflight needs this input of the role training too.
            LIMIT: given.get(LIMIT, known[LIMIT]["default"]),
            "extra": sorted(name for name in extra if name in known),
            "skipped": left_out,
            "revision": values["training_source"]["revision"],
            "git_revision": revision_of(PROJECT),
            "notes": [*notes, *source_notes],
            **self._task.args.get("describe", {}),
        }
