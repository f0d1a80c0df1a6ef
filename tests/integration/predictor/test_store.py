from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import predictor
import pytest
from predictor.errors import StoreError
from predictor.store import ReadOnlyStore, list_symbols


def test_only_a_default_handle_writes_while_it_lists(bucket: Any) -> None:
    import arcticdb

    days = pd.date_range("2022-01-03", periods=3)
    bucket.write("universe", {f"S{n:03}": pd.DataFrame({"close": np.arange(3.0) + n}, index=days) for n in range(60)})
    written = len(bucket.server.writes(bucket.name))

    # The symbol list is not compacted, so a default handle writes while it lists.
    library = ReadOnlyStore(bucket.uri).library("universe")
    symbols = list_symbols(library)
    library.get_description_batch(symbols)
    library.read_batch(symbols[:5])
    after_read_only = len(bucket.server.writes(bucket.name))
    arcticdb.Arctic(bucket.uri)["universe"].list_symbols()
    after_default = len(bucket.server.writes(bucket.name))

    assert len(symbols) == 60
    assert after_read_only - written == 0
    assert after_default - after_read_only > 0


def test_read_only_handle_refuses_to_write(universe: Any) -> None:
    library = ReadOnlyStore(universe.uri).library("universe")

    with pytest.raises(Exception, match="write not permitted"):
        library.write("S00", pd.DataFrame({"close": [1.0]}, index=pd.date_range("2022-01-03", periods=1)))


def test_absent_library_is_named(universe: Any) -> None:
    with pytest.raises(StoreError, match="ArcticDB has no library 'absent'"):
        ReadOnlyStore(universe.uri).library("absent")


def test_writable_handle_is_refused(universe: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from arcticdb.version_store._store import NativeVersionStore
    from arcticdb_ext.storage import OpenMode

    original = NativeVersionStore.create_lib_from_lib_config

    def ignores_the_mode(configuration: Any, env: str, mode: Any, native: Any) -> Any:
        return original(configuration, env, OpenMode.DELETE, native)

    monkeypatch.setattr(NativeVersionStore, "create_lib_from_lib_config", staticmethod(ignores_the_mode))

    with pytest.raises(StoreError, match="not read-only: refused"):
        ReadOnlyStore(universe.uri).library("universe")


@pytest.mark.parametrize("missing", ["_lib_cfg", "_native_cfg"])
def test_changed_private_api_is_an_error(universe: Any, monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    from arcticdb.version_store._store import NativeVersionStore

    original: Callable[..., None] = NativeVersionStore.__init__

    def without(self: Any, *args: Any, **kwargs: Any) -> None:
        original(self, *args, **kwargs)
        delattr(self, missing)

    monkeypatch.setattr(NativeVersionStore, "__init__", without)

    with pytest.raises(StoreError, match="cannot open ArcticDB library 'universe' read-only: AttributeError"):
        ReadOnlyStore(universe.uri).library("universe")


def test_missing_bucket_is_a_one_line_error(bucket: Any) -> None:
    with pytest.raises(StoreError) as caught:
        ReadOnlyStore(bucket.uri.replace(bucket.name, "no-such-bucket")).library("universe")

    assert "\n" not in str(caught.value)


def test_arcticdb_gets_its_threads_on_import() -> None:
    """In the preflight, a check imports it before the store is opened."""
    code = (
        "import predictor.checks.base, arcticdb, arcticdb_ext\n"
        "print(arcticdb_ext.get_config_int('VersionStore.NumIOThreads'))"
    )
    kept = {name: value for name, value in os.environ.items() if name != predictor.IO_THREADS_VARIABLE}

    ours = subprocess.run([sys.executable, "-c", code], env=kept, capture_output=True, text=True, check=True)
    chosen = {**kept, predictor.IO_THREADS_VARIABLE: "5"}
    theirs = subprocess.run([sys.executable, "-c", code], env=chosen, capture_output=True, text=True, check=True)

    assert (ours.stdout.strip(), theirs.stdout.strip()) == (predictor.IO_THREADS, "5")
