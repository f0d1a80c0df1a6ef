"""Logs every policy decision as a JSON line, so that other policies can be tried on the same questions.

A line has ``time``, ``id``, ``principal`` (ARN), its ``user`` or ``role`` name, ``source`` (as in the ledger),
``action`` (API operation), ``permission``, ``resource`` (null if not derived), ``context`` (condition keys and values)
and ``allowed``. A request asks one or more questions and stops at the first denial.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from local_aws import policy
from local_aws.authorisation import Decision, Observer
from local_aws.ledger import Ledger
from local_aws.ledger import read as read


def recorder(path: Path) -> Observer:
    """An observer that appends every decision to a file; thread-safe."""
    lines = Ledger(path)

    def record(decision: Decision) -> None:
        principal, question = decision.principal, decision.question
        lines.record(
            principal=principal.arn,
            user=principal.user,
            role=principal.role,
            source=principal.source,
            action=decision.action,
            permission=question.permission,
            resource=question.resource,
            context=dict(question.context),
            allowed=decision.allowed,
        )

    return record


def again(line: Mapping[str, Any], policies: Iterable[str]) -> bool:
    """Whether ``policies`` (JSON documents) allow what was asked of others."""
    resources = [line["resource"]] if line["resource"] else []
    return policy.evaluate(policies, line["permission"], resources, line["context"])
