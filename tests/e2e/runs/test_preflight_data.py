"""A universe of 500 symbols with one of everything wrong; and one with nothing in it, and a probe that writes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.e2e.runs.conftest import NO_LEAKS, Account, Bucket, Run, keys, source_options, start
from tests.support.account import DATA_BUCKET, project_copy

END = date(2022, 12, 28)


WRITE_PROBE = '''"""A probe that writes, as no check may."""

from __future__ import annotations

from predictor import aws
from predictor.checks.base import Context, Finding

GROUP = "data"
REMEDY = "Take the writes out of the probe."


def run(context: Context) -> Finding:
    """Try every way to write there is."""
    import arcticdb
    import pandas as pd
    from predictor import store

    s3, bucket = aws.s3_client(), context.data_bucket
    uri = store.arctic_uri(bucket, aws.region(), context.arctic_prefix, aws.endpoint())
    frame = pd.DataFrame({"close": [1.0]}, index=pd.date_range("2022-01-03", periods=1))
    attempts = {
        "put": lambda: s3.put_object(Bucket=bucket, Key="predictor/probe", Body=b"x"),
        "delete": lambda: s3.delete_object(Bucket=bucket, Key="predictor/probe"),
        "multipart": lambda: s3.create_multipart_upload(Bucket=bucket, Key="predictor/probe"),
        "arcticdb": lambda: arcticdb.Arctic(uri)["universe"].write("PROBE", frame),
    }
    said = []
    for name, attempt in attempts.items():
        try:
            attempt()
            said.append(f"{name} went through")
        except Exception as error:
            text = str(error)
            said.append(f"{name} {'denied' if 'AccessDenied' in text or 'PERMISSION' in text else text}")
    return Finding("fail", "; ".join(said), said)
'''


def series(end: date = END, seed: int = 0) -> Any:
    """30 calm bars."""
    import pandas as pd

    index = pd.bdate_range(end=pd.Timestamp(end), periods=30, name="date")
    return pd.DataFrame(
        {"close": 100 * np.exp(np.cumsum(np.random.default_rng(seed).normal(0, 0.01, 30)))}, index=index
    )


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    account = Account(tmp_path_factory.mktemp("e2e-data"))
    start(account)
    yield account
    account.stop()


@pytest.fixture(scope="module")
def damaged(account: Account, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A preflight of 500 symbols, never compacted, one of everything wrong; and too small a machine."""
    import arcticdb

    bucket = Bucket(account)
    arctic = bucket.arctic("arcticdb/damaged")
    frames = {f"Q{number:03}": series(seed=number) for number in range(500)}
    frames["Q250"] = series(date(2022, 12, 20))
    frames["Q100"].iloc[-1, 0] = np.nan
    frames["Q101"].iloc[-1, 0] = frames["Q101"].iloc[-2, 0] / 4
    for library, content in (("universe", frames), ("macro", {"SPX": series(), "VIX": series(), "NASDAQ": series()})):
        results = arctic.create_library(library).write_batch([arcticdb.WritePayload(*item) for item in content.items()])
        assert not [item for item in results if isinstance(item, arcticdb.DataError)]
    index = [key for key in bucket.keys("arcticdb/damaged") if "/tindex/" in key and "Q102" in key]
    bucket.s3.delete_object(Bucket=DATA_BUCKET, Key=index[0])
    summary = {"resources": {"peak_memory_mb": 8_000_000, "disk_mb": 9_000_000_000}}
    bucket.s3.put_object(
        Bucket=DATA_BUCKET, Key="predictor/metrics/training_summary_latest.json", Body=json.dumps(summary).encode()
    )
    expected = tmp_path_factory.mktemp("expected") / "symbols.txt"
    expected.write_text("\n".join([*frames, "Q999"]))
    account.local_aws("fault", "credentials", "seconds=1800")
    try:
        return account.train(
            "-e", "preflight_only=true",
            "-e", "arctic_prefix=arcticdb/damaged",
            "-e", f"preflight_expected_symbols={expected}",
        )  # fmt: skip
    finally:
        account.local_aws("fault", "clear")
        bucket.s3.delete_object(Bucket=DATA_BUCKET, Key="predictor/metrics/training_summary_latest.json")


@pytest.fixture(scope="module")
def empty(account: Account, tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, dict[str, str]]:
    """A preflight of a universe without a symbol, with a probe that writes; and the keys that were there before."""
    arctic = Bucket(account).arctic("arcticdb/empty")
    arctic.create_library("universe")
    arctic.create_library("macro").write("SPX", series())
    folder = project_copy(tmp_path_factory.mktemp("writing") / "project")
    (folder / "src" / "predictor" / "checks" / "c90_write_probe.py").write_text(WRITE_PROBE)
    before = keys(account)
    arguments = ["-e", "preflight_only=true", "-e", "arctic_prefix=arcticdb/empty"]
    return account.train(*arguments, *source_options(folder, "predictor")), before


