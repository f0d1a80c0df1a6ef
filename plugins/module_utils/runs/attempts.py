# Copyright: spot-train contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The attempts of a run: one instance each, or none that could be had, and what ended it.

An attempt is ``{number, instance, cells, ended_by, interruption, resumed_folds}`` as in `docs/receipt.md`. They come
from the playbook, or from ``attempts.json`` in the run's folder where the playbook has not lived to tell.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..checks.records import one_line
from .events import format_time, parse_time
from ..report.text import count_of, counted, duration, number

FILE = "attempts.json"
INSTANCE_TEXTS = ("id", "type", "az", "subnet", "market", "requested_at", "online_at", "terminated_at")
PRICES = ("price_usd_hour", "on_demand_usd_hour")
ENDINGS = ("run", "failure", "reclaim", "vanished")
#: Endings that are no fault of the run's: the instance was taken from it.
LOST = ("reclaim", "vanished")
#: The instances of these modes keep nothing that a later one could go on from.
NEVER_RESUME = {"preflight": "preflights do not resume: run it again"}

Attempt = Mapping[str, Any]


def read_attempts(folder: Path) -> tuple[list[Any], list[str]]:
    """Read ``attempts.json``.

    Args:
        folder: the run's folder; the file may be missing.

    Returns:
        What the file holds, not yet in shape, and notes for a person when there is a file that cannot be used.
    """
    try:
        found = json.loads((folder / FILE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return [], []
    except OSError as error:
        return [], [f"{FILE} cannot be read: {error.strerror}"]
    except (ValueError, RecursionError) as error:
        return [], [f"{FILE} is not valid JSON ({error})"]
    if not isinstance(found, list):
        return [], [f"{FILE} holds a {type(found).__name__} where a list belongs; it was not used"]
    return found, []


def shape_attempts(given: Sequence[Any], instance: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    """Bring the attempts into the receipt's shape.

    Args:
        given: the attempts as they were recorded, in order; any field may be missing.
        instance: the instance as the playbook knows it at the end, with ``attempts``, its cells. It completes the
            attempt with the same id, and is the only attempt where none was recorded.

    Returns:
        The attempts; every field is there, unknown ones are None.
    """
    known = [entry for entry in given if isinstance(entry, Mapping)]
    if instance and not known:
        known = [{"number": 1, "instance": instance if instance.get("id") else {}, "cells": instance.get("attempts")}]
    return [_shaped(entry, place, instance or {}) for place, entry in enumerate(known, start=1)]


def launched(attempts: Sequence[Attempt]) -> list[Attempt]:
    """The attempts that got an instance."""
    return [attempt for attempt in attempts if attempt["instance"]]


def last_instance(attempts: Sequence[Attempt]) -> dict[str, Any] | None:
    """The last attempt's instance with its cells as ``attempts``; its id is None where it got none."""
    if not attempts:
        return None
    last = attempts[-1]
    empty = dict.fromkeys((*INSTANCE_TEXTS, *PRICES))
    return {**empty, **last["instance"], "attempts": list(last["cells"])}


def interrupted(attempts: Sequence[Attempt]) -> Attempt | None:
    """The last attempt that lost its instance, if none after it got another."""
    got = launched(attempts)
    return got[-1] if got and got[-1]["ended_by"] in LOST else None


def interruption_error(attempts: Sequence[Attempt], run: Mapping[str, Any]) -> str | None:
    """Say how a run was interrupted that did not go on, and why it did not.

    Args:
        attempts: the attempts of the receipt.
        run: ``mode``, and ``run_attempts``, how many attempts it may make.

    Returns:
        One sentence, or None where no attempt lost its instance.
    """
    lost = interrupted(attempts)
    if lost is None:
        return None
    allowed = count_of(run.get("run_attempts"))
    if attempts[-1] is not lost:
        why = (
            f"attempt {attempts[-1]['number']} had no capacity ({refusals(attempts[-1]['cells'])}): run it again later"
        )
    elif run.get("mode") in NEVER_RESUME:
        why = NEVER_RESUME[str(run["mode"])]
    elif allowed is not None and lost["number"] >= allowed:
        why = f"attempt {lost['number']} was the last of {allowed}: run it again"
    else:
        why = f"the run did not go on after attempt {lost['number']}"
    return f"{ending(lost)}; {why}"


def ending(attempt: Attempt) -> str:
    """Say what ended an attempt, in a clause."""
    instance, interruption = attempt["instance"], attempt["interruption"] or {}
    if not instance:
        return f"no instance could be had ({refusals(attempt['cells'])})"
    name = f"{instance['market'] or ''} instance {instance['id']}".strip()
    if attempt["ended_by"] == "reclaim":
        when = interruption.get("reclaim_at") or instance["terminated_at"]
        notice = interruption.get("noticed_at")
        warned = f" ({_notice(notice, when)})" if notice else " (the run saw no notice)"
        return f"EC2 took the {name} back{_at(when)}{warned}"
    if attempt["ended_by"] == "vanished":
        return f"the {name} was gone{_at(instance['terminated_at'])}, and EC2 does not say that it took it back"
    return {"run": "the run ended it", "failure": "the run failed on it"}.get(
        str(attempt["ended_by"]), "what ended it was not recorded"
    )


def story(attempts: Sequence[Attempt]) -> str:
    """Tell a run of several attempts, or of one that lost its instance, in one line; else nothing."""
    if len(attempts) < 2 and interrupted(attempts) is None:
        return ""
    return "; ".join(f"{attempt['number']}: {ending(attempt)}{resumption(attempt)}" for attempt in attempts)


def resumption(attempt: Attempt) -> str:
    """Say what an attempt took up of those before it, as an appendix to a clause; nothing where it is the first."""
    if attempt["number"] == 1 or not attempt["instance"]:
        return ""
    folds = attempt["resumed_folds"]
    return "" if folds is None else f", {counted(folds, 'fold')} taken up"


def refusals(cells: Sequence[Mapping[str, Any]]) -> str:
    """Count the refusals by code: ``InsufficientInstanceCapacity 4, PriceAboveCap 2``."""
    codes = [str(cell["error"]) for cell in cells if cell["error"]]
    return ", ".join(f"{code} {codes.count(code)}" for code in dict.fromkeys(codes)) or "no cell was tried"


def settle(attempts: Sequence[dict[str, Any]], outcome: str, training: Mapping[str, Any] | None) -> None:
    """Say of the last attempt what only the end of the run tells: what ended it, and which folds it took up.

    Args:
        attempts: the attempts of the receipt.
        outcome: the run's.
        training: the result of the full training, which is the last attempt's, or None.
    """
    if not attempts or not attempts[-1]["instance"]:
        return
    last = attempts[-1]
    if last["ended_by"] is None:
        last["ended_by"] = {"passed": "run", "failed": "failure"}.get(outcome)
    if last["resumed_folds"] is None:
        last["resumed_folds"] = count_of((training or {}).get("resumed_folds"))


def _shaped(entry: Mapping[str, Any], place: int, latest: Mapping[str, Any]) -> dict[str, Any]:
    """Bring one attempt into shape."""
    given = entry.get("instance")
    own: dict[str, Any] = dict(given) if isinstance(given, Mapping) and given.get("id") else {}
    if own and own["id"] == latest.get("id"):
        own.update({name: value for name, value in latest.items() if value is not None})
    own.pop("attempts", None)
    if own:
        own.update({name: one_line(own[name]) if own.get(name) else None for name in INSTANCE_TEXTS})
        own.update({name: number(own.get(name)) for name in PRICES})
    cells = entry.get("cells")
    cut = entry.get("interruption")
    return {
        "number": count_of(entry.get("number")) or place,
        "instance": own,
        "cells": [_cell(cell) for cell in cells if isinstance(cell, Mapping)] if isinstance(cells, list) else [],
        "ended_by": entry.get("ended_by") if entry.get("ended_by") in ENDINGS else None,
        "interruption": {
            name: one_line(cut[name]) if cut.get(name) else None
            for name in ("kind", "noticed_at", "reclaim_at", "confirmed_by")
        }
        if isinstance(cut, Mapping) and cut
        else None,
        "resumed_folds": count_of(entry.get("resumed_folds")),
    }


def _cell(cell: Mapping[str, Any]) -> dict[str, Any]:
    """Bring one cell of the launch matrix into shape."""
    texts = {
        name: one_line(cell[name]) if cell.get(name) else None for name in ("market", "type", "subnet", "az", "error")
    }
    return {**texts, "price_usd_hour": number(cell.get("price_usd_hour"))}


def _notice(noticed: Any, reclaimed: Any) -> str:
    """Say when the notice came, before what it announced."""
    begun, ended = parse_time(noticed), parse_time(reclaimed)
    if begun is None or ended is None or ended < begun:
        return f"notice{_at(noticed)}"
    return f"notice {duration((ended - begun).total_seconds())} before"


def _at(value: Any) -> str:
    """Say a time of the receipt, with a blank before it; nothing where it is none."""
    moment = parse_time(value)
    return f" at {format_time(moment)[:19].replace('T', ' ')} UTC" if moment else ""
