"""The stand-in responds as AWX does and refuses what AWX refuses."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from tests.integration.awx.conftest import EMAIL, PROJECT, SURVEY, Api, refusal
from tools.awx_check.server import Controller
from tools.awx_check.shapes import resources

Ids = dict[str, int]


def test_object_is_shown_with_links_and_defaults(api: Api, ids: Ids) -> None:
    status, shown = api("GET", f"job_templates/{ids['job_templates']}/")

    assert status == 200
    assert shown["type"] == "job_template"
    assert shown["organization"] == ids["organizations"], "the organization of its project"
    assert (shown["forks"], shown["verbosity"], shown["job_type"], shown["ask_limit_on_launch"]) == (0, 0, "run", False)
    assert shown["related"]["survey_spec"] == f"/api/v2/job_templates/{ids['job_templates']}/survey_spec/"
    assert shown["related"]["project"] == f"/api/v2/projects/{ids['projects']}/"
    assert shown["summary_fields"]["inventory"] == {"id": ids["inventories"], "name": "aws"}


def test_secret_is_stored_but_never_shown(api: Api, ids: Ids, controller: Controller) -> None:
    number = ids["credentials"]
    assert api("GET", f"credentials/{number}/")[1]["inputs"] == {"arn": "a", "key": "$encrypted$"}

    status, shown = api("PATCH", f"credentials/{number}/", {"inputs": {"arn": "b", "key": "$encrypted$"}})

    assert (status, shown["inputs"]) == (200, {"arn": "b", "key": "$encrypted$"})
    assert controller.store.need("credentials", number)["inputs"] == {"arn": "b", "key": "secret"}


@pytest.mark.parametrize("token", [None, "another"])
def test_only_ping_works_without_the_token(controller: Controller, token: str | None) -> None:
    assert controller.answer("GET", "/api/v2/organizations/", None, token)[0] == 401
    assert controller.answer("GET", "/api/v2/ping/", None, token) == (200, {"version": "24.6.1", "ha": False})


def test_lists_have_filters_and_pages() -> None:
    api = Api(Controller(PROJECT, page_size=2))
    ids = {name: api.make("organizations", name=name) for name in "abc"}

    first = api("GET", "organizations/")[1]
    second = api.controller.answer("GET", first["next"], None, api.controller.token)[1]

    assert (first["count"], first["previous"]) == (3, None)
    assert [one["name"] for one in first["results"] + second["results"]] == ["a", "b", "c"]
    assert second["next"] is None
    assert [one["name"] for one in api("GET", "organizations/?name=b")[1]["results"]] == ["b"]
    assert [one["name"] for one in api("GET", f"organizations/?or__id={ids['a']}&or__name=b")[1]["results"]] == [
        "a",
        "b",
    ]
    assert api("GET", "organizations/?page=9")[0] == 404
    assert api("GET", "organizations/?page=x")[0] == 404
    assert "no field named 'nmae'" in refusal(api("GET", "organizations/?nmae=b"))["detail"][0]


def test_objects_have_named_urls_and_unions(api: Api, ids: Ids) -> None:
    assert api("GET", "job_templates/job++Example/")[1]["id"] == ids["job_templates"]
    assert api("GET", "job_templates/job++Other/")[0] == 404
    found = api("GET", "unified_job_templates/?name=flow&type=workflow_job_template")[1]
    assert [one["id"] for one in found["results"]] == [ids["workflow_job_templates"]]


def test_unsupported_requests_are_refused(api: Api, ids: Ids, controller: Controller) -> None:
    assert api("GET", "users/")[0] == 404
    assert api("GET", "job_templates/999/")[0] == 404
    assert api("GET", f"job_templates/{ids['job_templates']}/nothing/")[0] == 404
    assert api("DELETE", f"job_templates/{ids['job_templates']}/")[0] == 405
    assert api("POST", "unified_job_templates/", {})[0] == 405
    assert controller.answer("GET", "/elsewhere", None, controller.token)[0] == 404


def test_requests_and_writes_are_recorded(ids: Ids) -> None:
    controller = Controller(PROJECT)
    api = Api(controller)
    api("GET", "organizations/")
    api("POST", "organizations/", {"name": "x"})
    api("POST", "organizations/", {"nmae": "x"})

    assert [(one.method, one.status) for one in controller.requests] == [("GET", 200), ("POST", 201), ("POST", 400)]
    assert [one.payload for one in controller.writes] == [{"name": "x"}, {"nmae": "x"}]


@pytest.mark.parametrize("resource", sorted(resources()))
def test_unknown_field_is_refused(api: Api, ids: Ids, resource: str) -> None:
    assert "Unknown field" in refusal(api("PATCH", f"{resource}/{ids[resource]}/", {"no_such": 1}))["no_such"][0]


@pytest.mark.parametrize("resource", sorted(resources()))
def test_required_fields_must_be_set(api: Api, ids: Ids, resource: str) -> None:
    required = {name for name, one in resources()[resource].fields.items() if one.required}
    assert set(refusal(api("POST", f"{resource}/", {}))) == required


@pytest.mark.parametrize("resource", sorted(set(resources()) - {"workflow_job_template_nodes"}))
def test_duplicate_name_is_refused(api: Api, ids: Ids, resource: str) -> None:
    shown = api("GET", f"{resource}/{ids[resource]}/")[1]
    fields = resources()[resource].fields
    payload = {name: shown[name] for name, one in fields.items() if not one.read_only and shown[name] is not None}
    if resource == "credentials":
        payload["inputs"] = {"arn": "a"}
    if resource == "job_templates":
        payload.pop("organization")
    assert "already exists" in refusal(api("POST", f"{resource}/", payload))["__all__"][0]


@pytest.mark.parametrize("resource", sorted(resources()))
def test_id_of_an_unknown_object_is_refused(api: Api, ids: Ids, resource: str) -> None:
    linked = {name: 9999 for name, one in resources()[resource].fields.items() if one.to and not one.derived}
    if linked:
        errors = refusal(api("PATCH", f"{resource}/{ids[resource]}/", linked))
        assert errors.keys() == linked.keys()
        assert all("does not exist" in texts[0] for texts in errors.values())
        errors = refusal(api("PATCH", f"{resource}/{ids[resource]}/", dict.fromkeys(linked, "1")))
        assert all("Expected pk value" in texts[0] for texts in errors.values())


WRONG: list[tuple[str, dict[str, Any], str, str]] = [
    ("organizations", {"name": ""}, "name", "blank"),
    ("organizations", {"name": None}, "name", "null"),
    ("organizations", {"name": "x" * 513}, "name", "512"),
    ("organizations", {"name": ["x"]}, "name", "valid string"),
    ("organizations", {"max_hosts": "3"}, "max_hosts", "integer"),
    ("organizations", {"max_hosts": True}, "max_hosts", "integer"),
    ("organizations", {"max_hosts": -1}, "max_hosts", "greater"),
    ("organizations", {"id": 7}, "id", "read-only"),
    ("organizations", {"custom_virtualenv": "x"}, "custom_virtualenv", "read-only"),
    ("organizations", {"type": "team"}, "type", "read-only"),
    ("credential_types", {"kind": "ssh"}, "kind", "valid choice"),
    ("credential_types", {"managed": True}, "managed", "read-only"),
    ("credential_types", {"inputs": []}, "inputs", "mapping"),
    ("credential_types", {"inputs": {"fields": [{"id": "a b", "label": ""}]}}, "inputs", "does not match"),
    ("credential_types", {"inputs": {"fields": [{"id": "a", "label": "", "secrte": True}]}}, "inputs", "Additional"),
    ("credential_types", {"inputs": {"fields": [{"id": "tower", "label": ""}]}}, "inputs", "reserved"),
    ("credential_types", {"inputs": {"fields": [{"id": "a", "label": ""}] * 2}}, "inputs", "unique"),
    ("credential_types", {"inputs": {"fields": [], "required": ["a"]}}, "inputs", "is not a field"),
    ("credential_types", {"inputs": {"fields": [{"id": "a", "label": "", "default": 1}]}}, "inputs", "is not a string"),
    (
        "credential_types",
        {"inputs": {"fields": [{"id": "a", "label": "", "type": "boolean", "secret": True}]}},
        "inputs",
        "not allowed for boolean",
    ),
    (
        "credential_types",
        {"inputs": {"fields": [{"id": "a", "label": "", "ask_at_runtime": True}]}},
        "inputs",
        "not supported",
    ),
    ("credential_types", {"inputs": {"fields": [{"id": "b", "label": ""}]}, "injectors": {}}, "detail", "in use"),
    ("credential_types", {"injectors": {"envs": {}}}, "injectors", "Additional"),
    ("credential_types", {"injectors": {"env": {"ANSIBLE_X": "1"}}}, "injectors", "may affect Ansible"),
    ("credential_types", {"injectors": {"env": {"PATH": "1"}}}, "injectors", "is not allowed"),
    ("credential_types", {"injectors": {"env": {"A": "{{ nmae }}"}}}, "injectors", "undefined field"),
    ("credential_types", {"injectors": {"env": {"A": "{{ arn"}}}, "injectors", "Syntax error"),
    ("credential_types", {"injectors": {"env": {"A": "{{ tower.filename.c }}"}}}, "injectors", "undefined field"),
    ("credential_types", {"injectors": {"file": {"template": "", "template.b": ""}}}, "injectors", "multi-file"),
    ("credentials", {"inputs": {"arn": "a", "kye": "k"}}, "inputs", "unexpected"),
    ("credentials", {"inputs": {"arn": 1}}, "inputs", "not of type"),
    ("credentials", {"inputs": {"key": "k"}}, "inputs", "required"),
    ("credentials", {"organization": None}, "detail", "Missing"),
    ("execution_environments", {"image": ""}, "image", "blank"),
    ("execution_environments", {"pull": "sometimes"}, "pull", "valid choice"),
    ("projects", {"scm_url": ""}, "scm_url", "required"),
    ("projects", {"scm_type": "hg"}, "scm_type", "valid choice"),
    ("projects", {"scm_clean": "yes"}, "scm_clean", "boolean"),
    ("projects", {"scm_type": "", "scm_update_on_launch": True}, "scm_update_on_launch", "manual"),
    ("projects", {"scm_type": "svn", "scm_refspec": "x"}, "scm_refspec", "only be used with git"),
    ("inventories", {"kind": "smart"}, "host_filter", "must specify"),
    ("inventories", {"variables": "- a"}, "variables", "not a dictionary"),
    ("inventories", {"variables": "{"}, "variables", "Cannot parse"),
    ("inventory_sources", {"source_path": "inventory/nowhere.yml"}, "source_path", "not in the project"),
    ("inventory_sources", {"source_project": None}, "source_project", "required"),
    ("inventory_sources", {"source": "ec2"}, "detail", "if not SCM type"),
    ("inventory_sources", {"source": "file"}, "source", "valid choice"),
    ("inventory_sources", {"scm_branch": "x"}, "scm_branch", "overriding"),
    ("notification_templates", {"notification_type": "pigeon"}, "notification_type", "valid choice"),
    ("notification_templates", {"notification_type": "irc"}, "notification_configuration", "does not know"),
    ("notification_templates", {"messages": {"begun": None}}, "messages", "invalid"),
    ("notification_templates", {"messages": {"error": {"text": ""}}}, "messages", "invalid"),
    ("notification_templates", {"messages": {"error": {"body": 1}}}, "messages", "Expected string"),
    ("notification_templates", {"messages": {"error": []}}, "messages", "Expected dict"),
    ("notification_templates", {"messages": {"error": {"message": "a\nb"}}}, "messages", "newlines"),
    ("notification_templates", {"messages": {"error": {"body": "{{ job.nmae }}"}}}, "messages", "unavailable"),
    ("notification_templates", {"messages": {"error": {"body": "{{ job"}}}, "messages", "Unable to render"),
    ("job_templates", {"playbook": "playbooks/attempt.yml.j2"}, "playbook", "not found"),
    ("job_templates", {"playbook": "group_vars/all.yml"}, "playbook", "not found"),
    ("job_templates", {"playbook": ""}, "playbook", "Must select"),
    ("job_templates", {"project": None}, "project", "must have a project"),
    ("job_templates", {"inventory": None}, "inventory", "default value or ask"),
    ("job_templates", {"verbosity": 6}, "verbosity", "valid choice"),
    ("job_templates", {"verbosity": True}, "verbosity", "valid choice"),
    ("job_templates", {"job_type": "scan"}, "job_type", "valid choice"),
    ("job_templates", {"extra_vars": "[1]"}, "extra_vars", "not a dictionary"),
    ("job_templates", {"ask_scm_branch_on_launch": True}, "ask_scm_branch_on_launch", "overriding"),
    ("workflow_job_template_nodes", {"limit": "x"}, "limit", "not configured to prompt"),
    ("workflow_job_template_nodes", {"extra_data": {"other": 1}}, "extra_data", "not allowed on launch"),
    ("workflow_job_template_nodes", {"extra_data": {"seconds": "6"}}, "variables_needed_to_start", "an integer"),
    ("workflow_job_template_nodes", {"extra_data": {"seconds": 0}}, "variables_needed_to_start", "too small"),
    ("schedules", {"extra_data": {"x": 1}}, "extra_data", "not allowed on launch"),
    ("schedules", {"limit": "x"}, "limit", "not configured to prompt"),
    ("schedules", {"rrule": "RRULE:FREQ=WEEKLY;INTERVAL=1"}, "rrule", "Valid DTSTART"),
    ("schedules", {"next_run": "2026-01-01"}, "next_run", "read-only"),
]


@pytest.mark.parametrize(("resource", "change", "field", "text"), WRONG, ids=lambda value: str(value)[:40])
def test_wrong_data_is_refused(
    api: Api, ids: Ids, resource: str, change: dict[str, Any], field: str, text: str
) -> None:
    before = api("GET", f"{resource}/{ids[resource]}/")[1]

    errors = refusal(api("PATCH", f"{resource}/{ids[resource]}/", copy.deepcopy(change)))

    assert text in " ".join(errors[field])
    assert api("GET", f"{resource}/{ids[resource]}/")[1] | {"next_run": 0} == before | {"next_run": 0}


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"port": "25"}, "incorrect type"),
        ({"use_tls": 1}, "incorrect type"),
        ({"recipients": []}, "No values"),
        ({"recipient": []}, "Unknown field"),
        ({"sender": ...}, "Missing required"),
    ],
)
def test_wrong_notification_configuration_is_refused(api: Api, ids: Ids, change: dict[str, Any], text: str) -> None:
    configuration = {name: value for name, value in {**EMAIL, **change}.items() if value is not ...}
    path = f"notification_templates/{ids['notification_templates']}/"
    errors = refusal(api("PATCH", path, {"notification_configuration": configuration}))
    assert text in " ".join(errors["notification_configuration"])


def test_notification_configuration_gets_defaults(api: Api, ids: Ids) -> None:
    shown = api("GET", f"notification_templates/{ids['notification_templates']}/")[1]
    assert shown["notification_configuration"] == {**EMAIL, "timeout": 30}


def test_credential_must_have_the_type_of_its_use(api: Api, ids: Ids) -> None:
    kinds = {one["namespace"]: one["id"] for one in api("GET", "credential_types/")[1]["results"] if one["managed"]}
    inputs = {"scm": {"username": "u"}, "registry": {"host": "h"}, "galaxy_api_token": {"url": "u"}}
    made = {
        name: api.make(
            "credentials",
            name=name,
            organization=ids["organizations"],
            credential_type=kinds[name],
            inputs=inputs[name],
        )
        for name in inputs
    }
    project, image = f"projects/{ids['projects']}/", f"execution_environments/{ids['execution_environments']}/"
    galaxy = f"organizations/{ids['organizations']}/galaxy_credentials/"

    assert "must be 'scm'" in refusal(api("PATCH", project, {"credential": made["registry"]}))["credential"][0]
    assert "Only Container Registry" in refusal(api("PATCH", image, {"credential": made["scm"]}))["credential"][0]
    assert "must be a Galaxy credential" in refusal(api("POST", galaxy, {"id": made["scm"]}))["msg"][0]
    assert api("PATCH", project, {"credential": made["scm"]})[0] == 200
    assert api("PATCH", image, {"credential": made["registry"]})[0] == 200
    assert api("POST", galaxy, {"id": made["galaxy_api_token"]})[0] == 204


def test_only_system_administrators_create_credential_types() -> None:
    api = Api(Controller(PROJECT, superuser=False))
    kind = {"name": "x", "kind": "cloud"}

    assert api("GET", "me/")[1]["results"][0]["is_superuser"] is False
    assert api("POST", "organizations/", {"name": "x"})[0] == 403
    assert api("POST", "credential_types/", kind)[0] == 403
    assert api("GET", "credential_types/")[0] == 200


def test_change_keeps_omitted_messages(api: Api, ids: Ids) -> None:
    path = f"notification_templates/{ids['notification_templates']}/"
    api("PATCH", path, {"messages": {"error": {"message": "old"}}})
    shown = api("PATCH", path, {"messages": {"success": {"message": "new"}}})[1]
    assert shown["messages"]["error"] == {"message": "old"}
    assert shown["messages"]["success"] == {"message": "new"}


def test_inventory_of_a_source_cannot_be_changed(api: Api, ids: Ids) -> None:
    other = api.make("inventories", name="other", organization=ids["organizations"])
    errors = refusal(api("PATCH", f"inventory_sources/{ids['inventory_sources']}/", {"inventory": other}))
    assert "cannot be changed" in errors["inventory"][0]


def test_associations_are_added_and_removed(api: Api, ids: Ids) -> None:
    path = f"job_templates/{ids['job_templates']}/credentials/"
    assert api("POST", path, {"id": ids["credentials"]}) == (204, None)
    assert [one["id"] for one in api("GET", path)[1]["results"]] == [ids["credentials"]]
    second = api.make(
        "credentials",
        name="second",
        organization=ids["organizations"],
        credential_type=ids["credential_types"],
        inputs={"arn": "a"},
    )
    assert "Cannot assign multiple role" in refusal(api("POST", path, {"id": second}))["error"][0]
    assert api("POST", path, {"id": ids["credentials"], "disassociate": True}) == (204, None)
    assert api("GET", path)[1]["count"] == 0
    assert "There is no Credential" in refusal(api("POST", path, {"id": 9999}))["detail"][0]
    assert "must be an integer" in refusal(api("POST", path, {"id": "1"}))["msg"][0]
    assert "Unknown field" in refusal(api("POST", path, {"id": 1, "disasociate": True}))["detail"][0]


def test_links_stay_in_a_workflow_and_form_no_cycle(api: Api, ids: Ids) -> None:
    def node(workflow: int, identifier: str) -> int:
        return api.make("workflow_job_template_nodes", workflow_job_template=workflow, identifier=identifier)

    first = ids["workflow_job_template_nodes"]
    second = node(ids["workflow_job_templates"], "second")
    elsewhere = node(api.make("workflow_job_templates", name="f2", organization=ids["organizations"]), "first")
    assert api("POST", f"workflow_job_template_nodes/{first}/success_nodes/", {"id": second})[0] == 204
    assert api("GET", f"workflow_job_template_nodes/{first}/")[1]["success_nodes"] == [second]
    circle = refusal(api("POST", f"workflow_job_template_nodes/{second}/always_nodes/", {"id": first}))
    assert "Cycle" in circle["Error"][0]
    far = refusal(api("POST", f"workflow_job_template_nodes/{second}/always_nodes/", {"id": elsewhere}))
    assert "different workflows" in far["Error"][0]


def test_schedule_must_answer_required_questions(api: Api, ids: Ids) -> None:
    rule = "DTSTART:20260103T090000Z RRULE:FREQ=DAILY;INTERVAL=1"
    fields = {"name": "of a job", "unified_job_template": ids["job_templates"], "rrule": rule}
    assert "'run_id' value missing" in refusal(api("POST", "schedules/", fields))["variables_needed_to_start"]
    status, shown = api("POST", "schedules/", {**fields, "extra_data": {"run_id": "x"}})
    assert (status, shown["timezone"]) == (201, "UTC")
    assert shown["next_run"].endswith("T09:00:00Z")


QUESTION: dict[str, Any] = dict(SURVEY["spec"][0])
SURVEYS: list[tuple[Any, str]] = [
    ([], "Expected a dictionary"),
    ({"name": "s", "spec": []}, "'description' is missing"),
    ({"name": 1, "description": "", "spec": []}, "Expected string for field 'name'"),
    ({**SURVEY, "spec": []}, "doesn't contain any items"),
    ({**SURVEY, "sepc": []}, "Unknown field 'sepc'"),
    ({**SURVEY, "spec": ["x"]}, "not a json object"),
    ({**SURVEY, "spec": [{**QUESTION, "required": "yes"}]}, "expected to be boolean"),
    ({**SURVEY, "spec": [{"question_name": "x"}]}, "'type' missing"),
    ({**SURVEY, "spec": [QUESTION, QUESTION]}, "duplicated"),
    ({**SURVEY, "spec": [{**QUESTION, "type": "bool"}]}, "allowed question types"),
    ({**SURVEY, "spec": [{**QUESTION, "hint": ""}]}, "Unknown key 'hint'"),
    ({**SURVEY, "spec": [{**QUESTION, "default": 1}]}, "expected to be string"),
    ({**SURVEY, "spec": [{**QUESTION, "type": "integer", "default": "1"}]}, "to be integer"),
    ({**SURVEY, "spec": [{**QUESTION, "min": "1"}]}, "min limit"),
    ({**SURVEY, "spec": [{**QUESTION, "type": "multiplechoice"}]}, "must specify choices"),
    (
        {**SURVEY, "spec": [{**QUESTION, "type": "multiplechoice", "choices": ["a"], "default": "b"}]},
        "answered from the choices",
    ),
    (
        {**SURVEY, "spec": [{**QUESTION, "type": "multiplechoice", "choices": ["a", "b"], "default": "a\nb"}]},
        "only have one default",
    ),
    ({**SURVEY, "spec": [{**QUESTION, "default": "$encrypted$"}]}, "reserved keyword"),
]


@pytest.mark.parametrize(("survey", "text"), SURVEYS, ids=[text for _, text in SURVEYS])
def test_wrong_survey_is_refused(api: Api, ids: Ids, survey: Any, text: str) -> None:
    path = f"job_templates/{ids['job_templates']}/survey_spec/"
    if survey == []:
        survey = ["x"]
    assert text in refusal(api("POST", path, survey))["error"][0]
    assert api("GET", path) == (200, SURVEY)
