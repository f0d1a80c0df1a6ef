"""AWS knows the control node's credentials."""

from __future__ import annotations

from .base import Finding
from .context import Context

REMEDY = "give the control node valid credentials: environment, profile or role (compare: aws sts get-caller-identity)"


def run(context: Context) -> Finding:
    """Ask STS, which needs no permission."""
    caller = context.caller
    return Finding("pass", f"{caller['Arn']} in account {caller['Account']}")
