"""The preflight: run every check, let none hide another, report them all."""

from __future__ import annotations

import importlib
import pkgutil
import re
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from types import ModuleType
from typing import Any

from predictor import checks
from predictor.checks.base import Context, Finding
from predictor.errors import PredictorError, one_line

PASS, WARN, FAIL = "pass", "warn", "fail"


@dataclass(frozen=True)
class Check:
    """A check and what came of it; `seconds` is wall-clock time."""

    name: str
    status: str
    detail: str
    seconds: float


def run(context: Context) -> dict[str, Any]:
    """Run every check in `predictor.checks`.

    Args:
        context: What the checks are about.

    Returns:
        The report as plain JSON types: `checks`, `symbols`, `stale`, `unreadable`, `newest`, `oldest`, `ages`,
        `seconds`. What could not be found out is 0, empty or None.
    """
    started = time.monotonic()
    results = [_run_one(name, context) for name in _names()]
    return {
        "checks": [asdict(result) for result in results],
        **context.freshness_report(),
        "seconds": round(time.monotonic() - started, 3),
    }


def failed(report: dict[str, Any]) -> list[dict[str, Any]]:
    """The checks of a report that failed."""
    return [check for check in report["checks"] if check["status"] == FAIL]


def _names() -> list[str]:
    """The checks, found by being there: `c<two digits>_<name>.py`, run in the order of the digits."""
    return sorted(module.name for module in pkgutil.iter_modules(checks.__path__) if re.match(r"c\d\d_", module.name))


def _run_one(module_name: str, context: Context) -> Check:
    name = module_name.partition("_")[2]
    started = time.monotonic()
    try:
        finding = _load(module_name).run(context)
    except PredictorError as error:
        finding = Finding(FAIL, one_line(error))
    except Exception as error:  # a check that crashes is a failed check, and the next one still runs
        finding = Finding(FAIL, f"the check itself failed: {one_line(error)}")
    return Check(name, finding.status, finding.detail, round(time.monotonic() - started, 3))


def _load(module_name: str) -> ModuleType:
    return importlib.import_module(f"{checks.__name__}.{module_name}")


def table(report: dict[str, Any]) -> Iterator[str]:
    """The report for a terminal, one line a check."""
    width = max(len(check["name"]) for check in report["checks"])
    for check in report["checks"]:
        yield f"{check['status'].upper():4}  {check['name']:{width}}  {check['seconds']:6.2f} s  {check['detail']}"
