# Copyright: spot-train contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The words of a failure for a terminal: all of them, and each of them once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..runs.tasks import item_prefix, message_of
from ..runs.text import clean
from .screen import LABEL

#: Last lines of a command's output that a failure shows; the log of the step has all of them.
OUTPUT_LINES = 30
#: Items of a loop whose failures are shown.
ITEMS = 10
#: A message shorter than this may stand in another text by chance.
LEAST_KNOWN = 30
SEEN = "(as above)"


def failure_lines(result: Mapping[str, Any], items: Sequence[Mapping[str, Any]] = ()) -> list[str]:
    """Return what a failed result has to say, each text on lines of its own.

    Args:
        result: The result as callbacks get it.
        items: Results of the items that failed, of a loop, which itself only says that some did.
    """
    if not items or "censored" in result:
        return _told(result)
    texts = [text for item in items[:ITEMS] for text in _told(item, item_prefix(item))]
    more = len(items) - ITEMS
    return [*texts, *([f"and {more} more items failed"] if more > 0 else [])]


def _told(result: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Return the message of one result, and the end of its output where that is not in it."""
    message = message_of(result, failed=True)
    texts = [f"{prefix}{message or 'no message was given'}"]
    if "censored" in result:
        return texts
    for stream in ("stderr", "stdout", "module_stderr", "module_stdout"):
        lines = [line for line in clean(result.get(stream) or "").splitlines() if line.strip()]
        if not lines or all(line.strip() in message for line in lines):
            continue
        left_out = len(lines) - OUTPUT_LINES
        more = [f"  … {left_out} lines more in the log of the step"] if left_out > 0 else []
        texts += [f"{stream.removeprefix('module_')}:", *more, *(f"  {line}" for line in lines[-OUTPUT_LINES:])]
    return texts


class Told:
    """What was shown of failures, so that the end of a run need not repeat it."""

    def __init__(self) -> None:
        """Nothing was."""
        self._messages: list[str] = []

    def new(self, texts: Sequence[str]) -> list[str]:
        """Return the texts that were not shown before, and take them as shown."""
        found = [self.shortened(text) for text in texts]
        for text in texts:
            flat = " ".join(text.split())
            # A playbook repeats the output of a command without what the module says before it.
            self._messages += [part for part in (flat, flat.partition(": ")[2]) if len(part) >= LEAST_KNOWN]
        self._messages.sort(key=len, reverse=True)
        return found

    def shortened(self, text: str) -> str:
        """Return a text with a reference in the place of a message that was shown before."""
        flat = " ".join(text.split())
        for message in self._messages:
            start = flat.find(message[:LEAST_KNOWN])
            if start < 0:
                continue
            # The end of a run may cut it.
            cut_off = flat.endswith("…") and message.startswith(flat[start:-1])
            if not cut_off and message not in flat:
                continue
            rest = flat[:start] + SEEN + ("" if cut_off else flat[start + len(message) :])
            label = LABEL.match(text)
            return label[0] + rest.removeprefix(label[0].strip()).lstrip() if label else rest
        return text
