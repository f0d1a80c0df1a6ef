"""The recorded questions, put again to the policies without one of their statements."""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from typing import Any

from local_aws import decisions, policy

from tools.policies.recording import Asked, Recording
from tools.policies.statements import Statement, filled

BEYOND = {
    # AWS's reference holds the start against the runbook's definition, as the embedded AWS does; the examples of its
    # user guide ("Setting up identity based policies examples") allow it on the document. Which one it asks for was
    # not tried.
    ("expiry", "StartTheOneRunbook"): {"arn:aws:ssm:${region}::document/AWS-TerminateEC2Instance"},
    # AWS's own runbook asks for more than the embedded AWS, which has it terminate and no more: how AWS finds the
    # instances of a tag, and how it sees that they have ended, is not documented.
    ("expiry", "FindTheInstancesOfATag"): {"ec2:DescribeInstanceStatus", "tag:GetResources"},
}
"""Actions and resources that no recorded question needs, and that stay all the same."""


@dataclass(frozen=True)
class Need:
    """The recorded questions that a statement alone answers: allows, or for a ``Deny`` refuses."""

    statement: Statement
    asked: list[Asked]

    @property
    def told(self) -> str:
        """How many, the action of the first, and where it came up."""
        if not self.asked:
            return "none"
        first = self.asked[0]
        return f"{len(self.asked)}, `{first.line['permission']}` ({first.where})"


def need(recording: Recording, statement: Statement) -> Need:
    """What of a recording needs a statement."""
    found = []
    for asked in _of(recording, statement):
        if not _applies(statement.only(), asked):
            continue  # it says nothing to this question
        whole = decisions.again(asked.line, _policies(recording, asked, statement.policy, ""))
        rest = decisions.again(asked.line, _policies(recording, asked, statement.policy, statement.sid))
        if whole != rest:
            found.append(asked)
    return Need(statement, found)


def disagreements(recording: Recording) -> list[Asked]:
    """Questions to which the policies as they are say something else than they did."""
    known = [each for each in recording.asked if _who(each) in recording.in_force]
    return [
        each for each in known if decisions.again(each.line, _policies(recording, each, "", "")) != each.line["allowed"]
    ]


def idle_parts(recording: Recording, statement: Statement) -> list[str]:
    """Actions and resources of an ``Allow`` that no recorded question needs: without any of them all are answered."""
    if statement.denies:
        return []
    needed, beyond = need(recording, statement).asked, BEYOND.get((statement.policy, statement.sid), set())
    parts = [("Action", each, statement.actions()) for each in statement.actions()]
    parts += [("Resource", each, statement.resources()) for each in statement.resources()]
    return [
        each
        for element, each, whole in parts
        if len(whole) > 1 and each not in beyond and not any(_uses(statement, element, each, asked) for asked in needed)
    ]


def _uses(statement: Statement, element: str, part: str, asked: Asked) -> bool:
    """Whether one action or resource of a statement is enough for a question."""
    return _applies(statement.only(**{element: [part]}), asked)


def _applies(policy_of_one: dict[str, Any], asked: Asked) -> bool:
    line = asked.line
    said = policy.decide([json.dumps(policy_of_one)], line["permission"], line["resource"] or "*", line["context"])
    return said != policy.IMPLICIT_DENY


def _of(recording: Recording, statement: Statement) -> list[Asked]:
    """The questions that were put to a policy."""
    return [each for each in recording.asked if statement.policy in recording.in_force.get(_who(each), [])]


def _who(asked: Asked) -> str:
    return str(asked.line["user"] or asked.line["role"])


def _policies(recording: Recording, asked: Asked, less: str, leave_out: str) -> list[str]:
    """All that the asker had, of which the policy ``less`` has one statement less."""
    who = _who(asked)
    found = [_text(name, leave_out if name == less else "") for name in recording.in_force[who]]
    return found + [json.dumps(each) for each in recording.beside.get(who, [])]


@functools.cache
def _text(name: str, leave_out: str) -> str:
    return json.dumps(filled(name, leave_out))