WRONG = {
    "one_stale_of_500": ("freshness", "1 of 499 symbols are more than 3 trading days old: Q250 (5, ends 2022-12-20)"),
    "unreadable": ("universe", "1 of 500 symbols of 'universe' cannot be read: Q102 ("),
    "missing": ("symbols", "501 symbols expected, 1 missing: Q999"),
    "nan": ("last_rows", "Q100 (close is NaN in the last row, 2022-12-28)"),
    "history": ("folds", "none of 499 symbols has the 126 bars of a fold's test window"),
    "split": ("last_rows", "Q101 (-75% on 2022-12-28 looks like an unadjusted 4:1 split)"),
    "memory": ("memory", "10,000,000 MiB needed (1.25 times the 8,000,000 of the last training)"),
    "disk": ("disk", "11,250,000,000 MiB needed"),
    "credentials": ("credentials", "but the training may take 90 min"),
}


@pytest.mark.parametrize("case", WRONG)
def test_data_faults_read_the_same_in_every_output(damaged: Run, case: str) -> None:
    name, words = WRONG[case]
    found = damaged.check(name)

    assert found["status"] == "fail"
    assert words in found["detail"]
    assert found["remedy"]
    assert f"  {found['detail']}\n" in damaged.output
    assert found["remedy"] in damaged.output
    assert found["detail"] in damaged.receipt["error"]


def test_nothing_else_fails(damaged: Run) -> None:
    failed = {entry["name"] for entry in damaged.receipt["preflight"]["checks"] if entry["status"] == "fail"}

    assert failed == {name for name, _ in WRONG.values()}
    assert damaged.receipt["preflight"]["stale"] == ["Q250"]
    assert list(damaged.receipt["preflight"]["unreadable"]) == ["Q102"]
    assert damaged.receipt["preflight"]["missing"] == ["Q999"]


def test_uncompacted_library_is_not_written(account: Account, damaged: Run) -> None:
    instance = damaged.receipt["instance"]["id"]

    read = account.ledger("--source", instance, "--bucket", DATA_BUCKET)
    assert sum(entry["action"] == "GetObject" for entry in read) > 1000
    assert account.ledger("--source", instance, "--bucket", DATA_BUCKET, "--writes") == []
    assert (damaged.receipt["writes"]["data_bucket"], damaged.receipt["writes"]["denied"]) == (0, 0)
    assert damaged.receipt["writes"]["digest"]["equal"] is True


def test_the_run_fails_and_leaves_nothing(account: Account, damaged: Run) -> None:
    assert damaged.code != 0
    assert (damaged.receipt["outcome"], damaged.receipt["failed_step"]) == ("failed", "preflight")
    assert damaged.receipt["leaks"] == NO_LEAKS
    account.assert_nothing_left()


def test_an_empty_universe_fails_and_leaves_nothing(account: Account, empty: tuple[Run, dict[str, str]]) -> None:
    run, _ = empty

    assert run.code != 0
    assert run.check("universe")["detail"] == "library 'universe' holds no symbol"
    assert run.check("universe")["remedy"] == "Load prices into the library: it is empty."
    assert run.check("freshness")["status"] == "fail"
    assert run.check("universe")["detail"] in run.receipt["error"]
    assert run.receipt["writes"]["data_bucket"] == 0
    assert run.receipt["leaks"] == NO_LEAKS
    account.assert_nothing_left()


def test_write_in_a_preflight_is_denied_and_reported(account: Account, empty: tuple[Run, dict[str, str]]) -> None:
    run, before = empty

    assert run.code != 0
    found = run.check("write_probe")
    assert (found["status"], found["items"]) == (
        "fail",
        ["put denied", "delete denied", "multipart denied", "arcticdb denied"],
    )
    instance = run.receipt["instance"]["id"]
    denied = account.ledger("--source", instance, "--denied", "--writes")
    assert {"PutObject", "DeleteObject", "CreateMultipartUpload"} <= {entry["action"] for entry in denied}
    assert [entry for entry in account.ledger("--source", instance, "--writes") if entry["allowed"]] == []
    assert run.receipt["writes"]["data_bucket"] == 0
    assert run.receipt["writes"]["denied"] >= 4
    assert run.receipt["writes"]["digest"]["equal"] is True
    assert keys(account) == before
    assert run.receipt["leaks"] == NO_LEAKS
    account.assert_nothing_left()


def test_the_page_names_every_failure_with_its_remedy(damaged: Run) -> None:
    from markupsafe import escape

    for name in {name for name, _ in WRONG.values()}:
        found = damaged.check(name)
        assert escape(found["detail"]) in damaged.page
        assert escape(found["remedy"]) in damaged.page


def test_files_of_the_digest_are_kept(damaged: Run) -> None:
    folder = damaged.folder
    assert isinstance(folder, Path)
    assert {path.name for path in folder.glob("data-*.jsonl.gz")} == {"data-before.jsonl.gz", "data-after.jsonl.gz"}
