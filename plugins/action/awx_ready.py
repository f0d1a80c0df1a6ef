"""The gate before a controller is described: what is missing or wrong is one line, and nothing has been sent."""

from __future__ import annotations

import importlib.util
import json
import re
from collections.abc import Iterable, Mapping
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
short_description: Check that a controller can be described
description:
  - Checks that the collection C(awx.awx) is there, that what only the organisation knows is given and fits, that the
    controller answers, and that the token may do what is to be done. Changes nothing.
  - Reads the inputs of the role as they are; none is an option, because options are shown.
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
#: Settings of a notification: those that must be given, and those that may be. AWX takes no text for a number.
SETTINGS: Mapping[str, tuple[Mapping[str, type], Mapping[str, type]]] = {
    "awx_email": (
        {"host": str, "port": int, "sender": str, "recipients": list},
        {"username": str, "password": str, "use_tls": bool, "use_ssl": bool, "timeout": int},
    ),
    "awx_slack": ({"token": str, "channels": list}, {}),
}
WORDS = {str: "a text", int: "a whole number", bool: "true or false", list: "a list of texts, with one at least"}


class NotReady(Exception):
    """One line: what is wrong, where, what to do."""


def check_given(given: Mapping[str, Any], surveys: Mapping[str, Any], known: Mapping[str, Spec]) -> None:
    """Check what the organisation gave.

    Args:
        given: Input -> value.
        surveys: The surveys of the job templates.
        known: The inputs of a run.

    Raises:
        NotReady: Something is missing or does not fit.
    """
    missing = [name for name in NEEDED if not given[name]]
    missing += [f"awx_variables.{name}" for name in BUCKETS if not given["awx_variables"].get(name)]
    if missing:
        raise NotReady(f"{_list(missing)} must be given, in a file for example: -e @my-awx.yml (docs/awx.md has one)")
    if not ROLE_ARN.fullmatch(given["awx_role_arn"]):
        raise NotReady(
            f"awx_role_arn={given['awx_role_arn']!r} is no ARN of a role, which is arn:aws:iam::<account>:role/<name>"
        )
    if bool(given["awx_access_key_id"]) is not bool(given["awx_secret_access_key"]):
        raise NotReady(
            "awx_access_key_id and awx_secret_access_key go together: give both, or neither where the "
            "jobs run on a machine that may take the role"
        )
    _check_variables(given["awx_variables"], surveys, known)
    for name, (needed, allowed) in SETTINGS.items():
        if given[name]:
            _check_settings(name, given[name], needed, allowed)


def _check_settings(
    name: str, settings: Mapping[str, Any], needed: Mapping[str, type], allowed: Mapping[str, type]
) -> None:
    if lacking := needed.keys() - settings.keys():
        raise NotReady(f"{name} lacks {_list(sorted(lacking))}")
    kinds = {**needed, **allowed}
    for setting, value in settings.items():
        if setting not in kinds:
            raise NotReady(f"{name} has no setting {setting!r}, there is {_list(sorted(kinds))}")
        # Among the values are secrets: none is said.
        if not _is(value, kinds[setting]) or (setting in needed and not value):
            raise NotReady(f"{name}.{setting} must be {WORDS[kinds[setting]]}")


def _is(value: Any, kind: type) -> bool:
    if kind is list:
        return isinstance(value, list) and bool(value) and all(isinstance(one, str) and one for one in value)
    return isinstance(value, kind) and (kind is bool or not isinstance(value, bool))


def _check_variables(variables: Mapping[str, Any], surveys: Mapping[str, Any], known: Mapping[str, Spec]) -> None:
    if variables["data_bucket"] == variables["transport_bucket"]:
        raise NotReady("awx_variables: data_bucket and transport_bucket must be two buckets")
    asked = {question["variable"] for survey in surveys.values() for question in survey["spec"]}
    for name, value in variables.items():
        if name not in known:
            raise NotReady(str(unknown(name, known, "awx_variables")))
        if name in asked:
            raise NotReady(
                f"awx_variables.{name} would have no effect: a survey asks for it, and its default wins; "
                "leave it out here and change it in group_vars/all.yml or the role's defaults"
            )
        if known[name].get("no_log"):
            raise NotReady(
                f"awx_variables.{name} is a secret, and AWX shows the variables of a template: let AWX tell "
                "people (awx_email, awx_slack), or the job by SES or SNS"
            )
        try:
            convert(f"awx_variables.{name}", value, known[name])
        except InputError as error:
            raise NotReady(str(error)) from error


