"""Parts of made-up runs."""

from __future__ import annotations

from typing import Any


def check(
    name: str,
    group: str,
    status: str,
    detail: str,
    remedy: str = "",
    seconds: float = 0.1,
    tier: str = "instance",
) -> dict[str, Any]:
    """Make the record of one check."""
    return {
        "name": name,
        "tier": tier,
        "group": group,
        "status": status,
        "detail": detail,
        "remedy": remedy,
        "seconds": seconds,
    }
