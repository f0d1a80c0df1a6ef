"""The gate before a controller is described: what is missing or wrong is one line, and nothing has been sent."""

from __future__ import annotations

import difflib
import importlib.util
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import yaml
from ansible.module_utils.urls import open_url
from ansible.plugins.action import ActionBase

DOCUMENTATION = r"""
module: controller_ready
short_description: Check that a controller can be described
description:
  - Checks that the collection C(awx.awx) is there, that what only the organisation knows is given and fits, and that
    the controller answers. Sends no secret and changes nothing.
options:
  host:
    description: Address of the controller.
    type: str
    required: true
  token:
    description: Whether there is a token.
    type: bool
    required: true
  validate_certs:
    description: Whether the controller's certificate must be good.
    type: bool
    default: true
  timeout:
    description: Seconds that the controller has for an answer.
    type: float
    default: 30
  given:
    description: What the organisation gave, by input. Of a secret, whether there is one.
    type: dict
    required: true
  surveys:
    description: The surveys of the job templates.
    type: dict
    default: {}
"""

ROLES = Path(__file__).resolve().parents[2]
COLLECTION = "awx.awx"
NEEDED = ("controller_organization", "controller_scm_url", "controller_image", "controller_role_arn")
BUCKETS = ("data_bucket", "transport_bucket")
#: Settings of a notification: those that must be given, and those that may be.
SETTINGS: Mapping[str, tuple[set[str], set[str]]] = {
    "controller_email": (
        {"host", "port", "sender", "recipients"},
        {"username", "password", "use_tls", "use_ssl", "timeout"},
    ),
    "controller_slack": ({"token", "channels"}, set()),
}


class NotReady(Exception):
    """One line: what is wrong, where, what to do."""


def check_given(given: Mapping[str, Any], surveys: Mapping[str, Any], known: Iterable[str]) -> None:
    """Check what the organisation gave.

    Args:
        given: Input -> value.
        surveys: The surveys of the job templates.
        known: The inputs of a run.

    Raises:
        NotReady: Something is missing or does not fit.
    """
    missing = [name for name in NEEDED if not given[name]]
    missing += [f"controller_variables.{name}" for name in BUCKETS if not given["controller_variables"].get(name)]
    if missing:
        raise NotReady(f"{_list(missing)} must be given, in a file for example: -e @my-awx.yml (docs/awx.md has one)")
    if bool(given["controller_access_key_id"]) is not bool(given["controller_secret_access_key"]):
        raise NotReady(
            "controller_access_key_id and controller_secret_access_key go together: give both, or neither where the "
            "jobs run on a machine that may take the role"
        )
    _check_variables(given["controller_variables"], surveys, set(known))
    for name, (needed, allowed) in SETTINGS.items():
        settings = set(given[name])
        if settings and needed - settings:
            raise NotReady(f"{name} lacks {_list(sorted(needed - settings))}")
        if unknown := settings - needed - allowed:
            raise NotReady(f"{name} has no setting {min(unknown)!r}, there is {_list(sorted(needed | allowed))}")


def _check_variables(variables: Mapping[str, Any], surveys: Mapping[str, Any], known: set[str]) -> None:
    if variables["data_bucket"] == variables["transport_bucket"]:
        raise NotReady("controller_variables: data_bucket and transport_bucket must be two buckets")
    asked = {question["variable"] for survey in surveys.values() for question in survey["spec"]}
    for name in variables:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]!r}" if near else "docs/inputs.md lists what there is"
            raise NotReady(f"unknown input {name!r} in controller_variables ({hint})")
        if name in asked:
            raise NotReady(
                f"controller_variables.{name} would have no effect: a survey asks for it, and its default wins; "
                "leave it out here and change it in group_vars/all.yml or the role's defaults"
            )


def has_collection(name: str) -> bool:
    """Whether this Ansible finds a collection, wherever it looks for them."""
    try:
        return importlib.util.find_spec(f"ansible_collections.{name}") is not None
    except ModuleNotFoundError:  # not even its namespace
        return False


def run_inputs() -> set[str]:
    """The names of what a run can be given (docs/inputs.md), from the argument specs."""
    names: set[str] = set()
    for path in ROLES.glob("*/meta/argument_specs.yml"):
        if path.parent.parent.name == "controller":
            continue
        for entry in yaml.safe_load(path.read_text(encoding="utf-8"))["argument_specs"].values():
            own = path.parent.parent.name == "run_open"
            names |= {key for key, one in (entry.get("options") or {}).items() if own or not one.get("required")}
    return names


def ask(host: str, validate_certs: bool, timeout: float) -> str:
    """Ask a controller for its version, which takes no token.

    Raises:
        NotReady: Nothing that is a controller answers there.
    """
    address = host if "://" in host else f"https://{host}"
    url = f"{address.rstrip('/')}/api/v2/ping/"
    try:
        with open_url(url, validate_certs=validate_certs, timeout=timeout) as answer:
            return str(json.load(answer)["version"])
    except HTTPError as error:
        raise NotReady(f"{url} answers {error.code}: is controller_host={host} a controller's address") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise NotReady(f"no controller answers at {url}: {' '.join(str(error).split())}") from error


def _list(names: Iterable[str]) -> str:
    return ", ".join(names)


class ActionModule(ActionBase):  # type: ignore[misc]
    """See ``DOCUMENTATION``."""

    TRANSFERS_FILES = False
    _VALID_ARGS = frozenset(("host", "token", "validate_certs", "timeout", "given", "surveys"))

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Check, and say the controller's version."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        _, arguments = self.validate_argument_spec(
            {
                "host": {"type": "str", "required": True},
                "token": {"type": "bool", "required": True},
                "validate_certs": {"type": "bool", "default": True},
                "timeout": {"type": "float", "default": 30.0},
                "given": {"type": "dict", "required": True},
                "surveys": {"type": "dict", "default": {}},
            }
        )
        try:
            if not has_collection(COLLECTION):
                raise NotReady(f"the collection {COLLECTION} is not here: run scripts/awx_collection.py")
            if not arguments["host"] or not arguments["token"]:
                raise NotReady(
                    "the controller's address and a token are needed: set CONTROLLER_HOST and CONTROLLER_OAUTH_TOKEN, "
                    "or controller_host and controller_token"
                )
            check_given(arguments["given"], arguments["surveys"], run_inputs())
            version = ask(arguments["host"], arguments["validate_certs"], arguments["timeout"])
        except NotReady as error:
            return {**result, "failed": True, "msg": f"{str(error)[0].upper()}{str(error)[1:]}. Nothing was changed."}
        return {**result, "changed": False, "version": version}
