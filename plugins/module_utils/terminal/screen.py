# Copyright: spot-train contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A terminal with one line at its lower end that changes in place, above which finished lines scroll away.

All that Ansible shows goes through one object, its `Display`: also what workers, warnings and other plugins say, in two
threads of the main process. So that none of it runs into the live line, `Screen` puts itself in front of that object's
method `display`. The cursor is never hidden and no mode of the terminal is changed, so there is nothing to restore: a
process that is killed leaves at worst one line half drawn.
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

#: Width where the terminal does not say, as of a pseudo-terminal that nobody has given a size.
COLUMNS = 80
#: Narrower than this, lines are made for this width all the same.
LEAST_COLUMNS = 20
TICK_SECONDS = 1.0
#: A short word and a gap: what follows is aligned with it, over all lines.
LABEL = re.compile(r" *[\w-]+(?: [\w-]+)? {2,}(?=\S)")
CLEAR = "\r\x1b[K"


def compact_wanted(environment: Mapping[str, str], terminal: bool, verbosity: int, interactive: bool) -> bool:
    """Say whether lines are to be condensed.

    Args:
        environment: The environment's variables.
        terminal: Whether the output is one.
        verbosity: How many `v` were asked for.
        interactive: Whether Ansible is going to ask questions between tasks.
    """
    return terminal and verbosity < 2 and not interactive and not environment.get("ANSIBLE_DEBUG")


def live_wanted(environment: Mapping[str, str], colour: bool) -> bool:
    """Say whether a line may change in place, which takes a terminal that understands escape sequences.

    Args:
        environment: The environment's variables.
        colour: Whether Ansible may use colours.
    """
    return colour and not environment.get("NO_COLOR") and environment.get("TERM", "dumb") not in ("dumb", "unknown", "")


def width_of(text: str) -> int:
    """Count the columns that a text takes in a terminal."""
    return sum(
        0 if unicodedata.combining(letter) else 2 if unicodedata.east_asian_width(letter) in "WF" else 1
        for letter in text
    )


def cut(text: str, columns: int, more: str = "…") -> str:
    """Cut a text to so many columns, and show that it was."""
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
    """Cut or fill a text to exactly so many columns."""
    shown = cut(text, columns)
    return shown + " " * (columns - width_of(shown))


def wrapped(text: str, columns: int, indent: int) -> list[str]:
    """Wrap a text below an indent; its own line breaks and their indents stay.

    A word that is longer than the line is left whole, for the terminal to break: it is a path or an address, which is
    there to be copied.
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
        # Every double-width letter takes the room of two.
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
    """The terminal: finished lines, and a live one."""

    def __init__(self, display: Any, live: bool) -> None:
        """Show nothing yet.

        Args:
            display: Ansible's `Display`.
            live: Whether there is to be a live line.
        """
        self.live = live
        self._display = display
        # Ansible forks workers while it holds this lock, so that no child is born with it taken by another thread.
        self._lock = getattr(display, "_lock", None) or threading.RLock()
        self._main = os.getpid()
        self._original: Callable[..., None] | None = None
        self._absorb: Callable[[str, str | None], bool] = lambda text, colour: False
        self._line: Callable[[], str] = str
        self._drawn = False
        self._ended = threading.Event()

    @property
    def columns(self) -> int:
        """How wide the terminal is now."""
        with contextlib.suppress(OSError, ValueError):
            return max(LEAST_COLUMNS, os.get_terminal_size(sys.stdout.fileno()).columns or COLUMNS)
        return COLUMNS

    def open(self, line: Callable[[], str], absorb: Callable[[str, str | None], bool]) -> None:
        """Begin to watch over what is shown.

        Args:
            line: Makes the live line; an empty one is not drawn.
            absorb: Takes a text that somebody else shows, and its colour; returns whether it need not be shown.
        """
        if self._original is not None:
            return
        self._line, self._absorb = line, absorb
        self._original = self._display.display
        self._display.display = self._show
        self._ended = threading.Event()
        # For the end that no callback hears of: Ctrl-C, or an error of Ansible's own.
        atexit.register(self.close)
        if self.live:
            threading.Thread(target=self._tick, args=(self._ended,), daemon=True).start()

    def close(self) -> None:
        """Clear the live line, and let everything be shown as if this had never been."""
        atexit.unregister(self.close)
        self._ended.set()
        with self._lock:
            self._clear()
            if self._original is not None:
                # It was put on the object itself; what is below is the class's own.
                del self._display.display
                self._original = None

    def say(self, *parts: tuple[str, str | None]) -> None:
        """Show one line of coloured parts, above the live one.

        Args:
            parts: Texts and Ansible's names of their colours, or None.
        """
        from ansible.utils.color import stringc

        show = self._original or self._display.display
        with self._lock:
            self._clear()
            coloured = "".join(stringc(text, colour) if colour and text.strip() else text for text, colour in parts)
            show(coloured.rstrip(), screen_only=True)
            show("".join(text for text, _ in parts).rstrip(), log_only=True)
            self._draw()

    def draw(self) -> None:
        """Draw the live line anew."""
        with self._lock:
            self._draw()

    def _show(self, msg: str, color: str | None = None, *arguments: Any, **options: Any) -> None:
        """Stand in front of `Display.display`."""
        original = self._original or type(self._display).display.__get__(self._display)
        if os.getpid() != self._main or options.get("log_only"):
            original(msg, color, *arguments, **options)
            return
        if self._absorb(msg, color):
            return
        with self._lock:
            self._clear()
            if msg.startswith("[") and "\x1b" not in msg and len(arguments) < 2 and not options.get("screen_only"):
                # A warning or an error of Ansible's: wrapped where a person reads it, whole in the log.
                shown = "\n".join(wrapped(msg, self.columns, 0))
                original(shown, color, *arguments, **{**options, "screen_only": True})
                original(msg, color, *arguments, **{**options, "log_only": True})
            else:
                original(msg, color, *arguments, **options)
            if options.get("newline", True):  # else it is a question, whose answer follows on its line
                self._draw()

    def _tick(self, ended: threading.Event) -> None:
        """Let the time in the live line go on."""
        while not ended.wait(TICK_SECONDS):
            self.draw()

    def _clear(self) -> None:
        if self._drawn:
            self._write(CLEAR)
            self._drawn = False

    def _draw(self) -> None:
        if not self.live or self._ended.is_set():
            return
        text = self._line()
        if text:
            # One column less than there is: in the last one, some terminals begin a new line.
            # Noted before it is true: Ctrl-C may come in between.
            self._drawn = True
            self._write(CLEAR + cut(text, self.columns - 1))
        else:
            self._clear()

    def _write(self, text: str) -> None:
        with contextlib.suppress(OSError, ValueError):  # the terminal has gone; what was said goes elsewhere too
            sys.stdout.write(text)
            sys.stdout.flush()
