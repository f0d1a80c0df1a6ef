"""There are AWS credentials, and they last as long as the training may."""

from __future__ import annotations

from predictor import aws
from predictor.checks.base import Context, Finding

GROUP = "machine"
REMEDY = (
    "Give the instance a profile whose role hands out keys for longer (EC2 gives 6 hours), or lower the training's "
    "time limit (training_full_seconds)."
)


def run(context: Context) -> Finding:
    """Look at where the credentials come from and when they end."""
    source, left = aws.credentials()
    limit = context.training_seconds
    if left is None:
        return Finding("pass", f"from {source}, without an end")
    detail = f"from {source}, {left / 60:.0f} min left"
    if limit is None:
        return Finding("pass", f"{detail}; no limit of the training was given to hold that against")
    if left < limit:
        return Finding("fail", f"{detail}, but the training may take {limit / 60:.0f} min")
    return Finding("pass", f"{detail}, the training may take {limit / 60:.0f} min")
