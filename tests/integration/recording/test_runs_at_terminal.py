"""`make runs` at a terminal."""

from __future__ import annotations

import os
from pathlib import Path

from ansible_collections.spot_train.core.plugins.module_utils.report.text import UNKNOWN

from tests.support.account import ROOT
from tests.support.terminal import at_terminal
from tests.unit.terminal.conftest import make_run


def test_listing_fits_the_terminal_and_has_colours(tmp_path: Path) -> None:
    folder = tmp_path / "runs"
    make_run(folder, 1)
    make_run(folder, 3, outcome="failed", error="deps failed:\nno <wheel> for arcticdb", training=None)
    (make_run(folder, 6) / "receipt.json").write_text("[]")
    python = str(ROOT / ".venv" / "bin" / "python")
    call = [python, str(ROOT / "tools" / "runs.py"), "--runs-dir", str(folder)]
    kept = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "COLUMNS")}
    shown = at_terminal(call, folder, {**kept, "TERM": "xterm"}, columns=100)
    table = [line for line in shown.lines if line.startswith(("2026", UNKNOWN))]
    assert max(map(len, table)) <= 100
    assert "\x1b[31mfailed\x1b[0m" in shown.raw
    plain = at_terminal(call, folder, {**kept, "TERM": "xterm", "NO_COLOR": "1"}, columns=100)
    assert "\x1b" not in plain.raw
    assert shown.text == plain.text
