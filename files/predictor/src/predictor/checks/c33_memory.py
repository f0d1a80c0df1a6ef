"""The available memory exceeds the last training's usage, with headroom."""

from __future__ import annotations

from predictor import resources
from predictor.checks.base import Context, Finding

GROUP = "machine"
REMEDY = "Use a larger instance type (spot_instance_types), or stop other processes on the machine."


def run(context: Context) -> Finding:
    """Compare the available memory with the training's need."""
    settings = context.config.resources
    need = resources.need(context.last_summary, "peak_memory_mb", settings.min_memory_mb, settings.headroom)
    available = resources.available_memory_mb()
    detail = f"{available:,.0f} MiB available, {need.megabytes:,.0f} MiB needed ({need.why})"
    return Finding("fail" if available < need.megabytes else "pass", detail)
