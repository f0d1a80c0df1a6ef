"""ArcticDB, opened so that it cannot write.

A default ArcticDB handle writes while it reads: `list_symbols` compacts the symbol list, or tries to, every time.
There is no public read-only option, so the handle is rebuilt in `OpenMode.READ` from its own configuration, through
ArcticDB's private API. That is why requirements.in pins ArcticDB, and why everything that could have changed is
checked here: a handle that is not read-only is an error, never a default handle in its place.

Credentials come from the AWS SDK's own chain (`aws_auth=true`): environment, or the instance's metadata service, at
AWS_EC2_METADATA_SERVICE_ENDPOINT where that is set.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from predictor.errors import StoreError, one_line


def arctic_uri(bucket: str, region: str, prefix: str, endpoint: str | None) -> str:
    """The address ArcticDB takes.

    Args:
        bucket: Data bucket.
        region: AWS region.
        prefix: Key prefix of the libraries, without slashes at its ends.
        endpoint: URL of another S3 than AWS's.

    Returns:
        `s3s://…` for AWS; `s3://` or `s3s://` by the endpoint's scheme otherwise.

    Raises:
        StoreError: The endpoint is no http or https URL.
    """
    if endpoint is None:
        return f"s3s://s3.{region}.amazonaws.com:{bucket}?aws_auth=true&region={region}&path_prefix={prefix}"
    parts = urlsplit(endpoint)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise StoreError(f"the S3 endpoint {endpoint!r} is no http or https address")
    scheme = "s3s" if parts.scheme == "https" else "s3"
    port = parts.port or (443 if scheme == "s3s" else 80)
    return (
        f"{scheme}://{parts.hostname}:{bucket}?port={port}&use_virtual_addressing=false"
        f"&aws_auth=true&region={region}&path_prefix={prefix}"
    )


class ReadOnlyStore:
    """ArcticDB at one address; every library it hands out refuses to write."""

    def __init__(self, uri: str) -> None:
        """Connect.

        Args:
            uri: See `arctic_uri`.

        Raises:
            StoreError: ArcticDB is not installed, or the address cannot be opened.
        """
        try:
            import arcticdb
            from arcticdb.config import set_log_level

            # What it logs is either in order here (an absent library) or raised as well: the one line is ours.
            set_log_level("CRITICAL")
            self._arctic = arcticdb.Arctic(uri)
        except Exception as error:  # ArcticDB raises its own, RuntimeError and ValueError, by place and version
            raise StoreError(f"ArcticDB cannot be opened: {one_line(error)}") from error

    def has_library(self, name: str) -> bool:
        """Whether a library exists.

        Raises:
            StoreError: The bucket cannot be read.
        """
        try:
            return bool(self._arctic.has_library(name))
        except Exception as error:  # as above
            raise StoreError(f"ArcticDB cannot look for library {name!r}: {one_line(error)}") from error

    def library(self, name: str) -> Any:
        """Open a library read-only.

        Args:
            name: For example `universe`.

        Returns:
            An `arcticdb` library whose store is in `OpenMode.READ`.

        Raises:
            StoreError: No such library, it cannot be read, or it cannot be opened read-only.
        """
        if not self.has_library(name):
            raise StoreError(f"ArcticDB has no library {name!r}")
        try:
            return _read_only(self._arctic.get_library(name))
        except StoreError:
            raise
        except Exception as error:  # as above
            raise StoreError(f"ArcticDB library {name!r} cannot be opened read-only: {one_line(error)}") from error


def _read_only(library: Any) -> Any:
    """Rebuild a library's handle in `OpenMode.READ` and make sure that is what came out."""
    from arcticdb.version_store._store import NativeVersionStore
    from arcticdb.version_store.library import Library
    from arcticdb_ext.storage import OpenMode

    default = library._nvs
    configuration, native = default._lib_cfg, default._native_cfg
    # The environment's name is a key within the call and nothing else.
    store = NativeVersionStore.create_lib_from_lib_config(configuration, "read-only", OpenMode.READ, native)
    if store.open_mode != OpenMode.READ:
        raise StoreError(
            f"ArcticDB opened {library.name!r} in mode {store.open_mode}, not read-only: refusing to use it"
        )
    handle = NativeVersionStore(store, repr(library), lib_cfg=configuration, open_mode=OpenMode.READ, native_cfg=native)
    if handle.version_store is None or handle.open_mode() != OpenMode.READ:
        raise StoreError(f"ArcticDB's handle on {library.name!r} does not say that it is read-only: refusing to use it")
    return Library(library.arctic_instance_desc, handle)


def failure(item: Any) -> str | None:
    """Why one item of a batch call failed, None if it did not: ArcticDB puts the error in its place and raises none."""
    from arcticdb.version_store.library import DataError

    return " ".join(str(item.exception_string).split()) if isinstance(item, DataError) else None


def list_symbols(library: Any) -> list[str]:
    """The symbols of a library, sorted.

    Raises:
        StoreError: The list cannot be read.
    """
    try:
        return sorted(str(symbol) for symbol in library.list_symbols())
    except Exception as error:  # as above
        raise StoreError(f"the symbols of library {library.name!r} cannot be listed: {one_line(error)}") from error
