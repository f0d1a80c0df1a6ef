"""Seeding prices, into ArcticDB on a local file."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from arcticdb import Arctic

from local_aws.prices import load_real_prices, write_synthetic


@pytest.fixture
def uri(tmp_path: Path) -> str:
    return f"lmdb://{tmp_path / 'arctic'}?map_size=200MB"


def _versions(uri: str) -> dict[str, int]:
    arctic = Arctic(uri)
    return {
        f"{name}/{symbol.symbol}": symbol.version
        for name in arctic.list_libraries()
        for symbol in arctic[name].list_versions()
    }


def _read(uri: str, library: str, symbol: str) -> Any:
    return Arctic(uri)[library].read(symbol)


def test_real_prices_equal_the_bundled_ones_and_load_once(uri: str) -> None:
    from skfolio.datasets import load_sp500_dataset, load_sp500_index

    first = load_real_prices(uri)
    versions = _versions(uri)
    second = load_real_prices(uri)

    assert first.symbols == {"universe": 20, "macro": 3}
    assert (len(first.written), len(first.unchanged)) == (23, 0)
    assert (first.first, first.last) == (date(1990, 1, 2), date(2022, 12, 28))
    assert (len(second.written), len(second.unchanged)) == (0, 23)
    assert _versions(uri) == versions
    assert set(versions.values()) == {0}
    prices = load_sp500_dataset()
    for symbol in prices.columns:
        item = _read(uri, "universe", symbol)
        assert list(item.data.columns) == ["close"]
        assert item.data.index.tz is None
        np.testing.assert_array_equal(item.data["close"].to_numpy(), prices[symbol].to_numpy())
        np.testing.assert_array_equal(item.data.index.to_numpy(), prices.index.to_numpy())
        assert item.metadata["synthetic"] is False
    index = _read(uri, "macro", "SPX").data["close"]
    np.testing.assert_array_equal(index.to_numpy(), load_sp500_index()["SP500"].to_numpy())


def test_macro_series_keep_their_end_and_have_no_gaps(uri: str) -> None:
    load_real_prices(uri)

    vix, nasdaq = (_read(uri, "macro", symbol).data for symbol in ("VIX", "NASDAQ"))

    assert (vix.index[-1].date(), nasdaq.index[-1].date()) == (date(2019, 1, 3), date(2018, 12, 31))
    assert not vix["close"].isna().any()
    assert not nasdaq["close"].isna().any()


def test_changed_series_is_restored_alone(uri: str) -> None:
    load_real_prices(uri)
    library = Arctic(uri)["universe"]
    library.write("AAPL", library.read("AAPL").data.iloc[:-30])

    report = load_real_prices(uri)

    assert report.written == ["universe/AAPL"]
    assert _read(uri, "universe", "AAPL").data.index[-1] == pd.Timestamp("2022-12-28")


def test_seeding_needs_no_writable_home_and_no_network(uri: str, tmp_path: Path) -> None:
    code = (
        "import socket, sys\n"
        "def refuse(*a): raise OSError('no network')\n"
        "socket.socket.connect = refuse\n"
        "from local_aws.prices import load_real_prices\n"
        "print(len(load_real_prices(sys.argv[1]).written))\n"
    )
    # Not even root can create a file in /proc.
    environment = {"PATH": os.environ["PATH"], "HOME": "/proc/none", "TMPDIR": str(tmp_path)}

    done = subprocess.run(
        [sys.executable, "-c", code, uri], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout == "23\n"


def test_synthetic_universe_is_labelled_and_reproducible(uri: str, tmp_path: Path) -> None:
    wanted: dict[str, Any] = {"symbols": 7, "days": 30, "end": date(2022, 12, 25)}

    report = write_synthetic(uri, **wanted, seed=5, universe="made_up", macro="made_up_macro")
    again = write_synthetic(uri, **wanted, seed=5, universe="made_up", macro="made_up_macro")
    other = write_synthetic(f"lmdb://{tmp_path / 'other'}?map_size=200MB", **wanted, seed=6)

    assert report.symbols == {"made_up": 7, "made_up_macro": 1}
    assert report.last == date(2022, 12, 23)
    assert (again.written, len(again.unchanged)) == ([], 8)
    assert other.symbols == {"universe": 7}
    item = _read(uri, "made_up", "SYN00003")
    assert item.metadata["synthetic"] is True
    assert len(item.data) == 30
    assert (item.data["close"] > 0).all()


def test_synthetic_universe_grows_in_independent_batches(uri: str) -> None:
    wanted: dict[str, Any] = {"symbols": 3, "days": 10, "end": date(2022, 12, 28), "universe": "grown"}
    write_synthetic(uri, **wanted, seed=1)
    before = _read(uri, "grown", "SYN00002")

    report = write_synthetic(uri, **wanted, seed=2, first=3)

    assert report.written == [f"grown/SYN{number:05}" for number in (3, 4, 5)]
    assert report.symbols == {"grown": 6}
    after = _read(uri, "grown", "SYN00002")
    assert after.version == before.version
    pd.testing.assert_frame_equal(after.data, before.data)


@pytest.mark.parametrize("wanted", [{"symbols": 0, "days": 5}, {"symbols": 5, "days": 0}])
def test_empty_synthetic_universe_is_an_error(uri: str, wanted: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="expected at least 1"):
        write_synthetic(uri, **wanted, end=date(2022, 12, 28), seed=1)
