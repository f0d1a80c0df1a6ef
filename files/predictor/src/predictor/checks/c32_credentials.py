"""AWS credentials are available and outlast the training's time limit."""

from __future__ import annotations

from predictor import aws
from predictor.checks.base import Context, Finding

GROUP = "machine"
REMEDY = (
    "Use an instance profile whose role issues longer-lived keys (EC2's last 6 hours), or lower the training's time "
    "limit (training_full_seconds)."
)


def run(context: Context) -> Finding:
    """Compare the credentials' lifetime with the time limit."""
    source, left = aws.credentials()
    limit = context.training_seconds
    if left is None:
        return Finding("pass", f"from {source}, without expiry")
    detail = f"from {source}, {left / 60:.0f} min left"
    if limit is None:
        return Finding("pass", f"{detail}; the training has no time limit to compare with")
    if left < limit:
        return Finding("fail", f"{detail}, but the training may take {limit / 60:.0f} min")
    return Finding("pass", f"{detail}, the training may take {limit / 60:.0f} min")
