"""Results of folds, saved in S3 so that an interrupted training can resume.

Each fold is one object, NumPy's `.npz` without pickles, which preserves every float bit for bit and includes a digest.
Damaged objects are never used, and failures become notes.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from predictor import s3_keys
from predictor.aws import bucket_errors, list_keys
from predictor.errors import BucketError, one_line
from predictor.output import to_json
from predictor.training.folds import Fold
from predictor.training.walk_forward import FoldResult, FoldRows

_HEADER, _DIGEST, _OUTPUT = "header", "digest", "output_"


class SavedFolds:
    """The folds saved under one prefix and fingerprint."""

    def __init__(self, client: Any, bucket: str, prefix: str, fingerprint: str, notes: list[str]) -> None:
        """List the saved folds.

        Args:
            client: boto3 S3 client.
            bucket: Data bucket.
            prefix: See `s3_keys.STATE_PREFIX`.
            fingerprint: See `fingerprint.compute`.
            notes: Receives a note on each damaged fold, and on the first refusal to list, read or write.
        """
        self._client = client
        self._bucket = bucket
        self._folder = s3_keys.saved_folds(prefix, fingerprint)
        self._notes = notes
        self._refused: set[str] = set()
        self._there = self._list()

    def load(self, fold: Fold) -> FoldResult | None:
        """The saved result of a fold, None without a usable one."""
        key = self._key(fold)
        if key not in self._there:
            return None
        try:
            with bucket_errors(f"read s3://{self._bucket}/{key}"):
                body = self._client.get_object(Bucket=self._bucket, Key=key)["Body"].read()
        except BucketError as error:
            self._note_once("read", f"saved folds were computed again from fold {fold.number} on: {one_line(error)}")
            return None
        try:
            return decode(body, fold)
        except Exception as error:  # zipfile, zlib, json and numpy raise various errors on damaged data
            self._notes.append(
                f"fold {fold.number} was computed again: s3://{self._bucket}/{key} is damaged ({one_line(error)})"
            )
            return None

    def save(self, fold: Fold, result: FoldResult) -> bool:
        """Save a fold's result; returns whether that succeeded."""
        key = self._key(fold)
        try:
            with bucket_errors(f"write s3://{self._bucket}/{key}"):
                self._client.put_object(
                    Bucket=self._bucket, Key=key, Body=encode(fold, result), ContentType="application/octet-stream"
                )
        except BucketError as error:
            self._note_once("write", f"folds could not be saved from fold {fold.number} on: {one_line(error)}")
            return False
        return True

    def _list(self) -> set[str]:
        try:
            return set(list_keys(self._client, self._bucket, self._folder))
        except BucketError as error:
            self._note_once("list", f"every fold was computed: {one_line(error)}")
            return set()

    def _note_once(self, operation: str, sentence: str) -> None:
        if operation not in self._refused:
            self._refused.add(operation)
            self._notes.append(sentence)

    def _key(self, fold: Fold) -> str:
        return s3_keys.saved_fold(self._folder, fold.number)


def encode(fold: Fold, result: FoldResult) -> bytes:
    """A fold's result as an `.npz`: a JSON header, the arrays of `FoldRows` if any, and a digest of all of them."""
    part = result.part
    header = {
        "fold": asdict(fold),
        "scored": result.scored,
        "skipped": result.skipped,
        "rows": None if part is None else [part.start, part.stop],
        "outputs": [] if part is None else list(part.outputs),
        "importance": {} if part is None else part.importance,
    }
    arrays: dict[str, NDArray[Any]] = {_HEADER: np.frombuffer(to_json(header), np.uint8)}
    if part is not None:
        # The order of the outputs is the order of layer 2's inputs.
        arrays |= {f"{_OUTPUT}{place}": said for place, said in enumerate(part.outputs.values())}
        arrays |= {"inputs": part.inputs, "score": part.score, "calibrated": part.calibrated}
    arrays[_DIGEST] = np.frombuffer(_digest(arrays), np.uint8)
    sink = io.BytesIO()
    np.savez(sink, allow_pickle=False, **arrays)
    return sink.getvalue()


def decode(body: bytes, fold: Fold) -> FoldResult:
    """The reverse of `encode`.

    Raises:
        Exception: The data is damaged or belongs to another fold; the type depends on the layer that detects it.
    """
    with np.load(io.BytesIO(body), allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    if arrays.pop(_DIGEST).tobytes() != _digest(arrays):
        raise ValueError("its digest differs")
    header = json.loads(arrays[_HEADER].tobytes())
    if header["fold"] != asdict(fold):
        raise ValueError(f"it holds another fold: {header['fold']}")
    part = None
    if header["rows"] is not None:
        outputs = {name: arrays[f"{_OUTPUT}{place}"] for place, name in enumerate(header["outputs"])}
        start, stop = header["rows"]
        found = (arrays["inputs"], arrays["score"], arrays["calibrated"])
        part = FoldRows(fold, start, stop, outputs, *found, header["importance"])
    return FoldResult(part, header["scored"], header["skipped"])


def _digest(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """SHA-256 over name, type, shape and content of each array."""
    whole = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        whole.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        whole.update(hashlib.sha256(np.ascontiguousarray(array).tobytes()).digest())
    return whole.digest()
