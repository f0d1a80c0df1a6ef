"""Notification templates: AWX's validation of configurations and messages, and its rendering."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2
import yaml
from jinja2 import sandbox

EVENTS = ("started", "success", "error", "workflow_approval")
TYPES: Mapping[str, type] = {"string": str, "int": int, "bool": bool, "list": list, "password": str}


_DATA = yaml.safe_load(Path(__file__).with_suffix(".yml").read_text(encoding="utf-8"))
KINDS: Mapping[str, Mapping[str, Mapping[str, Any]]] = _DATA["kinds"]
_JOB = {"job_type": "run", "artifacts": {}, "host_status_counts": {}, "summary_fields": {}}
CONTEXT: Mapping[str, Any] = {
    "job": {**dict.fromkeys(_DATA["job"], ""), **_JOB},
    "job_friendly_name": "Job",
    "url": "https://awx.invalid/#/jobs/playbook/1",
    "job_metadata": "{}",
    "approval_status": "",
    "approval_node_name": "",
    "workflow_url": "",
}


def problems(kind: str, configuration: Mapping[str, Any]) -> list[str]:
    """Why AWX refuses a configuration; empty if it accepts it."""
    if kind not in KINDS:
        return [f"The stand-in does not know the notification type {kind}, only {', '.join(KINDS)}."]
    settings = KINDS[kind]
    found, missing = [], []
    for name, setting in settings.items():
        if name not in configuration:
            if "default" not in setting:
                missing.append(name)
            continue
        value = configuration[name]
        if type(value) is not TYPES[setting["type"]]:
            found.append(f"Configuration field '{name}' incorrect type, expected {setting['type']}.")
        elif setting["type"] == "list" and not value:
            found.append(f"No values specified for field '{name}'")
    if missing:
        found.insert(0, f"Missing required fields for Notification Configuration: {missing}.")
    if unknown := set(configuration) - set(settings) - set(_DATA["undescribed"].get(kind, ())):
        found.append(f"Unknown field '{min(unknown)}' in the configuration of {kind}.")
    return found


def completed(kind: str, configuration: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration with the defaults of its type."""
    given = {name: setting["default"] for name, setting in KINDS[kind].items() if "default" in setting}
    return {**given, **configuration}


def password_settings(kind: str) -> set[str]:
    """Names of the settings that are stored encrypted."""
    return {name for name, setting in KINDS[kind].items() if setting["type"] == "password"}


def message_problems(messages: Any) -> list[str]:
    """Why AWX refuses messages; empty if it accepts them."""
    if messages is None:
        return []
    found = []
    for event, texts in messages.items():
        if event not in EVENTS:
            found.append(
                f"Event '{event}' invalid, must be one of 'started', 'success', 'error', or 'workflow_approval'"
            )
            continue
        if texts is None or event == "workflow_approval":
            continue
        if not isinstance(texts, dict):
            found.append(f"Expected dict for event '{event}', found {type(texts).__name__}")
            continue
        for name, text in texts.items():
            found += _problems_of_text(event, name, text)
    return found


def _problems_of_text(event: str, name: str, text: Any) -> list[str]:
    if name not in ("message", "body"):
        return [f"Message type '{name}' invalid, must be either 'message' or 'body'"]
    if text is None:
        return []
    if not isinstance(text, str):
        return [f"Expected string for '{name}', found {type(text).__name__}, "]
    if name == "message" and "\n" in text:
        return [f"Messages cannot contain newlines (found newline in {event} event)"]
    try:
        sandbox.ImmutableSandboxedEnvironment(undefined=jinja2.StrictUndefined).from_string(text).render(**CONTEXT)
    except jinja2.TemplateSyntaxError as error:
        return [f"Unable to render message '{text}': {error.message}"]
    except jinja2.UndefinedError as error:
        return [f"Field unavailable: {error.message}"]
    return []


def render(text: str, **job: Any) -> str:
    """A message as AWX sends it, for a job with these fields and those of `CONTEXT`.

    None removes a field: a workflow has no `artifacts`.
    """
    fields = {name: value for name, value in {**CONTEXT["job"], **job}.items() if value is not None}
    environment = sandbox.ImmutableSandboxedEnvironment(undefined=jinja2.ChainableUndefined)
    return environment.from_string(text).render(**{**CONTEXT, "job": fields})


def merged(old: Mapping[str, Any] | None, new: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """The messages after a change: an omitted event keeps its text, and every event is present."""
    if old is None or new is None:
        return copy.deepcopy(dict(new)) if new is not None else None
    kept = copy.deepcopy(dict(new))
    for event in EVENTS:
        if not kept.get(event) and old.get(event):
            kept[event] = old[event]
        kept.setdefault(event, None)
    return kept
