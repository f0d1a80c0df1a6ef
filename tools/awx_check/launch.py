"""From what a controller keeps to the jobs that it would start: templates, workflows, schedules."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from tools.awx_check import credentials, surveys
from tools.awx_check.jobs import Job
from tools.awx_check.server import Controller, pages
from tools.awx_check.shapes import variables_of
from tools.awx_check.store import ROOT

Object = Mapping[str, Any]


class LaunchError(Exception):
    """AWX would not start it; the text says why."""


@dataclass(frozen=True)
class Ended:
    """How the job of a node ended.

    Attributes:
        passed: Whether it passed.
        published: What it published with `set_stats`.
    """

    passed: bool
    published: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Step:
    """A node of a workflow that had its turn.

    Attributes:
        identifier: The node's name in its workflow.
        template: The name of what it started.
        passed: How that ended.
    """

    identifier: str
    template: str
    passed: bool


class Launcher:
    """Reads templates back from the API and says what their jobs are."""

    def __init__(self, controller: Controller) -> None:
        """Nothing is read yet."""
        self._controller = controller

    def get(self, target: str) -> dict[str, Any]:
        """Read one address of the API.

        Raises:
            LaunchError: It is not there.
        """
        status, body = self._controller.answer("GET", target, None, self._controller.token)
        if status != 200:
            raise LaunchError(f"GET {target}: {status} {body}")
        return dict(body)

    def named(self, resource: str, name: str) -> dict[str, Any]:
        """One object by its name.

        Raises:
            LaunchError: There is none.
        """
        found = list(pages(self._controller, resource, name=name))
        if len(found) != 1:
            raise LaunchError(f"{len(found)} of {resource} are called {name}")
        return found[0]

    def scheduled(self, name: str) -> dict[str, Any]:
        """What a schedule starts.

        Raises:
            LaunchError: There is no such schedule, or it is switched off.
        """
        schedule = self.named("schedules", name)
        if not schedule["enabled"]:
            raise LaunchError(f"the schedule {name} is switched off")
        return self.get(str(schedule["related"]["unified_job_template"]))

    def job(
        self,
        template: Object,
        prompts: Object | None = None,
        published: Mapping[str, Any] | None = None,
        number: int = 1,
    ) -> Job:
        """The job of a template.

        Variables in AWX's order: those of the template, the defaults of its survey, those of the node, what the jobs
        before it published; then what its credentials inject.

        Args:
            template: As the API shows it.
            prompts: What a node says instead of its template, likewise.
            published: What the jobs that led to the node have published.
            number: The job's number.

        Raises:
            LaunchError: A variable does not fit the survey, or the template's inventory has not one source or was never
                read.
        """
        said = prompts or {}
        survey = self.get(str(template["related"]["survey_spec"])) if template["survey_enabled"] else {}
        answers = dict(said.get("extra_data") or {})
        if found := surveys.answer_problems(survey, answers, complete=True):
            raise LaunchError(f"{template['name']}: {' '.join(found)}")
        own = variables_of(template["extra_vars"])
        variables = {**own, **surveys.defaults(survey), **answers, **(published or {})}
        injected = self._injected(template)

        def of(name: str) -> Any:
            value = said.get(name)
            return template[name] if value in (None, "") else value

        return Job(
            playbook=template["playbook"],
            inventory=self._source_path(template),
            # Through JSON, as AWX keeps them.
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
            # The API shows no secret, so this one thing is not read from it.
            kept = self._controller.store.secret("credentials", shown["id"])
            kind = self.get(f"{ROOT}/credential_types/{kept['credential_type']}/")
            one = credentials.inject(kind["injectors"], kind["inputs"], kept["inputs"])
            merged.environment.update(one.environment)
            merged.files.update(one.files)
            merged.extra_vars.update(one.extra_vars)
        return merged

    def _source_path(self, template: Object) -> str:
        sources = list(pages(self._controller, "inventory_sources", inventory=str(template["inventory"])))
        if len(sources) != 1:
            raise LaunchError(f"the inventory of {template['name']} has {len(sources)} sources")
        if not sources[0]["update_on_launch"] and sources[0]["status"] != "successful":
            raise LaunchError(f"the inventory of {template['name']} was never read, and has no hosts")
        return str(sources[0]["source_path"])


def walk(
    launcher: Launcher, workflow: Object, run: Callable[[Object, Object, Mapping[str, Any]], Ended]
) -> Iterator[Step]:
    """Run a workflow as AWX does: a node when one that leads to it has ended so that its link holds.

    A node to which no link held is left out. One that must converge waits for all of its parents. A node gets what
    those that lead to it have published, and what was published before them.

    Args:
        launcher: Reads the templates of the nodes.
        workflow: As the API shows it.
        run: Runs the template of a node with what the node says and what was published, and tells how it ended.

    Yields:
        What was run, in order.
    """
    nodes = {one["id"]: one for one in launcher.get(str(workflow["related"]["workflow_nodes"]))["results"]}
    parents = {number: _parents(nodes, number) for number in nodes}
    ended: dict[int, bool | None] = {}
    published: dict[int, dict[str, Any]] = {}
    while waiting := [number for number in nodes if number not in ended]:
        # AWX decides on a node once all that lead to it are decided on.
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
        yield Step(nodes[ready]["identifier"], template["name"], end.passed)


def _parents(nodes: Mapping[int, Object], number: int) -> list[tuple[int, str]]:
    links = ("success_nodes", "failure_nodes", "always_nodes")
    return [(one, link) for one, node in nodes.items() for link in links if number in node[link]]


def _holds(link: str, passed: bool | None) -> bool:
    """Whether a link leads on from a node that passed, failed, or was left out."""
    if passed is None:
        return False
    return link == "always_nodes" or passed is (link == "success_nodes")
