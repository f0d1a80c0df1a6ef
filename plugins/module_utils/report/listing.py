# Copyright: spot-train contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The runs of a folder as a table for a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from . import index_page
from .index import Entry
from .text import cut

COLUMNS = ("started (UTC)", "mode", "outcome", "IC", "weights", "cost", "took", "left", "run")
#: The cells of the index page in these columns, without the last one.
CELLS = ("when", "mode", "state", "ic", "weights", "usd", "seconds", "left")
RIGHT = {"IC", "cost", "took", "left"}
COLOURS = {"passed": "32", "failed": "31", "damaged": "31", "foreign": "90"}
OTHER_COLOUR = "33"
#: Most characters of a run's note, which may be long; the report has all of it.
LONGEST_NOTE = 160


def listing(runs: Sequence[Entry], width: int | None, colour: bool) -> list[str]:
    """Lay the runs, the newest first, out in columns: a header and one line per run; nothing without runs.

    Lines are cut to the ``width`` of the terminal (None: no limit); ``colour`` colours the outcome.
    """
    if not runs:
        return []
    cells = [COLUMNS, *(row(run) for run in runs)]
    widths = [max(len(line[place]) for line in cells) for place in range(len(COLUMNS) - 1)]
    lines = []
    for number, line in enumerate(cells):
        fitted = [
            f"{cell:>{room}}" if name in RIGHT else f"{cell:<{room}}"
            for cell, room, name in zip(line, widths, COLUMNS, strict=False)
        ]
        text = "  ".join([*fitted, line[-1]]).rstrip()
        text = text if width is None else cut(text, width)
        if colour and number:
            code = COLOURS.get(runs[number - 1].state, OTHER_COLOUR)
            text = text.replace(line[2], f"\x1b[{code}m{line[2]}\x1b[0m", 1)
        lines.append(text)
    return lines


def row(run: Entry) -> tuple[str, ...]:
    """Return the cells of one run; its note follows its name."""
    note = run.note if run.state not in ("passed", "running") or run.mode == "rollback" else ""
    cells = index_page.row(run)
    return (*(cells[name] for name in CELLS), f"{run.run_id}  {cut(note, LONGEST_NOTE)}".rstrip())
