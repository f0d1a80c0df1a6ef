"""The preflight: run every check, whether or not others fail, and report them all."""

from __future__ import annotations

import importlib
import pkgutil
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from predictor import checks
from predictor.checks.base import Context, Finding
from predictor.errors import PredictorError, one_line

PASS, WARN, FAIL = "pass", "warn", "fail"
GROUPS = ("software", "machine", "training", "data")
"""Groups of checks, in display order."""

_FIX_THE_CHECK = "Fix the check's file; `python -c 'import {}'` shows the traceback."


@dataclass(frozen=True)
class Check:
    """A check's result; `seconds` is wall-clock time, `remedy` is empty if it passed."""

    name: str
    group: str
    status: str
    detail: str
    remedy: str
    seconds: float
    items: tuple[str, ...] = ()

    def as_record(self) -> dict[str, Any]:
        """The check as plain JSON types."""
        record: dict[str, Any] = {
            "name": self.name,
            "tier": "instance",
            "group": self.group,
            "status": self.status,
            "detail": self.detail,
            "remedy": self.remedy,
            "seconds": self.seconds,
        }
        return {**record, "items": list(self.items)} if self.items else record


def run(context: Context) -> dict[str, Any]:
    """Run every check in `predictor.checks`.

    Returns:
        The report as plain JSON types: `checks` (`Check.as_record`), the fields of `Context.freshness_report`, and
        `seconds`.
    """
    started = time.monotonic()
    results = [_run_one(name, context) for name in names()]
    return {
        "checks": [result.as_record() for result in results],
        **context.freshness_report(),
        "seconds": round(time.monotonic() - started, 3),
    }


def failed(report: dict[str, Any]) -> list[dict[str, Any]]:
    """The checks of a report that failed."""
    return [check for check in report["checks"] if check["status"] == FAIL]


def names() -> list[str]:
    """Modules of the checks, `c<two digits>_<name>.py`, in the order in which they run."""
    return sorted(module.name for module in pkgutil.iter_modules(checks.__path__) if re.match(r"c\d\d_", module.name))


def _run_one(module_name: str, context: Context) -> Check:
    started = time.monotonic()
    path = f"{checks.__name__}.{module_name}"
    group, remedy = GROUPS[0], _FIX_THE_CHECK.format(path)
    try:
        module = importlib.import_module(path)
        group, remedy, function = str(module.GROUP), str(module.REMEDY), module.run
    except Exception as error:  # a file that fails on import must not stop the next check
        finding = Finding(FAIL, f"cannot load the check: {one_line(error)}")
    else:
        finding = _find(function, context, remedy)
    return Check(
        module_name.partition("_")[2],
        group,
        finding.status,
        finding.detail,
        "" if finding.status == PASS else finding.remedy or remedy,
        round(time.monotonic() - started, 3),
        tuple(finding.items),
    )


def _find(function: Any, context: Context, remedy: str) -> Finding:
    try:
        finding: Finding = function(context)
    except PredictorError as error:
        return Finding(FAIL, one_line(error))
    except Exception as error:  # a check that crashes must not stop the next one
        return Finding(FAIL, f"the check crashed: {one_line(error)}", remedy=f"{remedy} Or fix the check.")
    return finding


def table(report: dict[str, Any]) -> Iterator[str]:
    """The report for a terminal: failures first, one line per check, with its remedy below."""
    width = max(len(check["name"]) for check in report["checks"])
    for status in (FAIL, WARN, PASS):
        for check in report["checks"]:
            if check["status"] == status:
                yield f"{status.upper():4}  {check['name']:{width}}  {check['seconds']:6.2f} s  {check['detail']}"
                if check["remedy"]:
                    yield f"      do: {check['remedy']}"
