"""AWX's validation beyond the shape of a request: rules that depend on other objects or on a value's content."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from tools.awx_check import credentials, notifications, recurrence, surveys
from tools.awx_check.shapes import Errors, Refused, prompts, variables_of

if TYPE_CHECKING:
    from tools.awx_check.store import Store

Object = Mapping[str, Any]

LINKS = ("success_nodes", "failure_nodes", "always_nodes")


def check(store: Store, resource: str, wanted: dict[str, Any], present: Object | None) -> None:
    """Validate an object to be stored by the rules of its resource, and complete it as AWX does.

    Raises:
        Refused: A rule is violated.
    """
    rule = _RULES.get(resource)
    errors = rule(store, wanted, present) if rule else {}
    if errors:
        raise Refused(errors)


def _not_of(store: Store, number: int | None, namespace: str) -> bool:
    """Whether a credential is given and its type is not the built-in one of a namespace."""
    if number is None:
        return False
    kind = store.need("credential_types", store.need("credentials", number)["credential_type"])
    return bool(kind["namespace"] != namespace)


def _credential_type(store: Store, wanted: dict[str, Any], present: Object | None) -> Errors:
    if text := credentials.problem_of_inputs(wanted["inputs"]):
        return {"inputs": [text]}
    if text := credentials.problem_of_injectors(wanted["injectors"], wanted["inputs"]):
        return {"injectors": [text]}
    in_use = present and any(one["credential_type"] == present["id"] for one in store.all("credentials"))
    if in_use and present and present["inputs"] != wanted["inputs"]:
        return {"detail": ["Modifications to inputs are not allowed for credential types that are in use"]}
    return {}


def _credential(store: Store, wanted: dict[str, Any], present: Object | None) -> Errors:
    if wanted["organization"] is None:
        return {"detail": ["Missing 'user', 'team', or 'organization'."]}
    kind = store.need("credential_types", wanted["credential_type"])
    if found := credentials.problems_of_credential(wanted["inputs"], kind["inputs"], new=present is None):
        return {"inputs": [f"{name}: {' '.join(texts)}" for name, texts in found.items()]}
    for name in credentials.secret_inputs(kind["inputs"]):
        if present and wanted["inputs"].get(name) == credentials.ENCRYPTED:
            wanted["inputs"] = {**wanted["inputs"], name: present["inputs"].get(name, "")}
    return {}


def _project(store: Store, wanted: dict[str, Any], present: Object | None) -> Errors:
    if wanted["scm_type"] != "git":
        named = [name for name in ("scm_refspec", "scm_track_submodules") if wanted[name]]
        if named:
            return {named[0]: [f"{named[0]} can only be used with git projects."]}
    if wanted["scm_type"] and _not_of(store, wanted["credential"], "scm"):
        return {"credential": ["Credential kind must be 'scm'."]}
    if wanted["scm_type"] and not wanted["scm_url"]:
        return {"scm_url": ["SCM URL is required."]}
    if not wanted["scm_type"]:
        for name in ("scm_update_on_launch", "scm_delete_on_update", "scm_clean"):
            if wanted[name]:
                return {name: ["Update options must be set to false for manual projects."]}
    return {}


def _execution_environment(store: Store, wanted: dict[str, Any], present: Object | None) -> Errors:
    if _not_of(store, wanted["credential"], "registry"):
        return {"credential": ["Only Container Registry credentials can be associated with an Execution Environment"]}
    return {}


def _inventory(store: Store, wanted: dict[str, Any], present: Object | None) -> Errors:
    wanted["host_filter"] = wanted["host_filter"] or None
    if wanted["kind"] == "smart" and not wanted["host_filter"]:
        return {"host_filter": ["Smart inventories must specify host_filter"]}
    return {}


def _inventory_source(store: Store, wanted: dict[str, Any], present: Object | None) -> Errors:
    if store.need("inventories", wanted["inventory"])["kind"]:
        return {"inventory": ["Cannot create Inventory Source for Smart or Constructed Inventories"]}
    if wanted["source"] != "scm":
        named = [name for name in ("source_project", "source_path", "scm_branch") if wanted[name]]
        return {"detail": [f"Cannot set {' '.join(named)} if not SCM type."]} if named else {}
    if wanted["source_project"] is None:
        return {"source_project": ["Project required for scm type sources."]}
    project = store.need("projects", wanted["source_project"])
    if not project["scm_type"]:
        return {"source_project": ["Cannot use manual project for SCM-based inventory."]}
    if wanted["scm_branch"] and not project["allow_override"]:
        return {"scm_branch": ["Project does not allow overriding branch."]}
    if wanted["source_path"] not in store.files:
        # AWX accepts it, and the update of the source fails.
        return {"source_path": [f"{wanted['source_path']} is not in the project."]}
    return {}


def _notification(store: Store, wanted: dict[str, Any], present: Object | None) -> Errors:
    kind = wanted["notification_type"]
    if found := notifications.problems(kind, wanted["notification_configuration"]):
        return {"notification_configuration": found}
    if found := notifications.message_problems(wanted["messages"]):
        return {"messages": found}
    configuration = notifications.completed(kind, wanted["notification_configuration"])
    for name in notifications.password_settings(kind):
        if configuration[name] == credentials.ENCRYPTED:
            if present is None:
                return {"notification_configuration": [f"{credentials.ENCRYPTED} is only for existing notifications."]}
            configuration[name] = present["notification_configuration"][name]
    wanted["notification_configuration"] = configuration
    if present is not None:
        wanted["messages"] = notifications.merged(present["messages"], wanted["messages"])
    return {}


def _job_template(store: Store, wanted: dict[str, Any], present: Object | None) -> Errors:
    if wanted["project"] is None:
        return {"project": ["Job Templates must have a project assigned."]}
    if wanted["inventory"] is None and not wanted["ask_inventory_on_launch"]:
        return {"inventory": ["You must either set a default value or ask to prompt on launch."]}
    project = store.need("projects", wanted["project"])
    if not wanted["playbook"]:
        return {"playbook": ["Must select playbook for project."]}
    if not project["allow_override"]:
        if wanted["playbook"] not in store.playbooks:
            return {"playbook": ["Playbook not found for project."]}
        for name in ("scm_branch", "ask_scm_branch_on_launch"):
            if wanted[name]:
                return {name: ["Project does not allow overriding branch."]}
    if wanted["organization"] not in (None, project["organization"]):
        return {"organization": ["The organization of a Job Template is that of its project."]}
    wanted["organization"] = project["organization"]
    return {}


def _schedule(store: Store, wanted: dict[str, Any], present: Object | None) -> Errors:
    wanted["rrule"] = " ".join(wanted["rrule"].split())
    if found := recurrence.problems(wanted["rrule"]):
        return {"rrule": found}
    template = store.need("unified_job_templates", wanted["unified_job_template"])
    return _prompt_errors(store, template, wanted, complete=True)


def _node(store: Store, wanted: dict[str, Any], present: Object | None) -> Errors:
    if wanted["unified_job_template"] is None:
        return {}
    template = store.need("unified_job_templates", wanted["unified_job_template"])
    # Required answers may come from the workflow or its launch.
    return _prompt_errors(store, template, wanted, complete=False)


def _prompt_errors(store: Store, template: Object, wanted: Object, complete: bool) -> Errors:
    """Refuse overrides for which the template does not prompt."""
    errors: Errors = {}
    for name in prompts():
        ask = "ask_tags_on_launch" if name == "job_tags" else f"ask_{name}_on_launch"
        if wanted[name] in (None, "") or wanted[name] == template.get(name):
            continue
        if not template.get(ask, False):
            errors[name] = ["Field is not configured to prompt on launch."]
    errors |= _variable_errors(store.survey(template), template, wanted["extra_data"], complete)
    return errors


def _variable_errors(survey: Object, template: Object, extra: Object, complete: bool) -> Errors:
    enabled = survey if template.get("survey_enabled") else {}
    if found := surveys.answer_problems(enabled, extra, complete):
        return {"variables_needed_to_start": found}
    asked = {question["variable"] for question in enabled.get("spec", [])}
    own = variables_of(template.get("extra_vars", ""))
    left = sorted(name for name, value in extra.items() if name not in asked and own.get(name, ...) != value)
    if left and not template.get("ask_variables_on_launch"):
        return {
            "extra_data": [
                f"Variables {', '.join(left)} are not allowed on launch. Check the Prompt on Launch setting on the "
                "template to include Extra Variables."
            ]
        }
    return {}


def check_association(store: Store, resource: str, owner: Object, name: str, added: Object) -> None:
    """Validate a new association.

    Raises:
        Refused: AWX does not allow it.
    """
    if resource == "workflow_job_template_nodes" and name in LINKS:
        if owner["workflow_job_template"] != added["workflow_job_template"]:
            raise Refused({"Error": ["The two nodes are of different workflows."]})
        if _reaches(store, added["id"], owner["id"]):
            raise Refused({"Error": ["Cycle detected."]})
    if name == "galaxy_credentials" and _not_of(store, added["id"], "galaxy_api_token"):
        kind = store.need("credential_types", added["credential_type"])["name"]
        raise Refused({"msg": [f"Credential must be a Galaxy credential, not {kind}."]})
    if name == "credentials":
        for other in store.associated(resource, owner["id"], name):
            if other["credential_type"] == added["credential_type"]:
                kind = store.need("credential_types", added["credential_type"])["name"]
                raise Refused({"error": [f"Cannot assign multiple {kind} credentials."]})


def _reaches(store: Store, start: int, target: int) -> bool:
    """Whether one node leads to another by any links."""
    seen, waiting = set(), [start]
    while waiting:
        node = waiting.pop()
        if node == target:
            return True
        if node not in seen:
            seen.add(node)
            for link in LINKS:
                waiting += [one["id"] for one in store.associated("workflow_job_template_nodes", node, link)]
    return False


_RULES: Mapping[str, Callable[[Store, dict[str, Any], Object | None], Errors]] = {
    "credential_types": _credential_type,
    "credentials": _credential,
    "execution_environments": _execution_environment,
    "projects": _project,
    "inventories": _inventory,
    "inventory_sources": _inventory_source,
    "notification_templates": _notification,
    "job_templates": _job_template,
    "schedules": _schedule,
    "workflow_job_template_nodes": _node,
}
