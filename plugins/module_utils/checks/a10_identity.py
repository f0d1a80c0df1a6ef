"""Who the controller is: that its keys are known to AWS at all."""

from __future__ import annotations

from .base import Finding
from .context import Context

REMEDY = (
    "give the controller keys that are valid: environment, profile or role (aws sts get-caller-identity says the same)"
)


def run(context: Context) -> Finding:
    """Ask STS, which answers everybody it knows."""
    caller = context.caller
    return Finding("pass", f"{caller['Arn']} in account {caller['Account']}")
