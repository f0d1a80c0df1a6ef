"""The writes to the data bucket: the evidence that a run was read-only."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.spot_train.core.plugins.module_utils.report.page import render_page
from ansible_collections.spot_train.core.plugins.module_utils.report.receipt import Inputs, build_receipt
from ansible_collections.spot_train.core.plugins.module_utils.report.summary import summary_lines
from ansible_collections.spot_train.core.plugins.module_utils.report.text import UNKNOWN, size
from ansible_collections.spot_train.core.plugins.module_utils.report.writes import (
    nothing_written,
    shape_writes,
    writes_line,
)

Writes = dict[str, Any]


@pytest.fixture
def unequal(digest: Writes) -> Writes:
    changed = [{"key": f"arctic/key{number}", "change": "added"} for number in range(4)]
    after = {**digest["after"], "sha256": "77" * 32, "objects": 1240}
    return {**digest, "after": after, "equal": False, "changed": changed, "changed_count": 6}


@pytest.fixture
def passed(run: Any, preflight: Any, no_leaks: Any, clock: Any) -> Inputs:
    """A preflight that passed, without a count of requests."""
    events = [*clock.step("open", 1), *clock.step("preflight", 1), clock.event("playbook_finished")]
    return Inputs(run=run, events=events, preflight=preflight, leaks=no_leaks)


def line_of(receipt: dict[str, Any]) -> str:
    return next(str(line) for line in summary_lines(receipt, "r") if line.startswith("writes"))


def test_equal_digest_proves_that_nothing_was_written(passed: Inputs, digest: Writes, template: Path) -> None:
    passed.writes = {"data_bucket": None, "evidence": "digest", "digest": digest}
    receipt = build_receipt(passed)
    assert (receipt["outcome"], receipt["notes"], receipt["writes"]["data_bucket"]) == ("passed", [], None)
    assert receipt["writes"]["digest"] == digest
    assert line_of(receipt) == (
        "writes     none to the data bucket: digest of 1,234 objects equal before and after (2.1 s)"
    )
    page = render_page(receipt, [], template)
    assert "Nothing was written." in page
    assert "objects before and after (arctic/, predictor/) are equal." in page
    for words in ("1,234", "56.7 MB", "3f3f3f3f3f3f3f3f…", "1.0 s", "1.1 s"):
        assert words in page, words
    assert "not counted" not in page


def test_without_count_and_digest_writes_are_unknown(passed: Inputs) -> None:
    passed.writes = {"data_bucket": None, "evidence": "none", "digest": None}
    receipt = build_receipt(passed)
    assert receipt["notes"] == ["the writes to the data bucket were not counted"]
    assert (receipt["outcome"], receipt["error"]) == (
        "failed",
        "cannot verify that the preflight was read-only: no request count and no second digest",
    )
    assert line_of(receipt) == "writes     to the data bucket: not counted"


def test_preflight_with_different_digests_fails(passed: Inputs, unequal: Writes, template: Path) -> None:
    passed.writes = {"data_bucket": None, "evidence": "digest", "digest": unequal}
    receipt = build_receipt(passed)
    assert receipt["outcome"] == "failed"
    assert receipt["error"] == (
        "the data bucket changed during the preflight run: 6 objects changed (added arctic/key0, "
        "added arctic/key1, added arctic/key2, …)"
    )
    page = render_page(receipt, [], template)
    assert "arctic/key3" in page and "and 2 more objects" in page and "are not equal" in page
    assert "Nothing was written" not in page


def test_preflight_that_tried_to_write_fails(passed: Inputs, template: Path) -> None:
    passed.writes = {"data_bucket": 0, "denied": 3, "evidence": "ledger"}
    receipt = build_receipt(passed)
    assert (receipt["outcome"], receipt["error"]) == (
        "failed",
        "3 writes to the data bucket were tried and refused: a preflight must not even try",
    )
    assert line_of(receipt) == "writes     none to the data bucket: 3 tried and refused"
    assert "3 writes were tried and refused" in render_page(receipt, [], template)
    passed.writes = {"data_bucket": 0, "denied": 1}
    error = build_receipt(passed)["error"]
    assert error is not None and error.startswith("1 write to the data bucket was tried and refused")


def test_smoke_training_must_not_write(passed: Inputs, training: Any) -> None:
    passed.run = {**passed.run, "mode": "smoke"}
    passed.preflight, passed.smoke = None, {**training, "dry_run": True}
    passed.writes = {"data_bucket": 2, "denied": 0}
    assert build_receipt(passed)["error"] == "a smoke training wrote to the data bucket (2 writes)"


def test_full_training_may_write(passed: Inputs, unequal: Writes, training: Any, clock: Any) -> None:
    passed.run = {**passed.run, "mode": "full"}
    passed.full = training
    passed.writes = {"data_bucket": 17, "denied": 2, "digest": unequal}
    receipt = build_receipt(passed)
    assert receipt["outcome"] == "passed"
    assert line_of(receipt).startswith(
        "writes     17 objects to the data bucket: 2 tried and refused; 6 objects changed"
    )


def test_equality_of_digests_is_verified(digest: Writes) -> None:
    forged = {**digest, "after": {**digest["after"], "sha256": "77" * 32}}
    notes: list[str] = []
    assert shape_writes({"digest": forged}, notes)["digest"]["equal"] is False
    assert notes == []
    half = shape_writes({"data_bucket": 0, "digest": {**digest, "after": None}}, notes)
    assert half["digest"]["equal"] is None
    assert notes == ["the digest of the data bucket was not taken both before and after, so it proves nothing"]
    assert nothing_written(half)
    assert not nothing_written(shape_writes({"digest": {**digest, "after": None}}, notes))


@pytest.mark.parametrize("odd", [7, "text", [1]])
def test_invalid_digest_is_none_and_noted(odd: Any) -> None:
    notes: list[str] = []
    assert shape_writes({"data_bucket": 0, "digest": odd}, notes)["digest"] is None
    assert notes == ["the digest of the data bucket is invalid; ignored"]


def test_different_digests_without_changes_are_reported(unequal: Writes) -> None:
    writes = shape_writes({"digest": {**unequal, "changed": [7], "changed_count": None}}, [])
    assert writes_line(writes) == "to the data bucket: the digests differ"


def test_counted_writes_override_an_equal_digest(digest: Writes) -> None:
    assert not nothing_written(shape_writes({"data_bucket": 2, "digest": digest}, []))


@pytest.mark.parametrize(
    ("count", "words"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (999_960, "1.0 MB"), (2.5e12, "2.5 TB"), (None, UNKNOWN)],
)
def test_bytes_are_formatted(count: Any, words: str) -> None:
    assert size(count) == words
