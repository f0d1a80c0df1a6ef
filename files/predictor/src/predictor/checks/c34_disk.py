"""There is as much room on the disk as the last training used, and some to spare."""

from __future__ import annotations

from predictor import resources
from predictor.checks.base import Context, Finding

GROUP = "machine"
REMEDY = "Give the instance a larger volume (spot_instance_volume_gb), or make room."


def run(context: Context) -> Finding:
    """Compare the room on the working folder's disk with what the training needs."""
    settings = context.config.resources
    need = resources.need(context.last_summary, "disk_mb", settings.min_disk_mb, settings.headroom)
    available = resources.free_disk_mb(context.work_dir)
    detail = f"{available:,.0f} MiB free under {context.work_dir}, {need.megabytes:,.0f} MiB needed ({need.why})"
    return Finding("fail" if available < need.megabytes else "pass", detail)
