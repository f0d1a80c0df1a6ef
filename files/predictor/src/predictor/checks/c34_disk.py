"""The free disk space exceeds the last training's usage, with headroom."""

from __future__ import annotations

from predictor import resources
from predictor.checks.base import Context, Finding

GROUP = "machine"
REMEDY = "Use a larger volume (spot_instance_volume_gb), or free some space."


def run(context: Context) -> Finding:
    """Compare the free space on the working folder's disk with the training's need."""
    settings = context.config.resources
    need = resources.need(context.last_summary, "disk_mb", settings.min_disk_mb, settings.headroom)
    available = resources.free_disk_mb(context.work_dir)
    detail = f"{available:,.0f} MiB free under {context.work_dir}, {need.megabytes:,.0f} MiB needed ({need.why})"
    return Finding("fail" if available < need.megabytes else "pass", detail)
