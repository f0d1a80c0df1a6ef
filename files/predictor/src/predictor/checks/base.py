"""The checks' input and result, and data that several checks use."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from predictor import aws, last_bars, s3_keys, store
from predictor.config import Config, load
from predictor.errors import PredictorError
from predictor.last_bars import LastBars

if TYPE_CHECKING:
    from predictor.series import Reading
    from predictor.store import ReadOnlyStore
    from predictor.training.panel import Panel, Sessions
    from predictor.training.research import Frames

NAMED = 50
"""Maximum number of names in a detail; the finding's items have all of them."""


@dataclass(frozen=True)
class Finding:
    """The result of a check.

    Attributes:
        status: pass, warn or fail.
        detail: One line: what is wrong and by how much, or what was checked.
        items: Every fault, worst first, for checks that may find many.
        remedy: What to do, if the check's `REMEDY` does not fit.
    """

    status: str
    detail: str
    items: Sequence[str] = ()
    remedy: str | None = None


@dataclass
class Context:
    """The input of the checks, read when the first check needs it.

    Attributes:
        data_bucket: Bucket of prices and results.
        run_date: The day that ages are counted to.
        config_path: The training's configuration.
        lock_path: The lock file of the packages.
        arctic_prefix: Key prefix of ArcticDB.
        training_seconds: Time limit of the training, if known.
        expected: Symbols that the universe must hold, if known.
        work_dir: The training's working folder, whose disk needs space.
        versions: ArcticDB version of each symbol of `reading`, once that is read.
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
            PredictorError: The region is unset, or ArcticDB cannot be opened.
        """
        uri = store.arctic_uri(self.data_bucket, aws.region(), self.arctic_prefix, aws.endpoint())
        return store.ReadOnlyStore(uri)

    @cached_property
    def last_summary(self) -> dict[str, Any] | None:
        """The last training's summary (`s3_keys.summary`), None without one.

        Raises:
            PredictorError: It cannot be read.
        """
        return aws.read_json(self.data_bucket, s3_keys.summary("latest"))

    def library(self, name: str) -> Any:
        """A library, opened once.

        Raises:
            PredictorError: It does not exist or cannot be opened read-only.
        """
        if name not in self._libraries:
            self._libraries[name] = self.store.library(name)
        return self._libraries[name]

    def last_bars(self, library_name: str) -> LastBars:
        """The last bars of a library, read once: two requests per symbol.

        Raises:
            PredictorError: The library or the calendar cannot be used; an unreadable symbol does not raise.
        """
        # An unreachable server costs half a minute per attempt, so a failure is kept for the next check.
        if library_name in self._failures:
            raise self._failures[library_name]
        if library_name not in self._bars:
            try:
                calendar_of = partial(self.config.data.calendar_of, library_name)
                # Other series need not follow an exchange: research may be dated on weekends.
                prices = library_name == self._universe
                library = self.library(library_name)
                self._bars[library_name] = last_bars.ask(library, self.run_date, calendar_of, only_sessions=prices)
            except PredictorError as error:
                self._failures[library_name] = error
                raise
        return self._bars[library_name]

    @cached_property
    def reading(self) -> Reading:
        """The closes of the universe's symbols that have a description: three requests per symbol.

        Raises:
            PredictorError: See `last_bars`.
        """
        from predictor import series

        name = self.config.data.universe_library
        found = series.read(self.library(name), sorted(self.last_bars(name).columns), self.run_date)
        self.versions.update(found.versions)
        return found

    @cached_property
    def sessions(self) -> Sessions:
        """The bars of `reading` compared with their calendars.

        Raises:
            PredictorError: See `last_bars`; or a calendar cannot be used.
        """
        from predictor.training import panel

        return panel.on_sessions(self.reading, self.run_date, self.config)

    @cached_property
    def panel(self) -> Panel:
        """The symbols that can be trained on, aligned as in a training.

        Raises:
            PredictorError: See `sessions`; or no symbol can be trained on.
        """
        from predictor.training import panel

        return panel.align(replace(self.reading, malformed={}), self.sessions, self.config)

    @cached_property
    def research_frames(self) -> Frames:
        """The research on the symbols of the universe.

        Raises:
            PredictorError: The library cannot be read.
        """
        from predictor.training import research

        data = self.config.data
        symbols = self.last_bars(data.universe_library).symbols
        return research.read_frames(self.library(data.research_library), symbols, self.run_date)

    def missing_and_new(self) -> tuple[list[str], list[str]]:
        """Expected symbols that the universe lacks, and its unexpected symbols; both sorted."""
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
        """The report's fields about the universe; 0, empty or None where unknown."""
        name = self._universe
        limit = self.config.data.stale_after_sessions.universe if name else None
        bars = self._bars.get(name, LastBars())
        missing, new = self.missing_and_new()
        ended = self.config.data.known_ended if name else []
        return {
            "symbols": len(bars.symbols),
            "stale": [] if limit is None else [one for one in bars.older_than(limit) if one not in ended],
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
    """Join up to `limit` names for a detail, and count the rest."""
    shown = ", ".join(names[:limit])
    return shown if len(names) <= limit else f"{shown} and {len(names) - limit} more"
