"""Widths, wrapping and messages of the terminal output."""

from __future__ import annotations

import pytest
from ansible_collections.spot_train.core.plugins.module_utils.terminal.failures import AS_ABOVE, Seen, failure_lines
from ansible_collections.spot_train.core.plugins.module_utils.terminal.screen import (
    cut,
    shows_lines,
    supports_live_line,
    width_of,
    wrapped,
)

BROKEN = "the disk of the machine is full and nothing more can be written to it"


@pytest.mark.parametrize(
    ("terminal", "verbosity", "asks", "wanted"),
    [(True, 0, False, True), (True, 1, False, True), (True, 2, False, False), (True, 0, True, False),
     (False, 0, False, False)],
)  # fmt: skip
def test_lines_need_a_terminal_and_low_verbosity(terminal: bool, verbosity: int, asks: bool, wanted: bool) -> None:
    assert shows_lines({}, terminal, verbosity, asks) is wanted


def test_dumb_terminal_has_no_live_line() -> None:
    assert supports_live_line({"TERM": "xterm"}, True)
    assert not supports_live_line({"TERM": "dumb"}, True)
    assert not supports_live_line({"TERM": "xterm", "NO_COLOR": "1"}, True)
    assert not supports_live_line({"TERM": "xterm"}, False)


def test_wide_characters_take_two_columns() -> None:
    assert width_of("価格") == 4
    assert cut("価格価格価格", 6) == "価格…"
    assert all(width_of(line) <= 40 for line in wrapped("価 " * 60, 40, 4))


def test_wrapping_keeps_columns_and_paths() -> None:
    first, second = wrapped("steps      " + "word " * 12, 50, 4)
    assert first.startswith("    steps      word")
    assert second.startswith("               word")
    path = "/a/very/long/path/that/must/stay/whole/report.html"
    assert any(path in line for line in wrapped(f"report     {path}", 30, 4))


def test_truncated_message_is_recognised() -> None:
    seen = Seen()
    assert seen.new([BROKEN]) == [BROKEN]
    assert seen.shortened(f"error      deps failed: {BROKEN[:50]}…") == f"error      deps failed: {AS_ABOVE}"
    assert seen.shortened("error      another one") == "error      another one"


def test_hidden_results_stay_hidden() -> None:
    (line,) = failure_lines({"censored": "the output has been hidden", "stdout": "secret"})
    assert line == "the result is hidden (no_log)"
