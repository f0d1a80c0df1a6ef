# Copyright: spot-train contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The part of a receipt that is published to workflows: the inputs of a later job, as a small extra variable."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .summary import run_seconds


def published(receipt: Mapping[str, Any], receipt_path: str, report_path: str) -> dict[str, Any]:
    """Select the fields that docs/receipt.md lists under "What is published"; unknown ones are None."""
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
