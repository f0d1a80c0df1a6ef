"""In-memory store of the stand-in: objects, their associations and surveys."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from werkzeug.exceptions import NotFound

from tools.awx_check import credentials, notifications, private_data, recurrence, rules, surveys
from tools.awx_check.shapes import Refused, Resource, resources, unions

ROOT = "/api/v2"
#: The revision of every project.
REVISION = "0" * 40


class Store:
    """All objects of a controller; validates every change."""

    def __init__(self, project: Path) -> None:
        """Create the built-in objects; `project` is the checkout of every project."""
        self.files = set(private_data.project_files(project))
        self.playbooks = {name for name in self.files if name.endswith(".yml") and _may_be_playbook(project, name)}
        self._objects: dict[str, dict[int, dict[str, Any]]] = {name: {} for name in resources()}
        self._associations: dict[tuple[str, int, str], list[int]] = {}
        self._surveys: dict[int, dict[str, Any]] = {}
        self._updates: dict[int, int] = {}
        self._last_id = 0
        initial = resources()["credential_types"].initial()
        for namespace, kind in credentials.MANAGED.items():
            self._keep("credential_types", {**initial, **kind, "namespace": namespace, "managed": True})

    def _keep(self, name: str, new: Mapping[str, Any]) -> dict[str, Any]:
        """Store a new object."""
        self._last_id += 1
        kept = {**new, "id": self._last_id, "created": _now(), "modified": _now()}
        self._objects[name][self._last_id] = kept
        return kept

    # Queries.

    def all(self, name: str) -> Iterator[dict[str, Any]]:
        """Every object of a resource or a union, in the order of creation."""
        for one in unions().get(name, [name]):
            yield from self._objects[one].values()

    def find(self, name: str, number: int) -> dict[str, Any] | None:
        """One object, or None."""
        return next((one for one in self.all(name) if one["id"] == number), None)

    def need(self, name: str, number: int) -> dict[str, Any]:
        """One object.

        Raises:
            NotFound: It does not exist.
        """
        if (found := self.find(name, number)) is None:
            raise NotFound
        return found

    def survey(self, template: Mapping[str, Any]) -> dict[str, Any]:
        """The survey of a template; may be empty."""
        return self._surveys.get(template["id"], {})

    def associated(self, name: str, number: int, association: str) -> list[dict[str, Any]]:
        """The objects in one of an object's lists."""
        to = resources()[name].associations[association]
        return [self.need(to, other) for other in self._associations.get((name, number, association), [])]

    def resource_of(self, number: int) -> Resource:
        """The resource of an object.

        Raises:
            NotFound: The object does not exist.
        """
        for name, kept in self._objects.items():
            if number in kept:
                return resources()[name]
        raise NotFound

    def at(self, name: str, key: str) -> dict[str, Any]:
        """One object by its id or its named URL: `<name>`, or `<name>++<organization>`.

        Raises:
            NotFound: It does not exist.
        """
        if key.isdigit():
            return self.need(name, int(key))
        own, *owners = key.split("++")
        for one in self.all(name):
            organization = self.find("organizations", one.get("organization") or 0)
            if one.get("name") == own and (not owners or (organization and organization["name"] == owners[-1])):
                return one
        raise NotFound

    # Changes.

    def create(self, name: str, payload: Any) -> dict[str, Any]:
        """Store a new object.

        Raises:
            Refused: AWX refuses it.
        """
        kept = self._keep(name, self._accepted(resources()[name], payload, None))
        if name == "projects" and kept["scm_type"]:
            # AWX starts an update of a new project; here it ends at once.
            self.start_update(name, kept["id"])
            kept["scm_revision"] = REVISION
        return kept

    def update(self, name: str, number: int, payload: Any) -> dict[str, Any]:
        """Change an object.

        Raises:
            Refused: AWX refuses the change.
            NotFound: The object does not exist.
        """
        present = self.need(name, number)
        kept = self._accepted(resources()[name], payload, copy.deepcopy(present))
        self._objects[name][number] = {**kept, "modified": _now()}
        return self._objects[name][number]

    def _accepted(self, resource: Resource, payload: Any, present: dict[str, Any] | None) -> dict[str, Any]:
        wanted = resource.accept(payload, present, self.find)
        rules.check(self, resource.name, wanted, present)
        same = [
            one
            for one in self.all(resource.name)
            if one["id"] != (present or {}).get("id") and all(one[key] == wanted[key] for key in resource.unique)
        ]
        if same:
            named = ", ".join(key.replace("_", " ").title() for key in resource.unique)
            raise Refused({"__all__": [f"{resource.label} with this ({named}) combination already exists."]})
        return wanted

    def associate(self, name: str, number: int, association: str, payload: Any) -> None:
        """Add an object to a list of another, or remove it.

        Raises:
            Refused: AWX refuses the change.
            NotFound: The owner does not exist.
        """
        owner = self.need(name, number)
        to = resources()[name].associations[association]
        if not isinstance(payload, dict) or (unknown := set(payload) - {"id", "disassociate"}):
            raise Refused(
                {"detail": [f"Unknown field {min(unknown)}." if isinstance(payload, dict) else "No mapping."]}
            )
        other = payload.get("id")
        if isinstance(other, bool) or not isinstance(other, int):
            raise Refused({"msg": ['"id" field must be an integer.']})
        if (added := self.find(to, other)) is None:
            raise Refused({"detail": [f"There is no {resources()[to].label} {other}."]})
        listed = self._associations.setdefault((name, number, association), [])
        if payload.get("disassociate"):
            if other in listed:
                listed.remove(other)
        elif other not in listed:
            rules.check_association(self, name, owner, association, added)
            listed.append(other)

    def set_survey(self, template: Mapping[str, Any], spec: Any) -> None:
        """Store a survey; an empty mapping removes it.

        Raises:
            Refused: AWX refuses the survey.
        """
        if spec and (text := surveys.problem(spec)):
            raise Refused({"error": [text]})
        self._surveys[template["id"]] = copy.deepcopy(spec)

    # Responses.

    def shown(self, name: str, kept: Mapping[str, Any]) -> dict[str, Any]:
        """An object as the API shows it: with links, without secrets."""
        resource = self.resource_of(kept["id"])
        url = f"{ROOT}/{resource.name}/{kept['id']}/"
        related = {one: f"{url}{one}/" for one in (*resource.associations, *resource.links)}
        summary: dict[str, Any] = {}
        for key, one in resource.fields.items():
            if one.to and kept[key] is not None:
                other = self.need(one.to, kept[key])
                to = self.resource_of(other["id"])
                related[key] = f"{ROOT}/{to.name}/{other['id']}/"
                summary[key] = {"id": other["id"], "name": other.get("name", "")}
        update = self._updates.get(kept["id"])
        if update and resource.name == "projects":
            summary["current_update"] = {"id": update, "status": "successful"}
            related["current_update"] = f"{ROOT}/project_updates/{update}/"
        shown = copy.deepcopy(dict(kept))
        if resource.name == "credentials":
            kind = self.need("credential_types", kept["credential_type"])
            _hide(shown["inputs"], credentials.secret_inputs(kind["inputs"]))
        if resource.name == "notification_templates":
            _hide(shown["notification_configuration"], notifications.password_settings(kept["notification_type"]))
        if resource.name == "schedules":
            shown |= _calendar(kept)
        if resource.name in ("projects", "inventory_sources"):
            shown["status"] = "successful" if update else "never updated"
        if resource.name == "workflow_job_template_nodes":
            shown |= {
                link: [one["id"] for one in self.associated(resource.name, kept["id"], link)] for link in rules.LINKS
            }
        return {"type": resource.type, "url": url, "related": related, "summary_fields": summary, **shown}

    def start_update(self, name: str, number: int) -> dict[str, Any]:
        """Update a project or an inventory source; the update succeeds at once."""
        self._last_id += 1
        self._updates[number] = self._last_id
        return self.finished_update("project_updates" if name == "projects" else "inventory_updates", self._last_id)

    def finished_update(self, name: str, number: int) -> dict[str, Any]:
        """The last update of a project or an inventory source.

        Raises:
            NotFound: The update does not exist.
        """
        updated = next((one for one, update in self._updates.items() if update == number), 0)
        if (self.resource_of(updated).name == "projects") is not (name == "project_updates"):
            raise NotFound
        shown = {"id": number, "type": name.removesuffix("s"), "url": f"{ROOT}/{name}/{number}/"}
        revision = {"scm_revision": REVISION} if name == "project_updates" else {}
        return {**shown, "status": "successful", "failed": False, "finished": _now(), **revision}


def _calendar(kept: Mapping[str, Any]) -> dict[str, Any]:
    now = datetime.now(UTC)
    runs = recurrence.next_runs(recurrence.forwarded(kept["rrule"], now), now)
    due = runs[0].isoformat().replace("+00:00", "Z") if runs and kept["enabled"] else None
    return {"next_run": due, "timezone": recurrence.time_zone(kept["rrule"])}


def _hide(values: dict[str, Any], secrets: set[str]) -> None:
    for name in secrets & set(values):
        if values[name]:
            values[name] = credentials.ENCRYPTED


def _may_be_playbook(project: Path, name: str) -> bool:
    """Whether AWX lists a file as a playbook: it has a play or an import, and is at the top or in `playbooks/`."""
    folder = Path(name).parent
    if str(folder) not in (".", "playbooks"):
        return False
    text = (project / name).read_text(encoding="utf-8", errors="replace") if (project / name).is_file() else ""
    return any(
        line.lstrip("- ").startswith(("hosts:", "import_playbook:", "ansible.builtin.import_playbook:"))
        for line in text.splitlines()
    )


def _now() -> str:
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")
