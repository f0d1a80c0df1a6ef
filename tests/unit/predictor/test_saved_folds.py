"""A fold's result as bytes: exact, and never trusted when damaged."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from predictor import s3_keys
from predictor.training.folds import Fold
from predictor.training.saved_folds import decode, encode
from predictor.training.walk_forward import FoldResult, FoldRows

FOLD = Fold(3, 0, 400, 421, 481)
SHARES = {"volatility": {"rv60": 1 / 3, "rv5": 2 / 3}, "meta": {}}
ODD = np.array([0.1, -0.0, np.nan, np.inf, 5e-324, 1 / 3, np.nextafter(1, 2)])


def _result() -> FoldResult:
    # Not in alphabetical order: it is the order of layer 2's inputs.
    outputs = {"momentum_score": ODD, "predicted_volatility": ODD[::-1].copy(), "a_third": ODD * 3}
    part = FoldRows(FOLD, 70, 77, outputs, np.column_stack([ODD, ODD]), ODD, ODD / 7, SHARES)
    return FoldResult(part, {"fold": 3, "train_rows": 70, "ic": 0.1 + 0.2, "seconds": 1.234}, None)


def _bits(result: FoldResult) -> object:
    """All of a result, every float to the last bit."""
    part = result.part
    if part is None:
        return result.scored, result.skipped
    arrays = [part.inputs, part.score, part.calibrated, *part.outputs.values()]
    shown = [(array.dtype.str, array.shape, array.tobytes()) for array in arrays]
    names = (list(part.outputs), part.importance)
    return result.scored, result.skipped, part.fold, part.start, part.stop, names, shown


def test_every_bit_comes_back() -> None:
    found = decode(encode(FOLD, _result()), FOLD)

    assert _bits(found) == _bits(_result())
    assert found.ic is not None
    assert struct.pack("d", found.ic) == struct.pack("d", 0.1 + 0.2)


def test_a_fold_without_rows_comes_back() -> None:
    skipped = FoldResult(None, None, {"fold": 3, "reason": "12 training and 3 test rows, 500 and 100 are needed"})

    assert decode(encode(FOLD, skipped), FOLD) == skipped


def test_no_damaged_byte_changes_what_is_read() -> None:
    whole = encode(FOLD, _result())
    refused = 0
    for place in range(0, len(whole), 3):
        damaged = bytearray(whole)
        damaged[place] ^= 0x55
        try:
            found = decode(bytes(damaged), FOLD)
        except Exception:  # of whatever kind: see decode
            refused += 1
        else:
            # The time stamps of the zip file, for example.
            assert _bits(found) == _bits(_result())
    assert refused > len(whole) / 3 / 2


@pytest.mark.parametrize("kept", [0, 1, 100, -1])
def test_a_part_is_refused(kept: int) -> None:
    with pytest.raises(Exception, match=r"."):
        decode(encode(FOLD, _result())[:kept], FOLD)


def test_a_pickle_is_refused_unread() -> None:
    with pytest.raises(ValueError, match="allow_pickle"):
        decode(b"\x80\x04K\x01.", FOLD)


def test_another_fold_is_refused() -> None:
    with pytest.raises(ValueError, match="it holds another fold"):
        decode(encode(FOLD, _result()), Fold(4, 0, 460, 481, 541))


@pytest.mark.parametrize("prefix", ["predictor/weights/meta", "runs", "runs/", "runs/../predictor", "x/runs/r"])
def test_nothing_live_is_a_place_for_saved_folds(prefix: str) -> None:
    with pytest.raises(ValueError, match="is no prefix below runs/"):
        s3_keys.saved_folds(prefix, "0" * 64)
