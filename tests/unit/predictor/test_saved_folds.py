"""A fold's encoded result is exact, and refused if damaged."""

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
    # Not in alphabetical order, since the order is that of layer 2's inputs.
    outputs = {"momentum_score": ODD, "predicted_volatility": ODD[::-1].copy(), "a_third": ODD * 3}
    part = FoldRows(FOLD, 70, 77, outputs, np.column_stack([ODD, ODD]), ODD, ODD / 7, SHARES)
    return FoldResult(part, {"fold": 3, "train_rows": 70, "ic": 0.1 + 0.2, "seconds": 1.234}, None)


def _bits(result: FoldResult) -> object:
    """A result with the bits of its floats."""
    part = result.part
    if part is None:
        return result.scored, result.skipped
    arrays = [part.inputs, part.score, part.calibrated, *part.outputs.values()]
    shown = [(array.dtype.str, array.shape, array.tobytes()) for array in arrays]
    names = (list(part.outputs), part.importance)
    return result.scored, result.skipped, part.fold, part.start, part.stop, names, shown


def test_result_is_restored_bit_for_bit() -> None:
    found = decode(encode(FOLD, _result()), FOLD)

    assert _bits(found) == _bits(_result())
    assert found.ic is not None
    assert struct.pack("d", found.ic) == struct.pack("d", 0.1 + 0.2)


def test_fold_without_rows_is_restored() -> None:
    skipped = FoldResult(None, None, {"fold": 3, "reason": "too few rows"})

    assert decode(encode(FOLD, skipped), FOLD) == skipped


def test_damaged_bytes_never_change_the_result() -> None:
    whole = encode(FOLD, _result())
    refused = 0
    for place in range(0, len(whole), 3):
        damaged = bytearray(whole)
        damaged[place] ^= 0x55
        try:
            found = decode(bytes(damaged), FOLD)
        except Exception:  # the type depends on the damage: see decode
            refused += 1
        else:
            # Only metadata is damaged, such as a timestamp of the zip file.
            assert _bits(found) == _bits(_result())
    assert refused > len(whole) / 3 / 2


@pytest.mark.parametrize("kept", [0, 1, 100, -1])
def test_truncated_data_is_refused(kept: int) -> None:
    with pytest.raises(Exception, match=r"."):
        decode(encode(FOLD, _result())[:kept], FOLD)


def test_pickle_is_refused_without_loading() -> None:
    with pytest.raises(ValueError, match="allow_pickle"):
        decode(b"\x80\x04K\x01.", FOLD)


def test_other_fold_is_refused() -> None:
    with pytest.raises(ValueError, match="it holds another fold"):
        decode(encode(FOLD, _result()), Fold(4, 0, 460, 481, 541))


@pytest.mark.parametrize("prefix", ["predictor/weights/meta", "runs", "runs/", "runs/../predictor", "x/runs/r"])
def test_folds_are_saved_only_below_runs(prefix: str) -> None:
    with pytest.raises(ValueError, match="expected a prefix below runs/"):
        s3_keys.saved_folds(prefix, "0" * 64)
