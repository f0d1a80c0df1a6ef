"""Every question that was put to policies, and the answer, one JSON line each: what another policy can be tried on.

A line has ``time``, ``principal`` (ARN), ``user`` or ``role`` (the name, whichever it is), ``source`` (as in the
ledger), ``action`` (the API operation), ``permission``, ``resource`` (null where it is not derived), ``context`` (the
condition keys and their values) and ``allowed``. A request is one question or several, and a denied one the last.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from local_aws import policy
from local_aws.authorisation import Decision
from local_aws.ledger import timestamp


class Decisions:
    """Appends to a file; safe to use from many threads."""

    def __init__(self, path: Path) -> None:
        """Open ``path`` for appending."""
        self._file = path.open("a", buffering=1)
        self._lock = threading.Lock()

    def write_down(self, decision: Decision) -> None:
        """Append one line."""
        principal, question = decision.principal, decision.question
        line = {
            "time": timestamp(),
            "principal": principal.arn,
            "user": principal.user,
            "role": principal.role,
            "source": principal.source,
            "action": decision.action,
            "permission": question.permission,
            "resource": question.resource,
            "context": dict(question.context),
            "allowed": decision.allowed,
        }
        with self._lock:
            self._file.write(json.dumps(line) + "\n")


def read(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the lines, oldest first; one that was not, or not yet, written to its end is left out."""
    with path.open() as handle:
        for line in handle:
            if line.endswith("}\n"):
                yield json.loads(line)


def again(line: Mapping[str, Any], policies: Iterable[str]) -> bool:
    """What ``policies`` (JSON documents) say to a question that was put to others."""
    resources = [line["resource"]] if line["resource"] else []
    return policy.evaluate(policies, line["permission"], resources, line["context"])
