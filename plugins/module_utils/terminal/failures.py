# Copyright: spot-train contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Text of a failure for a terminal, complete but without repetition."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..runs.tasks import item_prefix, message_of
from ..runs.text import clean
from .screen import LABEL

#: Number of last lines of a command's output in a failure; the step's log has all of them.
OUTPUT_LINES = 30
#: Number of failed items of a loop that are shown.
ITEMS = 10
#: A shorter message may be part of another text by chance.
LEAST_KNOWN = 30
AS_ABOVE = "(as above)"


def failure_lines(result: Mapping[str, Any], items: Sequence[Mapping[str, Any]] = ()) -> list[str]:
    """Return the texts of a failed result; that of a loop does not contain the messages of its failed ``items``."""
    if not items or "censored" in result:
        return _texts(result)
    texts = [text for item in items[:ITEMS] for text in _texts(item, item_prefix(item))]
    more = len(items) - ITEMS
    return [*texts, *([f"and {more} more items failed"] if more > 0 else [])]


def _texts(result: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Return the message of one result, and the end of its output unless the message contains it."""
    message = message_of(result, failed=True)
    texts = [f"{prefix}{message or 'no message'}"]
    if "censored" in result:
        return texts
    for stream in ("stderr", "stdout", "module_stderr", "module_stdout"):
        lines = [line for line in clean(result.get(stream) or "").splitlines() if line.strip()]
        if not lines or all(line.strip() in message for line in lines):
            continue
        left_out = len(lines) - OUTPUT_LINES
        more = [f"  … {left_out} more lines in the step's log"] if left_out > 0 else []
        texts += [f"{stream.removeprefix('module_')}:", *more, *(f"  {line}" for line in lines[-OUTPUT_LINES:])]
    return texts


class Seen:
    """The messages that were shown, so that the end of a run does not repeat them."""

    def __init__(self) -> None:
        """Start without messages."""
        self._messages: list[str] = []

    def new(self, texts: Sequence[str]) -> list[str]:
        """Return the texts, shortened if they were shown before, and record them as shown."""
        found = [self.shortened(text) for text in texts]
        for text in texts:
            flat = " ".join(text.split())
            # A playbook may repeat the output of a command without the module's prefix.
            self._messages += [part for part in (flat, flat.partition(": ")[2]) if len(part) >= LEAST_KNOWN]
        self._messages.sort(key=len, reverse=True)
        return found

    def shortened(self, text: str) -> str:
        """Return a text with a reference in place of a message that was shown before."""
        flat = " ".join(text.split())
        for message in self._messages:
            start = flat.find(message[:LEAST_KNOWN])
            if start < 0:
                continue
            # The summary of a run may truncate it.
            cut_off = flat.endswith("…") and message.startswith(flat[start:-1])
            if not cut_off and message not in flat:
                continue
            rest = flat[:start] + AS_ABOVE + ("" if cut_off else flat[start + len(message) :])
            label = LABEL.match(text)
            return label[0] + rest.removeprefix(label[0].strip()).lstrip() if label else rest
        return text
