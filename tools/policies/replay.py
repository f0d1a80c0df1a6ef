"""Repeat the recorded decisions with policies that lack one statement."""

from __future__ import annotations

import functools
import json
from typing import Any

from local_aws import decisions, policy

from tools.policies.recording import Asked, Recording
from tools.policies.statements import Statement, filled

BEYOND = {
    # AWS's reference checks the start against the runbook's definition, as the embedded AWS does; the examples in its
    # user guide ("Setting up identity based policies examples") allow it on the document. This was not tried on AWS.
    ("expiry", "StartTheOneRunbook"): {"arn:aws:ssm:${region}::document/AWS-TerminateEC2Instance"},
    # AWS's runbook needs more than the embedded one, which only terminates: AWS does not document how it finds the
    # instances of a tag and how it checks that they have ended.
    ("expiry", "FindTheInstancesOfATag"): {"ec2:DescribeInstanceStatus", "tag:GetResources"},
}
"""Actions and resources that no recorded decision needs but that must stay."""


def need(recording: Recording, statement: Statement) -> list[Asked]:
    """The recorded decisions that depend on a statement: it alone allows, or for a ``Deny`` refuses."""
    found = []
    for asked in recording.asked:
        involved = statement.policy in recording.in_force.get(_who(asked), [])
        if not involved or not _applies(statement.only(), asked):
            continue
        complete = decisions.again(asked.line, _policies(recording, asked, statement.policy, ""))
        reduced = decisions.again(asked.line, _policies(recording, asked, statement.policy, statement.sid))
        if complete != reduced:
            found.append(asked)
    return found


def disagreements(recording: Recording) -> list[Asked]:
    """Decisions that the policies now make differently."""
    known = [each for each in recording.asked if _who(each) in recording.in_force]
    return [
        each for each in known if decisions.again(each.line, _policies(recording, each, "", "")) != each.line["allowed"]
    ]


def idle_parts(recording: Recording, statement: Statement) -> list[str]:
    """Actions and resources of an ``Allow`` that no recorded decision needs."""
    if statement.denies:
        return []
    needed, beyond = need(recording, statement), BEYOND.get((statement.policy, statement.sid), set())
    unused = []
    for element, whole in (("Action", statement.actions()), ("Resource", statement.resources())):
        for part in whole:
            # One part of the statement may suffice for a decision.
            used = any(_applies(statement.only(**{element: [part]}), asked) for asked in needed)
            if len(whole) > 1 and part not in beyond and not used:
                unused.append(part)
    return unused


def _applies(policy_of_one: dict[str, Any], asked: Asked) -> bool:
    line = asked.line
    decision = policy.decide([json.dumps(policy_of_one)], line["permission"], line["resource"] or "*", line["context"])
    return decision != policy.IMPLICIT_DENY


def _who(asked: Asked) -> str:
    return str(asked.line["user"] or asked.line["role"])


def _policies(recording: Recording, asked: Asked, less: str, leave_out: str) -> list[str]:
    """All policies of the user or role; the policy ``less`` lacks one statement."""
    who = _who(asked)
    found = [_text(name, leave_out if name == less else "") for name in recording.in_force[who]]
    return found + [json.dumps(each) for each in recording.others.get(who, [])]


@functools.cache
def _text(name: str, leave_out: str) -> str:
    return json.dumps(filled(name, leave_out))
