"""What the checks share: their input, their result, and work that more than one of them needs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from predictor import aws, last_bars, s3_keys, store
from predictor.config import Config, load
from predictor.errors import PredictorError
from predictor.last_bars import LastBars

if TYPE_CHECKING:
    from predictor.store import ReadOnlyStore

NAMED = 50
"""So many names a detail has; the rest is counted in it, and listed in the finding's items."""


@dataclass(frozen=True)
class Finding:
    """What a check found.

    Attributes:
        status: pass, warn or fail.
        detail: One line: what is wrong, with what, by how much; or what was looked at.
        items: Every single thing that is wrong, worst first, where there may be many.
        remedy: What to do, where the check's own `REMEDY` does not fit.
    """

    status: str
    detail: str
    items: Sequence[str] = ()
    remedy: str | None = None


@dataclass
class Context:
    """What the checks are about. Nothing is read before the first check that needs it.

    Attributes:
        data_bucket: Bucket of prices and results.
        run_date: The day that freshness is judged by.
        config_path: The training's configuration.
        lock_path: The lock file that the packages came from.
        arctic_prefix: Key prefix of ArcticDB.
        training_seconds: How long the training may take at most; None if nobody said.
        expected: Symbols that the universe must have; None if nobody said.
        work_dir: The folder that training works in; its disk is the one that must have room.
        versions: ArcticDB version of each symbol of the universe whose last rows were read.
    """

    data_bucket: str
    run_date: date
    config_path: Path
    lock_path: Path
    arctic_prefix: str
    training_seconds: int | None = None
    expected: Sequence[str] | None = None
    work_dir: Path = field(default_factory=Path.cwd)
    versions: dict[str, int] = field(default_factory=dict)
    _libraries: dict[str, Any] = field(default_factory=dict)
    _bars: dict[str, LastBars] = field(default_factory=dict)
    _failures: dict[str, PredictorError] = field(default_factory=dict)

    @cached_property
    def config(self) -> Config:
        """The configuration.

        Raises:
            ConfigError: See `predictor.config.load`.
        """
        return load(self.config_path)

    @cached_property
    def store(self) -> ReadOnlyStore:
        """ArcticDB, read-only.

        Raises:
            PredictorError: No region, or ArcticDB cannot be opened.
        """
        uri = store.arctic_uri(self.data_bucket, aws.region(), self.arctic_prefix, aws.endpoint())
        return store.ReadOnlyStore(uri)

    @cached_property
    def last_summary(self) -> dict[str, Any] | None:
        """The summary that the last training left (`s3_keys.summary`); None if there was none.

        Raises:
            PredictorError: It cannot be read.
        """
        return aws.read_json(self.data_bucket, s3_keys.summary("latest"))

    def library(self, name: str) -> Any:
        """A library, opened once.

        Raises:
            PredictorError: It is absent, or cannot be opened read-only.
        """
        if name not in self._libraries:
            self._libraries[name] = self.store.library(name)
        return self._libraries[name]

    def last_bars(self, library_name: str) -> LastBars:
        """Where each series of a library ends, asked once: two requests a symbol.

        Raises:
            PredictorError: The library or the calendar cannot be used; one bad symbol does not raise.
        """
        # A server that does not answer costs half a minute a question: the second check gets the first one's answer.
        if library_name in self._failures:
            raise self._failures[library_name]
        if library_name not in self._bars:
            try:
                calendar = self.config.data.calendar
                self._bars[library_name] = last_bars.ask(self.library(library_name), calendar, self.run_date)
            except PredictorError as error:
                self._failures[library_name] = error
                raise
        return self._bars[library_name]

    def missing_and_new(self) -> tuple[list[str], list[str]]:
        """Expected symbols that the universe lacks, and symbols in it that were not expected; both sorted."""
        bars = self._bars.get(self._universe)
        if self.expected is None or bars is None:
            return [], []
        found, expected = set(bars.symbols), set(self.expected)
        return sorted(expected - found), sorted(found - expected)

    @property
    def _universe(self) -> str:
        try:
            return self.config.data.universe_library
        except PredictorError:
            return ""

    def freshness_report(self) -> dict[str, Any]:
        """The universe's ages for the report; zero, empty or None where they were not to be had."""
        name = self._universe
        limit = self.config.data.stale_after_sessions.universe if name else None
        bars = self._bars.get(name, LastBars())
        missing, new = self.missing_and_new()
        return {
            "symbols": len(bars.symbols),
            "stale": [] if limit is None else bars.older_than(limit),
            "unreadable": bars.unreadable,
            "newest": max(bars.days.values()).isoformat() if bars.days else None,
            "oldest": min(bars.days.values()).isoformat() if bars.days else None,
            "ages": bars.ages,
            "limit": limit,
            "missing": missing,
            "new": new,
            "versions": self.versions,
        }


def name_some(names: Sequence[str], limit: int = NAMED) -> str:
    """Join names for a detail; after `limit` of them say how many more there are."""
    shown = ", ".join(names[:limit])
    return shown if len(names) <= limit else f"{shown} and {len(names) - limit} more"
