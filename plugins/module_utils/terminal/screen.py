# Copyright: spot-train contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A terminal with a live line at the bottom, above which finished lines scroll.

All output of Ansible, also that of workers and other plugins, goes through its `Display` object, in two threads of the
main process. `Screen` wraps the object's method `display` to keep it from the live line. The cursor is never hidden and
no terminal mode is changed, so a killed process leaves at worst one partial line.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import re
import sys
import textwrap
import threading
import unicodedata
from collections.abc import Callable, Mapping
from typing import Any

#: Width of a terminal of unknown size, such as a pseudo-terminal without one.
COLUMNS = 80
#: Lines are laid out for at least this width.
LEAST_COLUMNS = 20
TICK_SECONDS = 1.0
#: A short label and a gap: wrapped lines are aligned with the text after it.
LABEL = re.compile(r" *[\w-]+(?: [\w-]+)? {2,}(?=\S)")
CLEAR = "\r\x1b[K"


def shows_lines(environment: Mapping[str, str], terminal: bool, verbosity: int, interactive: bool) -> bool:
    """Return whether to show one line per step; ``interactive`` is whether Ansible asks questions between tasks."""
    return terminal and verbosity < 2 and not interactive and not environment.get("ANSIBLE_DEBUG")


def supports_live_line(environment: Mapping[str, str], colour: bool) -> bool:
    """Return whether a line may change in place: escape sequences are supported, and Ansible may use ``colour``."""
    return colour and not environment.get("NO_COLOR") and environment.get("TERM", "dumb") not in ("dumb", "unknown", "")


def width_of(text: str) -> int:
    """Return the number of terminal columns of a text."""
    return sum(
        0 if unicodedata.combining(letter) else 2 if unicodedata.east_asian_width(letter) in "WF" else 1
        for letter in text
    )


def cut(text: str, columns: int, more: str = "…") -> str:
    """Truncate a text to a number of columns, with an ellipsis."""
    if width_of(text) <= columns:
        return text
    kept, used = "", width_of(more)
    for letter in text:
        used += width_of(letter)
        if used > columns:
            break
        kept += letter
    return kept.rstrip() + more


def padded(text: str, columns: int) -> str:
    """Truncate or pad a text to a number of columns."""
    shown = cut(text, columns)
    return shown + " " * (columns - width_of(shown))


def wrapped(text: str, columns: int, indent: int) -> list[str]:
    """Wrap a text with an indent; its line breaks and their indents are kept.

    A word that is longer than the line stays whole, because it is a path or a URL that people copy.
    """
    lines: list[str] = []
    for line in text.expandtabs(4).splitlines() or [""]:
        if indent + width_of(line) <= columns:
            lines.append(" " * indent + line.rstrip() if line.strip() else "")
            continue
        label = LABEL.match(line)
        own = len(line) - len(line.lstrip())
        most = max(0, columns - LEAST_COLUMNS)
        lead = " " * min(indent + own, most)
        hang = " " * min(indent + (len(label[0]) if label else own), most)
        # textwrap counts characters: reserve a column for each double-width one.
        room = max(LEAST_COLUMNS, columns - min(width_of(line) - len(line), columns // 2))
        lines += textwrap.wrap(
            line.strip(),
            room,
            initial_indent=lead,
            subsequent_indent=hang,
            break_long_words=False,
            break_on_hyphens=False,
        ) or [""]
    return lines


class Screen:
    """The terminal: finished lines and, if ``live``, a live one; ``display`` is Ansible's `Display`."""

    def __init__(self, display: Any, live: bool) -> None:
        """Start without drawing."""
        self.live = live
        self._display = display
        # Ansible holds this lock while it forks workers, so no child inherits it locked by another thread.
        self._lock = getattr(display, "_lock", None) or threading.RLock()
        self._main = os.getpid()
        self._original: Callable[..., None] | None = None
        self._absorb: Callable[[str, str | None], bool] = lambda text, colour: False
        self._line: Callable[[], str] = str
        self._drawn = False
        self._ended = threading.Event()

    @property
    def columns(self) -> int:
        """The current width of the terminal."""
        with contextlib.suppress(OSError, ValueError):
            return max(LEAST_COLUMNS, os.get_terminal_size(sys.stdout.fileno()).columns or COLUMNS)
        return COLUMNS

    def open(self, line: Callable[[], str], absorb: Callable[[str, str | None], bool]) -> None:
        """Wrap `Display.display`, and start to draw the live line that ``line`` returns; an empty one is not drawn.

        ``absorb`` receives a text of other code and its colour; returns whether to suppress it.
        """
        if self._original is not None:
            return
        self._line, self._absorb = line, absorb
        self._original = self._display.display
        self._display.display = self._show
        self._ended = threading.Event()
        # No callback runs after Ctrl-C or an error in Ansible itself.
        atexit.register(self.close)
        if self.live:
            threading.Thread(target=self._tick, args=(self._ended,), daemon=True).start()

    def close(self) -> None:
        """Clear the live line, and restore `Display.display`."""
        atexit.unregister(self.close)
        self._ended.set()
        with self._lock:
            self._clear()
            if self._original is not None:
                # The wrapper is an attribute of the object and shadows the method of the class.
                del self._display.display
                self._original = None

    def say(self, *parts: tuple[str, str | None]) -> None:
        """Show one line above the live one: texts, each with Ansible's name of its colour or None."""
        from ansible.utils.color import stringc

        show = self._original or self._display.display
        with self._lock:
            self._clear()
            coloured = "".join(stringc(text, colour) if colour and text.strip() else text for text, colour in parts)
            show(coloured.rstrip(), screen_only=True)
            show("".join(text for text, _ in parts).rstrip(), log_only=True)
            self.draw()

    def draw(self) -> None:
        """Redraw the live line."""
        with self._lock:
            if not self.live or self._ended.is_set():
                return
            text = self._line()
            if text:
                # Leave the last column free, because some terminals begin a new line after it.
                # Set `_drawn` first, because Ctrl-C may come in between.
                self._drawn = True
                self._write(CLEAR + cut(text, self.columns - 1))
            else:
                self._clear()

    def _show(self, msg: str, color: str | None = None, *arguments: Any, **options: Any) -> None:
        """Replace `Display.display`."""
        original = self._original or type(self._display).display.__get__(self._display)
        if os.getpid() != self._main or options.get("log_only"):
            original(msg, color, *arguments, **options)
            return
        if self._absorb(msg, color):
            return
        with self._lock:
            self._clear()
            if msg.startswith("[") and "\x1b" not in msg and len(arguments) < 2 and not options.get("screen_only"):
                # A warning or an error of Ansible: wrapped on the screen, whole in the log.
                shown = "\n".join(wrapped(msg, self.columns, 0))
                original(shown, color, *arguments, **{**options, "screen_only": True})
                original(msg, color, *arguments, **{**options, "log_only": True})
            else:
                original(msg, color, *arguments, **options)
            if options.get("newline", True):  # otherwise it is a prompt
                self.draw()

    def _tick(self, ended: threading.Event) -> None:
        """Redraw the live line every second, because it shows the time."""
        while not ended.wait(TICK_SECONDS):
            self.draw()

    def _clear(self) -> None:
        if self._drawn:
            self._write(CLEAR)
            self._drawn = False

    def _write(self, text: str) -> None:
        with contextlib.suppress(OSError, ValueError):  # the terminal has gone
            sys.stdout.write(text)
            sys.stdout.flush()
