# Copyright: spot-train contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The index page: the runs of a folder with links to their reports, and charts of all runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from ..runs.files import write_atomically
from .index import OUTCOMES, Entry, read_runs
from .index_charts import DRAWN, cost_trend, ic_trend, time_trend, when
from .text import UNKNOWN, counted, cut, duration, ic, usd

INDEX = "index.html"
TEMPLATE = "index.html.j2"
#: Number of newest runs on the page.
LISTED = 500
#: Most characters of a run's note; the report has all of it.
LONGEST_NOTE = 400

WORDS = {
    "passed": "passed",
    "failed": "failed",
    "interrupted": "interrupted",
    "no_capacity": "no capacity",
    "running": "running",
    "unfinished": "unfinished",
    "damaged": "damaged",
    "foreign": "not a run",
}
#: CSS class of a state's tag on the page; other states look like warnings.
TONES = {"passed": "pass", "failed": "fail", "damaged": "fail", "running": "plain", "foreign": "plain"}


def write_index(folder: Path, templates: Path) -> bool:
    """Write the index page of a folder of runs; return whether it changed.

    ``templates`` has the page's template and the style sheet.

    Raises:
        OSError: The folder cannot be read, or the page cannot be written.
        jinja2.TemplateError: The template is invalid.
    """
    return write_atomically(folder / INDEX, render_index(read_runs(folder, newest=LISTED), templates))


def render_index(runs: Sequence[Entry], templates: Path) -> str:
    """Render the page of the runs, the newest first, self-contained and without scripts."""
    environment = Environment(
        loader=FileSystemLoader(templates), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    environment.filters.update(ic=ic)
    return environment.get_template(TEMPLATE).render(**index_context(runs))


def index_context(runs: Sequence[Entry]) -> dict[str, Any]:
    """Return the template's variables."""
    oldest_first = list(reversed(runs))
    trainings = [run for run in oldest_first if run.median_ic is not None]
    finished = [run for run in oldest_first if run.mode != "rollback" and run.state in OUTCOMES]
    thresholds = [run.threshold for run in trainings if run.threshold is not None]
    unit, time_chart = time_trend(finished)
    return {
        "headline": headline(runs),
        "rows": [row(run) for run in runs],
        "ic_chart": Markup(ic_trend(trainings)),
        "ic_note": _drawn(len(trainings), "training"),
        "threshold": thresholds[-1] if thresholds else None,
        "spread": any(run.ic_low is not None for run in trainings),
        "cost_chart": Markup(cost_trend(finished)),
        "time_chart": Markup(time_chart),
        "time_unit": unit,
        "runs_note": _drawn(len(finished), "run"),
        "states": sorted({run.state for run in finished if run.state not in ("passed", "no_capacity")}),
    }


def headline(runs: Sequence[Entry]) -> str:
    """Summarise the runs in one or two sentences."""
    real = [run for run in runs if run.state != "foreign" and run.mode != "rollback"]
    if not real:
        return "No runs yet."
    counts = {state: sum(run.state == state for run in real) for state in WORDS}
    listed = ", ".join(f"{count} {WORDS[state]}" for state, count in counts.items() if count)
    spent = sum(run.usd or 0.0 for run in real)
    live = next((run for run in real if run.promoted), None)
    last = f" Last promoted {when(live)}, median IC {ic(live.median_ic)}." if live else " Nothing was promoted."
    return f"{counted(len(real), 'run')}: {listed}; {usd(spent)} in total.{last}"


def row(run: Entry) -> dict[str, Any]:
    """Return the table cells of one run."""
    interval = f"{ic(run.ic_low)} to {ic(run.ic_high)}" if run.ic_low is not None and run.ic_high is not None else ""
    return {
        "when": when(run) if run.started_at else UNKNOWN,
        "run_id": run.run_id,
        "report": run.report,
        "mode": run.mode or UNKNOWN,
        "state": WORDS[run.state],
        "tone": TONES.get(run.state, ""),
        "ic": ic(run.median_ic),
        "interval": interval,
        "weights": weights(run),
        "usd": UNKNOWN if run.usd is None else usd(run.usd),
        "seconds": duration(run.seconds),
        "left": UNKNOWN if run.left_over is None else str(run.left_over),
        "leaks": bool(run.left_over),
        "note": "" if run.state == "passed" and run.mode != "rollback" else cut(run.note, LONGEST_NOTE),
    }


def weights(run: Entry) -> str:
    """Return the effect of a run on the live weights."""
    if run.dry_run:
        return "dry run"
    if run.promoted is None:
        return str(UNKNOWN)
    if run.mode == "rollback":
        return "restored" if run.promoted else "already live"
    return "promoted" if run.promoted else "not promoted"


def _drawn(count: int, what: str) -> str:
    """Say that a chart is limited to the newest runs; empty if it shows all."""
    return f"The newest {DRAWN} of {counted(count, what)}." if count > DRAWN else ""
