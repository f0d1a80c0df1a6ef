"""The version of a collection, which the receipt tells."""

from __future__ import annotations

import re

from ansible_collections.spot_train.core.plugins.filter.collection_version import collection_version


def test_a_collection_that_is_there_has_a_version() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+", collection_version("amazon.aws") or "")


def test_one_that_is_not_there_has_none() -> None:
    assert collection_version("amazon.nothing") is None
