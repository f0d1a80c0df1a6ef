"""Derive the jobs that a controller would start from its templates, workflows and schedules."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from tools.awx_check import credentials, surveys
from tools.awx_check.jobs import Job
from tools.awx_check.rules import LINKS
from tools.awx_check.server import Controller, pages
from tools.awx_check.shapes import variables_of
from tools.awx_check.store import ROOT

Object = Mapping[str, Any]


class LaunchError(Exception):
    """AWX would not start the job; the text says why."""


@dataclass(frozen=True)
class Ended:
    """Whether a node's job passed, and what it published with `set_stats`."""

    passed: bool
    published: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Step:
    """A node of a workflow that was run, by its name in the workflow."""

    identifier: str
    passed: bool


class Launcher:
    """Reads templates from the API and builds their jobs."""

    def __init__(self, controller: Controller) -> None:
        """Read from a controller."""
        self._controller = controller

    def get(self, target: str) -> dict[str, Any]:
        """GET one path of the API.

        Raises:
            LaunchError: The status is not 200.
        """
        status, body = self._controller.answer("GET", target, None, self._controller.token)
        if status != 200:
            raise LaunchError(f"GET {target}: {status} {body}")
        return dict(body)

    def named(self, resource: str, name: str) -> dict[str, Any]:
        """Look up one object by name.

        Raises:
            LaunchError: Not exactly one object has the name.
        """
        found = list(pages(self._controller, resource, name=name))
        if len(found) != 1:
            raise LaunchError(f"{resource}: expected one named {name}, got {len(found)}")
        return found[0]

    def scheduled(self, name: str) -> dict[str, Any]:
        """The template that a schedule starts.

        Raises:
            LaunchError: The schedule does not exist or is disabled.
        """
        schedule = self.named("schedules", name)
        if not schedule["enabled"]:
            raise LaunchError(f"the schedule {name} is disabled")
        return self.get(str(schedule["related"]["unified_job_template"]))

    def job(
        self,
        template: Object,
        prompts: Object | None = None,
        published: Mapping[str, Any] | None = None,
        number: int = 1,
    ) -> Job:
        """The job of a template.

        Variables take AWX's order: the template's, the survey's defaults, the node's, those that earlier jobs
        published, then those that the credentials inject. `prompts` are the node's overrides of its template.

        Raises:
            LaunchError: A variable does not fit the survey, or the template's inventory does not have exactly one
                source, or was never updated.
        """
        overrides = prompts or {}
        survey = self.get(str(template["related"]["survey_spec"])) if template["survey_enabled"] else {}
        answers = dict(overrides.get("extra_data") or {})
        if found := surveys.answer_problems(survey, answers, complete=True):
            raise LaunchError(f"{template['name']}: {' '.join(found)}")
        own = variables_of(template["extra_vars"])
        variables = {**own, **surveys.defaults(survey), **answers, **(published or {})}
        injected = self._injected(template)

        def of(name: str) -> Any:
            value = overrides.get(name)
            return template[name] if value in (None, "") else value

        return Job(
            playbook=template["playbook"],
            inventory=self._source_path(template),
            # AWX stores variables as JSON.
            extra_vars=json.loads(json.dumps({**variables, **injected.extra_vars})),
            template_vars=json.loads(json.dumps(own)),
            limit=of("limit"),
            job_tags=of("job_tags"),
            skip_tags=of("skip_tags"),
            verbosity=of("verbosity"),
            forks=of("forks"),
            timeout=of("timeout"),
            environment=injected.environment,
            files=injected.files,
            check=of("job_type") == "check",
            id=number,
        )

    def _injected(self, template: Object) -> credentials.Injected:
        merged = credentials.Injected()
        for shown in self.get(str(template["related"]["credentials"]))["results"]:
            # The API hides secrets, so read the credential from the store.
            kept = self._controller.store.need("credentials", shown["id"])
            kind = self.get(f"{ROOT}/credential_types/{kept['credential_type']}/")
            one = credentials.inject(kind["injectors"], kind["inputs"], kept["inputs"])
            merged.environment.update(one.environment)
            merged.files.update(one.files)
            merged.extra_vars.update(one.extra_vars)
        return merged

    def _source_path(self, template: Object) -> str:
        sources = list(pages(self._controller, "inventory_sources", inventory=str(template["inventory"])))
        if len(sources) != 1:
            raise LaunchError(f"the inventory of {template['name']}: expected one source, got {len(sources)}")
        if not sources[0]["update_on_launch"] and sources[0]["status"] != "successful":
            raise LaunchError(f"the inventory of {template['name']} was never updated and has no hosts")
        return str(sources[0]["source_path"])


def walk(
    launcher: Launcher, workflow: Object, run: Callable[[Object, Object, Mapping[str, Any]], Ended]
) -> Iterator[Step]:
    """Run a workflow as AWX does.

    A node runs if the link from one of its parents holds, or from all of them if it must converge; else it is skipped.
    It gets what its ancestors published. `run` runs a node, given its template, the node itself and the published
    variables.
    """
    nodes = {one["id"]: one for one in launcher.get(str(workflow["related"]["workflow_nodes"]))["results"]}
    parents = {
        number: [(one, link) for one, node in nodes.items() for link in LINKS if number in node[link]]
        for number in nodes
    }
    ended: dict[int, bool | None] = {}
    published: dict[int, dict[str, Any]] = {}
    while waiting := [number for number in nodes if number not in ended]:
        # AWX decides on a node once it has decided on all of its parents.
        ready = next(number for number in waiting if all(parent in ended for parent, _ in parents[number]))
        held = [_holds(link, ended[parent]) for parent, link in parents[ready]]
        published[ready] = {name: value for parent, _ in parents[ready] for name, value in published[parent].items()}
        wanted = all(held) if nodes[ready]["all_parents_must_converge"] else any(held) or not held
        if not wanted:
            ended[ready] = None
            continue
        template = launcher.get(str(nodes[ready]["related"]["unified_job_template"]))
        end = run(template, nodes[ready], published[ready])
        ended[ready] = end.passed
        published[ready] |= end.published
        yield Step(nodes[ready]["identifier"], end.passed)


def _holds(link: str, passed: bool | None) -> bool:
    """Whether a link holds after a node that passed, failed or was skipped (None)."""
    if passed is None:
        return False
    return link == "always_nodes" or passed is (link == "success_nodes")
