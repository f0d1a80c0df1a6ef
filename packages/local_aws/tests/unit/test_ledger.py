"""Filters and counts of the ledger, and torn lines."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from local_aws.ledger import Ledger, count, is_write, read, select, timestamp
from local_aws.state import LocalAwsError


def entry(action: str = "GetObject", **fields: Any) -> dict[str, Any]:
    made = {"time": "2026-01-01T00:00:00.000000Z", "service": "s3", "action": action, "source": "control-node"}
    return {**made, "write": is_write(action), "allowed": True, "resource": "arn:aws:s3:::data/k", **fields}


@pytest.mark.parametrize("action", ["PutObject", "RunInstances", "TerminateInstances", "CreateTags", "DeleteObjects"])
def test_changing_operations_are_writes(action: str) -> None:
    assert is_write(action)


@pytest.mark.parametrize("action", ["GetObject", "HeadBucket", "ListObjectsV2", "DescribeInstances", "StartSession"])
def test_read_operations_are_not_writes(action: str) -> None:
    assert not is_write(action)


def test_filters_select_matching_entries() -> None:
    lines = [
        entry("GetObject"),
        entry("PutObject", source="i-1"),
        entry("PutObject", source="operator", resource="arn:aws:s3:::database/k", time="2026-01-02T00:00:00.000000Z"),
        entry("PutObject", allowed=False, resource="arn:aws:s3:::data"),
        entry("RunInstances", service="ec2", resource="*"),
    ]

    def left(**filters: Any) -> list[int]:
        return [lines.index(line) for line in select(lines, **filters)]

    assert left() == [0, 1, 2, 3, 4]
    assert left(service="ec2") == [4]
    assert left(action="GetObject") == [0]
    assert left(source="instance") == left(source="i-1") == [1]
    assert left(bucket="data") == [0, 1, 3]
    assert left(without_operator=True) == [0, 1, 3, 4]
    assert left(writes=True) == [1, 2, 3, 4]
    assert left(denied=True) == [3]
    assert left(since="2026-01-01T12:00:00Z") == left(since="2026-01-01T13:00:00+01:00") == [2]
    assert left(until="2026-01-01T12:00:00+00:00") == [0, 1, 3, 4]
    assert left(bucket="data", writes=True, without_operator=True) == [1, 3]


def test_invalid_time_is_an_error() -> None:
    with pytest.raises(LocalAwsError, match=r"expected a time in ISO 8601 .* got 'yesterday'"):
        list(select([entry()], since="yesterday"))


def test_torn_line_is_skipped(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    path.write_text('{"n": 1}\n{"n": 2, "tor')
    assert list(read(path)) == [{"n": 1}]
    ledger = Ledger(path)
    ledger.record(n=3)
    assert [line["n"] for line in read(path)] == [1, 3]
    with path.open("a") as handle:
        handle.write('{"n": 4')
    assert [line["n"] for line in read(path)] == [1, 3]
    ledger.close()
    assert list(read(tmp_path / "none")) == []


def test_counts_tell_allowed_writes_from_denied_ones() -> None:
    lines = [entry(), entry("PutObject"), entry("PutObject"), entry("PutObject", allowed=False)]
    calls = {"s3.GetObject": 1, "s3.PutObject": 3}
    assert count(lines) == {"requests": 4, "writes": 2, "denied_writes": 1, "calls": calls}
    assert count([]) == {"requests": 0, "writes": 0, "denied_writes": 0, "calls": {}}


def test_times_sort_as_text() -> None:
    times = [timestamp(datetime(2026, 1, 2, 3, 4, 5, micro, UTC)) for micro in (0, 9, 10, 999999)]
    assert times == sorted(times) and times[0] == "2026-01-02T03:04:05.000000Z"
