"""The training's configuration is there and says what to train."""

from __future__ import annotations

from predictor.checks.base import Context, Finding

GROUP = "training"
REMEDY = (
    "Correct the file that training_source.config names; every key is explained in files/predictor/config/default.yaml."
)


def run(context: Context) -> Finding:
    """Load the configuration as training does."""
    return Finding("pass", f"models {', '.join(context.config.models)}")
