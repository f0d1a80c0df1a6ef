"""Find the account checks, run all of them, and make a record of each."""

from __future__ import annotations

import importlib
import re
import time
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from ..aws.client import is_clock_refusal, one_line
from . import __name__ as PACKAGE
from .base import Finding, Unavailable
from .context import Context

FILE = re.compile(r"^a\d\d_([a-z0-9_]+)\.py$")
TIER, GROUP = "controller", "account"
AT_ONCE = 8
FOLDER = Path(__file__).parent


def find(folder: Path = FOLDER) -> dict[str, str]:
    """The module name by check name, in the order of the files."""
    matches = [FILE.match(path.name) for path in sorted(folder.iterdir())]
    return {match[1]: match[0].removesuffix(".py") for match in matches if match}


def run_all(
    context: Context, folder: Path = FOLDER, package: str = PACKAGE, only: Collection[str] = ()
) -> list[dict[str, Any]]:
    """Run every check in ``folder``, or ``only`` some, in a thread pool; return their records in the files' order.

    ``package`` is the name under which ``folder`` is imported.
    """
    checks = {name: module for name, module in find(folder).items() if not only or name in only}
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(lambda item: run_one(context, item[0], f"{package}.{item[1]}"), checks.items()))


def run_one(context: Context, name: str, module: str) -> dict[str, Any]:
    """Run one check and make its record; a crash is a failed check."""
    started = time.monotonic()
    remedy = ""
    try:
        check = importlib.import_module(module)
        remedy = check.REMEDY
        finding: Finding = check.run(context)
    except Unavailable as missing:
        if missing.owner == name:
            finding = Finding("fail", str(missing))
        else:
            finding = Finding("fail", f"cannot be checked: {missing}", f"resolve the check {missing.owner} first")
    except (BotoCoreError, ClientError) as error:
        first = "resolve the check controller_clock first" if is_clock_refusal(error) else None
        finding = Finding("fail", one_line(error), first)
    except Exception as error:
        # The edge: the other checks still run.
        finding = Finding("fail", f"the check crashed: {one_line(error)}", "this is a bug in the check: report it")
    remedy = finding.remedy if finding.remedy is not None else remedy
    return {
        "name": name,
        "tier": TIER,
        "group": GROUP,
        "status": finding.status,
        "detail": " ".join(finding.detail.split()),
        "remedy": "" if finding.status == "pass" else " ".join(remedy.split()),
        "seconds": round(time.monotonic() - started, 3),
    }
