# Copyright: spot-train contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The attempts of a run: the instance of each, if it got one, and what ended it.

An attempt is ``{number, instance, cells, ended_by, interruption, resumed_folds}`` as in `docs/receipt.md`. Attempts
come from the playbook or, if the playbook was killed, from ``attempts.json`` in the run's folder.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..checks.records import one_line
from ..report.text import count_of, counted, duration, number
from .events import format_time, parse_time

FILE = "attempts.json"
INSTANCE_TEXTS = ("id", "type", "az", "subnet", "market", "requested_at", "online_at", "terminated_at")
PRICES = ("price_usd_hour", "on_demand_usd_hour")
CELL_TEXTS = ("market", "type", "subnet", "az", "error")
INTERRUPTION_TEXTS = ("kind", "noticed_at", "reclaim_at", "confirmed_by")
ENDINGS = ("run", "failure", "reclaim", "vanished")
#: Endings by which the run lost its instance through no fault of its own.
LOST = ("reclaim", "vanished")
#: Modes without checkpoints, which a later attempt cannot resume.
NEVER_RESUME = {"preflight": "preflights do not resume: run it again"}

Attempt = Mapping[str, Any]


def read_attempts(folder: Path) -> tuple[list[Any], list[str]]:
    """Read ``attempts.json`` in the run's folder: its raw content, and notes if it cannot be used."""
    try:
        found = json.loads((folder / FILE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return [], []
    except OSError as error:
        return [], [f"{FILE} cannot be read: {error.strerror}"]
    except (ValueError, RecursionError) as error:
        return [], [f"{FILE} is not valid JSON ({error})"]
    if not isinstance(found, list):
        return [], [f"{FILE}: expected a list, got {type(found).__name__}; ignored"]
    return found, []


def shape_attempts(given: Sequence[Any], instance: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    """Normalise the recorded attempts to the receipt's shape; fields that are missing or unknown are None.

    ``instance`` is the instance as the playbook knows it at the end, with its cells as ``attempts``. It completes the
    attempt with the same id; if no attempt was recorded, it is the only one.
    """
    known = [entry for entry in given if isinstance(entry, Mapping)]
    if instance and not known:
        known = [{"number": 1, "instance": instance if instance.get("id") else {}, "cells": instance.get("attempts")}]
    return [_shaped(entry, place, instance or {}) for place, entry in enumerate(known, start=1)]


def launched(attempts: Sequence[Attempt]) -> list[Attempt]:
    """Return the attempts that got an instance."""
    return [attempt for attempt in attempts if attempt["instance"]]


def last_instance(attempts: Sequence[Attempt]) -> dict[str, Any] | None:
    """Return the last attempt's instance with its cells as ``attempts``; its id is None if the attempt got none."""
    if not attempts:
        return None
    empty = dict.fromkeys((*INSTANCE_TEXTS, *PRICES))
    return {**empty, **attempts[-1]["instance"], "attempts": list(attempts[-1]["cells"])}


def interrupted(attempts: Sequence[Attempt]) -> Attempt | None:
    """Return the last attempt with an instance if it lost that instance."""
    got = launched(attempts)
    return got[-1] if got and got[-1]["ended_by"] in LOST else None


def interruption_error(attempts: Sequence[Attempt], run: Mapping[str, Any]) -> str | None:
    """Describe how a run was interrupted, and why it did not continue; None if the last instance was not lost.

    ``run`` has its ``mode``, and ``run_attempts``, the maximum number of attempts.
    """
    lost = interrupted(attempts)
    if lost is None:
        return None
    allowed = count_of(run.get("run_attempts"))
    if attempts[-1] is not lost:
        why = f"attempt {attempts[-1]['number']} found no capacity ({refusals(attempts[-1]['cells'])}): try again later"
    elif run.get("mode") in NEVER_RESUME:
        why = NEVER_RESUME[str(run["mode"])]
    elif allowed is not None and lost["number"] >= allowed:
        why = f"attempt {lost['number']} was the last of {allowed}: run it again"
    else:
        why = f"the run did not continue after attempt {lost['number']}"
    return f"{ending(lost)}; {why}"


def ending(attempt: Attempt) -> str:
    """Describe in a clause what ended an attempt."""
    instance, interruption = attempt["instance"], attempt["interruption"] or {}
    if not instance:
        return f"no instance was available ({refusals(attempt['cells'])})"
    name = f"{instance['market'] or ''} instance {instance['id']}".strip()
    if attempt["ended_by"] == "reclaim":
        when = interruption.get("reclaim_at") or instance["terminated_at"]
        notice = interruption.get("noticed_at")
        warned = f" ({_notice(notice, when)})" if notice else " (the run saw no notice)"
        return f"EC2 reclaimed the {name}{_at(when)}{warned}"
    if attempt["ended_by"] == "vanished":
        return f"the {name} was gone{_at(instance['terminated_at'])}, but EC2 reports no interruption"
    return {"run": "the run terminated it", "failure": "the run failed on it"}.get(
        str(attempt["ended_by"]), "the cause of its end was not recorded"
    )


def describe(attempts: Sequence[Attempt]) -> str:
    """Describe in one line several attempts, or one that lost its instance; empty for any other run."""
    if len(attempts) < 2 and interrupted(attempts) is None:
        return ""
    return "; ".join(f"{attempt['number']}: {ending(attempt)}{resumption(attempt)}" for attempt in attempts)


def resumption(attempt: Attempt) -> str:
    """Return a suffix with the number of folds that an attempt resumed; empty for the first attempt."""
    if attempt["number"] == 1 or not attempt["instance"]:
        return ""
    folds = attempt["resumed_folds"]
    return "" if folds is None else f", {counted(folds, 'fold')} resumed"


def refusals(cells: Sequence[Mapping[str, Any]]) -> str:
    """Count the refusals by code: ``InsufficientInstanceCapacity 4, PriceAboveCap 2``."""
    codes = [str(cell["error"]) for cell in cells if cell["error"]]
    return ", ".join(f"{code} {codes.count(code)}" for code in dict.fromkeys(codes)) or "no offer was tried"


def complete_last(attempts: Sequence[dict[str, Any]], outcome: str, training: Mapping[str, Any] | None) -> None:
    """Complete the last attempt with what is known only at the end of the run: ``ended_by`` and ``resumed_folds``.

    ``training`` is the result of the full training, by the last attempt.
    """
    if not attempts or not attempts[-1]["instance"]:
        return
    last = attempts[-1]
    if last["ended_by"] is None:
        last["ended_by"] = {"passed": "run", "failed": "failure"}.get(outcome)
    if last["resumed_folds"] is None:
        last["resumed_folds"] = count_of((training or {}).get("resumed_folds"))


def _shaped(entry: Mapping[str, Any], place: int, latest: Mapping[str, Any]) -> dict[str, Any]:
    given = entry.get("instance")
    own: dict[str, Any] = dict(given) if isinstance(given, Mapping) and given.get("id") else {}
    if own and own["id"] == latest.get("id"):
        own.update({name: value for name, value in latest.items() if value is not None})
    own.pop("attempts", None)
    if own:
        own.update(_lines(own, INSTANCE_TEXTS))
        own.update({name: number(own.get(name)) for name in PRICES})
    cells = entry.get("cells")
    cut = entry.get("interruption")
    known = _lines(cut, INTERRUPTION_TEXTS) if isinstance(cut, Mapping) and cut else None
    return {
        "number": count_of(entry.get("number")) or place,
        "instance": own,
        "cells": [_cell(cell) for cell in cells if isinstance(cell, Mapping)] if isinstance(cells, list) else [],
        "ended_by": entry.get("ended_by") if entry.get("ended_by") in ENDINGS else None,
        "interruption": known,
        "resumed_folds": count_of(entry.get("resumed_folds")),
    }


def _cell(cell: Mapping[str, Any]) -> dict[str, Any]:
    """Normalise one offer of the launch matrix."""
    return {**_lines(cell, CELL_TEXTS), "price_usd_hour": number(cell.get("price_usd_hour"))}


def _lines(fields: Mapping[str, Any], names: Sequence[str]) -> dict[str, str | None]:
    """Return some fields as texts of one line; missing and empty ones are None."""
    return {name: one_line(fields[name]) if fields.get(name) else None for name in names}


def _notice(noticed: Any, reclaimed: Any) -> str:
    """Say how long before the reclaim the notice came, or when."""
    begun, ended = parse_time(noticed), parse_time(reclaimed)
    if begun is None or ended is None or ended < begun:
        return f"notice{_at(noticed)}"
    return f"notice {duration((ended - begun).total_seconds())} before"


def _at(value: Any) -> str:
    """Format a time of the receipt as `` at … UTC``; empty for anything else."""
    moment = parse_time(value)
    return f" at {format_time(moment)[:19].replace('T', ' ')} UTC" if moment else ""
