"""Check inputs and controller before the first change in AWX."""

from __future__ import annotations

import importlib.util
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode

from ansible.module_utils.urls import open_url
from ansible.plugins.action import ActionBase
from ansible_collections.spot_train.core.plugins.module_utils.inputs.values import (
    InputError,
    Spec,
    convert,
    known_inputs,
    known_of,
    unknown,
)

ROLES = Path(__file__).resolve().parents[2] / "roles"

DOCUMENTATION = r"""
module: awx_ready
short_description: Check that the jobs can be created in a controller
description:
  - Checks that the collection C(awx.awx) is installed, that the required inputs are set and valid, that the controller
    responds, and that the token has the necessary permissions. Changes nothing.
  - Reads the inputs of the role from variables, because Ansible shows options.
options:
  surveys:
    description: The surveys of the job templates.
    type: dict
    default: {}
"""

COLLECTION = "awx.awx"
NEEDED = ("awx_organization", "awx_scm_url", "awx_image", "awx_role_arn")
BUCKETS = ("data_bucket", "transport_bucket")
ROLE_ARN = re.compile(r"arn:aws[a-z-]*:iam::\d{12}:role/[\w+=,.@/-]+")
#: Required and optional settings of a notification. AWX does not accept text for a number.
SETTINGS: Mapping[str, tuple[Mapping[str, type], Mapping[str, type]]] = {
    "awx_email": (
        {"host": str, "port": int, "sender": str, "recipients": list},
        {"username": str, "password": str, "use_tls": bool, "use_ssl": bool, "timeout": int},
    ),
    "awx_slack": ({"token": str, "channels": list}, {}),
}
WORDS = {str: "text", int: "a whole number", bool: "true or false", list: "a non-empty list of texts"}


class NotReady(Exception):
    """One line: what is wrong, and what to do."""


def check_given(given: Mapping[str, Any], surveys: Mapping[str, Any], known: Mapping[str, Spec]) -> None:
    """Check the inputs; ``known`` are those of a run. Raises NotReady if one is missing or invalid."""
    missing = [name for name in NEEDED if not given[name]]
    missing += [f"awx_variables.{name}" for name in BUCKETS if not given["awx_variables"].get(name)]
    if missing:
        raise NotReady(f"{', '.join(missing)} must be set, for example in a file: -e @my-awx.yml (docs/awx.md has one)")
    if not ROLE_ARN.fullmatch(given["awx_role_arn"]):
        raise NotReady(
            "awx_role_arn: expected the ARN of a role (arn:aws:iam::<account>:role/<name>), got "
            f"{given['awx_role_arn']!r}"
        )
    if bool(given["awx_access_key_id"]) is not bool(given["awx_secret_access_key"]):
        raise NotReady(
            "awx_access_key_id and awx_secret_access_key: expected both, or neither if the jobs run on a machine that "
            "may assume the role"
        )
    _check_variables(given["awx_variables"], surveys, known)
    for name, (needed, allowed) in SETTINGS.items():
        if given[name]:
            _check_settings(name, given[name], needed, allowed)


def _check_settings(
    name: str, settings: Mapping[str, Any], needed: Mapping[str, type], allowed: Mapping[str, type]
) -> None:
    if lacking := needed.keys() - settings.keys():
        raise NotReady(f"{name}: missing {', '.join(sorted(lacking))}")
    kinds = {**needed, **allowed}
    for setting, value in settings.items():
        if setting not in kinds:
            raise NotReady(f"{name}: unknown setting {setting!r} (expected {', '.join(sorted(kinds))})")
        # Values may be secret, so the message has none.
        if not _is(value, kinds[setting]) or (setting in needed and not value):
            raise NotReady(f"{name}.{setting}: expected {WORDS[kinds[setting]]}")


def _is(value: Any, kind: type) -> bool:
    if kind is list:
        return isinstance(value, list) and bool(value) and all(isinstance(one, str) and one for one in value)
    return isinstance(value, kind) and (kind is bool or not isinstance(value, bool))


def _check_variables(variables: Mapping[str, Any], surveys: Mapping[str, Any], known: Mapping[str, Spec]) -> None:
    if variables["data_bucket"] == variables["transport_bucket"]:
        raise NotReady("awx_variables: expected different buckets for data_bucket and transport_bucket")
    asked = {question["variable"] for survey in surveys.values() for question in survey["spec"]}
    for name, value in variables.items():
        if name not in known:
            raise NotReady(str(unknown(name, known, "awx_variables")))
        if name in asked:
            raise NotReady(
                f"awx_variables.{name} would have no effect: a survey asks for it, and its default takes precedence; "
                "set it in group_vars/all.yml or the role's defaults instead"
            )
        if known[name].get("no_log"):
            raise NotReady(
                f"awx_variables.{name} is secret, and AWX shows the variables of a template: use notifications of AWX "
                "(awx_email, awx_slack), or of the job by SES or SNS"
            )
        try:
            convert(f"awx_variables.{name}", value, known[name])
        except InputError as error:
            raise NotReady(str(error)) from error


