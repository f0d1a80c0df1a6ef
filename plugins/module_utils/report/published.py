# Copyright: spot-train contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What of a receipt is published to workflows: what a next job decides by, small enough to be an extra variable."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .summary import run_seconds


def published(receipt: Mapping[str, Any], receipt_path: str, report_path: str) -> dict[str, Any]:
    """Choose the parts of a receipt that are published.

    Args:
        receipt: the receipt.
        receipt_path: where it is on the controller.
        report_path: where the page is.

    Returns:
        The fields that docs/receipt.md lists under "What is published". What is unknown or was not done is None.
    """
    training, preflight = receipt["training"] or {}, receipt["preflight"] or {}
    return {
        **{name: receipt[name] for name in ("run_id", "mode", "outcome", "error", "failed_step", "failed_task")},
        **{name: receipt[name] for name in ("started_at", "finished_at")},
        "seconds": run_seconds(receipt),
        "attempts": len(receipt["attempts"]),
        "instance_type": (receipt["instance"] or {}).get("type"),
        "market": (receipt["instance"] or {}).get("market"),
        "stale": list(preflight.get("stale") or []),
        **{name: training.get(name) for name in ("folds", "median_ic", "promoted")},
        "usd": (receipt["cost"] or {}).get("usd"),
        "leaks": dict(receipt["leaks"]),
        "receipt_path": receipt_path,
        "report_path": report_path,
    }
