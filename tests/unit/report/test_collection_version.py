"""The filter collection_version."""

from __future__ import annotations

import re

from ansible_collections.spot_train.core.plugins.filter.collection_version import collection_version


def test_installed_collection_has_a_version() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+", collection_version("amazon.aws") or "")


def test_missing_collection_has_no_version() -> None:
    assert collection_version("amazon.nothing") is None
