"""The training's configuration exists and is valid."""

from __future__ import annotations

from predictor.checks.base import Context, Finding

GROUP = "training"
REMEDY = "Correct the file that training_source.config names; files/predictor/config/default.yaml explains every key."


def run(context: Context) -> Finding:
    """Load the configuration as training does."""
    return Finding("pass", f"models {', '.join(context.config.models)}")
