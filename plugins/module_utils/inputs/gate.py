# Copyright: spot-train contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The checks of extra variables, which override everything and arrive as text.

The callback C(run) replaces them by their converted values before the first task; the action C(run_inputs) reports
what is refused. Both use this module, so that roles read every input in the type of its argument spec.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleError
from ansible.parsing.vault import EncryptedString

from .values import InputError, Spec, convert, known_inputs, known_of, no_templates, same, unknown

ROLES = Path(__file__).resolve().parents[3] / "roles"
#: What AWX and its predecessor Tower pass to every job. The project does not read them.
PASSED_BY_ENGINES = re.compile(r"^(awx|tower)_(execution|inventory|job|parent|project|schedule|user|webhook|workflow)_")
# What the playbooks publish with set_stats; AWX passes it to the next jobs of a workflow as extra variables.
PUBLISHED = frozenset(("spot_train_run", "spot_train_ended", "spot_train_reaped", "spot_train_rollback"))
#: Settings of the SSM connection that do not change which machine it reaches.
CONNECTION_SETTINGS = frozenset(
    f"ansible_aws_ssm_{name}" for name in ("bucket_endpoint_url", "plugin", "retries", "s3_addressing_style", "timeout")
)
#: The input that allows extra variables of others.
ALLOWED = "run_allowed_extra"
_PATTERN = re.compile(r"[A-Za-z_]\w*\*?", re.ASCII)


def inputs_of(only: Sequence[str] = (), spec: str = "run_open") -> dict[str, Spec]:
    """Return the inputs that a playbook takes, by name: those of its role `spec` and of others, or `only` these.

    A name in `only` without an argument spec is text.
    """
    own = known_of(ROLES / spec)
    if not only:
        return known_inputs(ROLES, own)
    every = known_inputs(ROLES, own, without=())
    return {name: every.get(name, {"type": "str"}) for name in (*only, ALLOWED)}


def check_connection(extra: Mapping[str, Any]) -> None:
    """Refuse extra variables that change how a host is reached: they would hold for instance and localhost alike."""
    for name in map(str, extra):
        if name.startswith("ansible_") and name not in CONNECTION_SETTINGS:
            raise InputError(
                f"{name}: expected no connection variable as an extra variable, because it would change how every "
                f"host is reached: set it in the inventory (allowed here: {', '.join(sorted(CONNECTION_SETTINGS))})"
            )


def convert_extra(extra: Mapping[str, Any], known: Mapping[str, Spec], allowed: Collection[str] = ()) -> dict[str, Any]:
    """Return the extra variables that are inputs, converted.

    It ignores the names in `allowed`, where `team_*` stands for all names that begin with `team_`, and refuses unknown
    names, connection variables, Jinja, and values that do not fit their argument spec.
    """
    check_connection(extra)
    converted = {}
    for name, value in extra.items():
        if name in known:
            no_templates(name, value)
            secret = {"no_log": True} if is_secret(value) else {}
            converted[name] = convert(name, plain(name, value), {**known[name], **secret})
        elif name in CONNECTION_SETTINGS:
            no_templates(name, value)
        elif not (PASSED_BY_ENGINES.match(str(name)) or name in PUBLISHED or _matches(str(name), allowed)):
            raise unknown(str(name), known)
    return converted


def check_allowed(patterns: Any) -> list[str]:
    """Return the names of `run_allowed_extra`, a list of names or prefixes that allow no variable of the project."""
    names: list[str] = convert(ALLOWED, patterns, {"type": "list", "elements": "str"})
    for name in names:
        if not _PATTERN.fullmatch(name):
            raise InputError(f"{ALLOWED}: expected names, or prefixes as 'team_*', got {name[:60]!r}")
        stem = name.removesuffix("*")
        if any(stem.startswith(own) or (stem != name and own.startswith(stem)) for own in _reserved()) or stem == "run":
            raise InputError(f"{ALLOWED}: expected variables that this project does not use, got {name!r}")
    return names


def check_converted(extra: Mapping[str, Any], converted: Mapping[str, Any]) -> None:
    """Check that the extra variables are what they were converted to: the callback that replaces them is loaded."""
    for name, value in converted.items():
        if not same(plain(name, extra[name]), value):
            raise InputError(
                f"{name}: expected a converted value, got it as given: the callback spot_train.core.run is not loaded "
                "(callbacks_enabled = spot_train.core.run)"
            )


def replace(extra: dict[str, Any], known: Mapping[str, Spec]) -> None:
    """Replace extra variables in place by their converted values; leave all of them if one is refused."""
    check_connection(extra)  # raises: the first task would already use a connection variable
    known_here = {name: value for name, value in extra.items() if name in known}
    try:
        extra.update(convert_extra(known_here, known))
    except InputError:
        return  # reported by the action, as the failure of a task


def plain(name: str, value: Any) -> Any:
    """Return a value with its vaulted parts decrypted."""
    if isinstance(value, EncryptedString):
        try:
            return str(value)
        except AnsibleError as error:
            raise InputError(f"{name}: cannot decrypt the vaulted value: check the vault password") from error
    if isinstance(value, Mapping):
        return {key: plain(name, entry) for key, entry in value.items()}
    return [plain(name, entry) for entry in value] if isinstance(value, list) else value


def is_secret(value: Any) -> bool:
    """Whether a value, or a part of it, is vaulted."""
    if isinstance(value, Mapping):
        return any(map(is_secret, value.values()))
    return any(map(is_secret, value)) if isinstance(value, list) else isinstance(value, EncryptedString)


def _reserved() -> list[str]:
    """Prefixes of the project's own variables."""
    return ["run_", "__", "ansible_", *(f"{spec.parents[1].name}_" for spec in ROLES.glob("*/meta/argument_specs.yml"))]


def _matches(name: str, patterns: Collection[str]) -> bool:
    return any(name.startswith(one[:-1]) if one.endswith("*") else name == one for one in patterns)
