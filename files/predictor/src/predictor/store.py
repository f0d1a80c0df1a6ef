"""ArcticDB, opened read-only.

A default ArcticDB handle writes while it reads: `list_symbols` tries to compact the symbol list on every call. ArcticDB
has no public read-only option, so the handle is rebuilt in `OpenMode.READ` through its private API. Therefore
requirements.in pins ArcticDB, and a handle that turns out not to be read-only is an error.

Credentials come from the AWS SDK's default chain (`aws_auth=true`): the environment, or the instance's metadata service
(at AWS_EC2_METADATA_SERVICE_ENDPOINT if set).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from predictor.errors import StoreError, one_line


def arctic_uri(bucket: str, region: str, prefix: str, endpoint: str | None) -> str:
    """The URI of the libraries.

    Args:
        bucket: Data bucket.
        region: AWS region.
        prefix: Key prefix of the libraries, without leading or trailing slash.
        endpoint: URL of an S3 other than AWS's.

    Returns:
        `s3s://…` for AWS or an https endpoint, `s3://…` for http.

    Raises:
        StoreError: The endpoint is not an http or https URL.
    """
    if endpoint is None:
        return f"s3s://s3.{region}.amazonaws.com:{bucket}?aws_auth=true&region={region}&path_prefix={prefix}"
    parts = urlsplit(endpoint)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise StoreError(f"S3 endpoint: expected an http or https URL, got {endpoint!r}")
    scheme = "s3s" if parts.scheme == "https" else "s3"
    port = parts.port or (443 if scheme == "s3s" else 80)
    return (
        f"{scheme}://{parts.hostname}:{bucket}?port={port}&use_virtual_addressing=false"
        f"&aws_auth=true&region={region}&path_prefix={prefix}"
    )


class ReadOnlyStore:
    """ArcticDB at one URI; its libraries refuse to write."""

    def __init__(self, uri: str) -> None:
        """Connect to a URI from `arctic_uri`.

        Raises:
            StoreError: ArcticDB is not installed, or the URI cannot be opened.
        """
        with _store_errors("open ArcticDB"):
            import arcticdb
            from arcticdb.config import set_log_level

            # Its log repeats what it raises, or reports an absent library, which is not an error here.
            set_log_level("CRITICAL")
            self._arctic = arcticdb.Arctic(uri)

    def has_library(self, name: str) -> bool:
        """Whether a library exists.

        Raises:
            StoreError: The bucket cannot be read.
        """
        with _store_errors(f"look up ArcticDB library {name!r}"):
            return bool(self._arctic.has_library(name))

    def library(self, name: str) -> Any:
        """Open a library in `OpenMode.READ`.

        Raises:
            StoreError: The library does not exist, cannot be read, or cannot be opened read-only.
        """
        if not self.has_library(name):
            raise StoreError(f"ArcticDB has no library {name!r}")
        with _store_errors(f"open ArcticDB library {name!r} read-only"):
            return _read_only(self._arctic.get_library(name))


def _read_only(library: Any) -> Any:
    """Rebuild a library's handle in `OpenMode.READ`, and verify its mode."""
    from arcticdb.version_store._store import NativeVersionStore
    from arcticdb.version_store.library import Library
    from arcticdb_ext.storage import OpenMode

    default = library._nvs
    configuration, native = default._lib_cfg, default._native_cfg
    # The environment's name is only a key within this call.
    store = NativeVersionStore.create_lib_from_lib_config(configuration, "read-only", OpenMode.READ, native)
    if store.open_mode != OpenMode.READ:
        raise StoreError(f"ArcticDB opened {library.name!r} in mode {store.open_mode}, not read-only: refused")
    handle = NativeVersionStore(store, repr(library), lib_cfg=configuration, open_mode=OpenMode.READ, native_cfg=native)
    if handle.version_store is None or handle.open_mode() != OpenMode.READ:
        raise StoreError(f"ArcticDB's handle on {library.name!r} is not read-only: refused")
    return Library(library.arctic_instance_desc, handle)


def failure(item: Any) -> str | None:
    """The error of one item of a batch call, which ArcticDB returns in its place; None if it succeeded."""
    from arcticdb.version_store.library import DataError

    return " ".join(str(item.exception_string).split()) if isinstance(item, DataError) else None


def list_symbols(library: Any) -> list[str]:
    """The symbols of a library, sorted.

    Raises:
        StoreError: The list cannot be read.
    """
    with _store_errors(f"list the symbols of library {library.name!r}"):
        return sorted(str(symbol) for symbol in library.list_symbols())


@contextmanager
def _store_errors(doing: str) -> Iterator[None]:
    try:
        yield
    except StoreError:
        raise
    except Exception as error:  # ArcticDB has no common base class for its errors
        raise StoreError(f"cannot {doing}: {one_line(error)}") from error
