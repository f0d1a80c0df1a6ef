# Copyright: spot-train contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Makes text from elsewhere safe for a terminal, a log, a receipt or a page."""

from __future__ import annotations

import re

_ANSI = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")
# Control characters except tab and newline, bidirectional marks, and lone surrogates.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def clean(text: object) -> str:
    """Return ``text`` as a stripped string without terminal colours and control characters, except tab and newline."""
    return _CONTROL.sub("", _ANSI.sub("", str(text).replace("\r\n", "\n"))).strip()
