"""SIGTERM as an exception that nothing on its way holds up."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

from predictor.errors import Interrupted


@dataclass
class _State:
    """What the signal handler does (`raises`), and what it has heard so far."""

    raises: bool = False
    heard: str = ""


_state = _State()


@contextmanager
def on_sigterm() -> Iterator[None]:
    """Within the block SIGTERM raises `Interrupted` in the main thread, once: what follows it writes down the end."""
    _state.raises, _state.heard = True, ""
    previous = signal.signal(signal.SIGTERM, _handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)
        _state.raises, _state.heard = False, ""


def disarm() -> None:
    """For the rest of the block SIGTERM does nothing: what is left is to say how it ended, and that is quick."""
    _state.raises = False


def check() -> None:
    """Raise what got lost: Python drops an exception that a signal raises in a destructor or in a callback from C.

    Raises:
        Interrupted: SIGTERM came earlier in the block.
    """
    if _state.heard:
        raise Interrupted(_state.heard)


def _handle(number: int, frame: FrameType | None) -> None:
    if not _state.raises:
        return
    _state.raises = False
    _state.heard = f"interrupted by {signal.Signals(number).name}"
    raise Interrupted(_state.heard)
