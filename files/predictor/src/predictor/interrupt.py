"""SIGTERM as an exception."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

from predictor.errors import Interrupted


@dataclass
class _State:
    """Whether the handler raises, and the message of the signal received so far."""

    raises: bool = False
    message: str = ""


_state = _State()


@contextmanager
def on_sigterm() -> Iterator[None]:
    """Within the block, the first SIGTERM raises `Interrupted` in the main thread; later ones are ignored."""
    _state.raises, _state.message = True, ""
    previous = signal.signal(signal.SIGTERM, _handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)
        _state.raises, _state.message = False, ""


def disarm() -> None:
    """Ignore SIGTERM for the rest of the block, which only reports the outcome."""
    _state.raises = False


def check() -> None:
    """Raise a lost interruption: Python drops an exception that is raised in a destructor or in a callback from C.

    Raises:
        Interrupted: SIGTERM arrived earlier in the block.
    """
    if _state.message:
        raise Interrupted(_state.message)


def _handle(number: int, frame: FrameType | None) -> None:
    if not _state.raises:
        return
    _state.raises = False
    _state.message = f"interrupted by {signal.Signals(number).name}"
    raise Interrupted(_state.message)