def has_collection(name: str) -> bool:
    """Whether this Ansible finds a collection, wherever it looks for them."""
    try:
        return importlib.util.find_spec(f"ansible_collections.{name}") is not None
    except ModuleNotFoundError:  # not even its namespace
        return False


def run_inputs() -> dict[str, Spec]:
    """What a run can be given (docs/inputs.md), from the argument specs."""
    inputs: dict[str, Spec] = known_inputs(ROLES, known_of(ROLES / "run_open"))
    return inputs


class Controller:
    """A controller, to read from."""

    def __init__(self, host: str, token: str, validate_certs: bool, timeout: float) -> None:
        """Nothing is asked yet.

        Args:
            host: Its address; `https://` unless it says otherwise.
            token: Goes with every question but that for the version.
            validate_certs: Whether its certificate must be good.
            timeout: Seconds that it has for an answer.
        """
        self._host, self._token = host, token
        self._options = {"validate_certs": validate_certs, "timeout": timeout}

    def version(self) -> str:
        """Its version, which it tells everybody.

        Raises:
            NotReady: Nothing that is a controller answers there.
        """
        return str(self._read("/api/v2/ping/", "version", token=""))

    def check_token(self) -> None:
        """Check that the token is that of a system administrator.

        Raises:
            NotReady: It is not, or it is nobody's.
        """
        (user,) = self._read("/api/v2/me/", "results")
        if not user["is_superuser"]:
            raise NotReady(
                f"the token is that of {user['username']}, who is no system administrator: nobody else may make the "
                "credential type that the jobs need, whatever role they have in an organisation"
            )

    def galaxy_credentials(self, organization: str) -> list[str]:
        """The names of the Galaxy credentials of an organisation; none where there is no such organisation.

        Raises:
            NotReady: The controller does not answer.
        """
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
                    "the controller does not know the token: is it of this controller, and still valid"
                ) from error
            raise NotReady(f"{url} answers {error.code}: is awx_host={self._host} a controller's address") from error
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise NotReady(f"no controller answers at {url}: {' '.join(str(error).split())}") from error


def check_controller(controller: Controller, given: Mapping[str, Any]) -> str:
    """Check that a controller takes what is to be sent to it.

    Returns:
        Its version.

    Raises:
        NotReady: It does not, or something would come of it that nobody has asked for.
    """
    version = controller.version()
    controller.check_token()
    if given["awx_galaxy_credentials"] == "refuse":
        organization = given["awx_organization"]
        if found := controller.galaxy_credentials(organization):
            raise NotReady(
                f"the organisation {organization} has Galaxy credentials ({_list(found)}): AWX would install "
                "requirements.yml from Galaxy and have the jobs use that instead of what is in the image; give another "
                "organisation, or awx_galaxy_credentials=keep or remove"
            )
    return version


def _list(names: Iterable[str]) -> str:
    return ", ".join(names)


class ActionModule(ActionBase):  # type: ignore[misc]
    """See ``DOCUMENTATION``."""

    TRANSFERS_FILES = False
    _VALID_ARGS = frozenset(("surveys",))

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Check, and say the controller's version."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        _, arguments = self.validate_argument_spec({"surveys": {"type": "dict", "default": {}}})
        try:
            given = self._given(task_vars or {})
            if not has_collection(COLLECTION):
                raise NotReady(f"the collection {COLLECTION} is not here: run tools/awx_collection.py")
            if not given["awx_host"] or not given["awx_token"]:
                raise NotReady(
                    "the controller's address and a token are needed: set CONTROLLER_HOST and CONTROLLER_OAUTH_TOKEN, "
                    "or awx_host and awx_token"
                )
            check_given(given, arguments["surveys"], run_inputs())
            controller = Controller(
                given["awx_host"],
                given["awx_token"],
                given["awx_validate_certs"],
                given["awx_request_timeout"],
            )
            version = check_controller(controller, given)
        except NotReady as error:
            return {**result, "failed": True, "msg": f"{str(error)[0].upper()}{str(error)[1:]}. Nothing was changed."}
        return {**result, "changed": False, "version": version, "update_secrets": given["awx_update_secrets"]}

    def _given(self, variables: Mapping[str, Any]) -> dict[str, Any]:
        """The inputs of the role, each as its type.

        Raises:
            NotReady: A value does not fit.
        """
        given = {}
        for name, spec in known_of(ROLES / "awx").items():
            try:
                given[name] = convert(name, self._templar.template(variables[name]), spec)
            except InputError as error:
                raise NotReady(str(error)) from error
        return given