def has_collection(name: str) -> bool:
    """Whether this Ansible finds a collection."""
    try:
        return importlib.util.find_spec(f"ansible_collections.{name}") is not None
    except ModuleNotFoundError:  # not even its namespace
        return False


def run_inputs() -> dict[str, Spec]:
    """Return the inputs of a run (docs/inputs.md) from the argument specs."""
    return known_inputs(ROLES, known_of(ROLES / "run_open"))


class Controller:
    """A controller, to read from."""

    def __init__(self, host: str, token: str, validate_certs: bool, timeout: float) -> None:
        """Prepare requests to ``host`` (`https://` unless it has a scheme); ``timeout`` is in seconds."""
        self._host, self._token = host, token
        self._options = {"validate_certs": validate_certs, "timeout": timeout}

    def version(self) -> str:
        """Return its version, which needs no token; raise NotReady if no controller responds."""
        return str(self._read("/api/v2/ping/", "version", token=""))

    def check_token(self) -> None:
        """Raise NotReady unless the token is that of a system administrator."""
        (user,) = self._read("/api/v2/me/", "results")
        if not user["is_superuser"]:
            raise NotReady(
                f"the token is that of {user['username']}, who is not a system administrator: only they may create the "
                "credential type that the jobs need"
            )

    def galaxy_credentials(self, organization: str) -> list[str]:
        """Return the names of an organisation's Galaxy credentials; none if it does not exist."""
        found = self._read(f"/api/v2/organizations/?{urlencode({'name': organization})}", "results")
        lists = [self._read(one["related"]["galaxy_credentials"], "results") for one in found]
        return [one["name"] for listed in lists for one in listed]

    def _read(self, path: str, field: str, token: str | None = None) -> Any:
        address = self._host if "://" in self._host else f"https://{self._host}"
        url = f"{address.rstrip('/')}{path}"
        token = self._token if token is None else token
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        try:
            with open_url(url, headers=headers, **self._options) as answer:
                return json.load(answer)[field]
        except HTTPError as error:
            if error.code == 401:
                raise NotReady(
                    "the controller rejects the token: check that it belongs to this controller and is still valid"
                ) from error
            raise NotReady(
                f"{url} responds with {error.code}: check that awx_host={self._host} is the address of a controller"
            ) from error
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise NotReady(f"no response from a controller at {url}: {' '.join(str(error).split())}") from error


def check_controller(controller: Controller, given: Mapping[str, Any]) -> str:
    """Check the token and the organisation's Galaxy credentials; return the version, or raise NotReady."""
    version = controller.version()
    controller.check_token()
    if given["awx_galaxy_credentials"] == "refuse":
        organization = given["awx_organization"]
        if found := controller.galaxy_credentials(organization):
            raise NotReady(
                f"the organisation {organization} has Galaxy credentials ({', '.join(found)}): AWX would install "
                "requirements.yml from Galaxy, and jobs would use that instead of the image's collections; use another "
                "organisation, or awx_galaxy_credentials=keep or remove"
            )
    return version


class ActionModule(ActionBase):  # type: ignore[misc]
    """See ``DOCUMENTATION``."""

    _VALID_ARGS = frozenset(("surveys",))

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Check, and return the controller's version."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        _, arguments = self.validate_argument_spec({"surveys": {"type": "dict", "default": {}}})
        try:
            given = self._given(task_vars or {})
            if not has_collection(COLLECTION):
                raise NotReady(f"the collection {COLLECTION} is not installed: run tools/awx_collection.py")
            if not given["awx_host"] or not given["awx_token"]:
                raise NotReady(
                    "the controller's address and a token are required: set CONTROLLER_HOST and "
                    "CONTROLLER_OAUTH_TOKEN, or awx_host and awx_token"
                )
            check_given(given, arguments["surveys"], run_inputs())
            controller = Controller(
                given["awx_host"], given["awx_token"], given["awx_validate_certs"], given["awx_request_timeout"]
            )
            version = check_controller(controller, given)
        except NotReady as error:
            return {**result, "failed": True, "msg": f"{str(error)[0].upper()}{str(error)[1:]}. Nothing was changed."}
        return {**result, "changed": False, "version": version, "update_secrets": given["awx_update_secrets"]}

    def _given(self, variables: Mapping[str, Any]) -> dict[str, Any]:
        """Return the inputs of the role, converted; raise NotReady if a value is invalid."""
        given = {}
        for name, spec in known_of(ROLES / "awx").items():
            try:
                given[name] = convert(name, self._templar.template(variables[name]), spec)
            except InputError as error:
                raise NotReady(str(error)) from error
        return given
