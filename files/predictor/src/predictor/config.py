"""The configuration file, checked: every key required, none unknown, every value of its type and in its range."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

from predictor.errors import ConfigError

MODELS = ("momentum", "volatility", "research", "meta")
"""Every model there is, in the order of the layers."""

OPTIONAL_MODELS = ("research",)

MACRO_KINDS = ("fresh", "historical")

NOTE, FAIL = "note", "fail"
CHANGED_DATA = (NOTE, FAIL)
"""What becomes of a training that reads other versions of the data than the preflight of its run did."""

Section = TypeVar("Section")


@dataclass(frozen=True)
class StaleAfter:
    """Sessions that may lie between a series' last bar and the run date, for each library."""

    universe: int
    macro: int
    research: int


@dataclass(frozen=True)
class LastRows:
    """How the end of each series is looked at: `rows` of it; symbols in `known_jumps` have moved like that for real."""

    rows: int
    known_jumps: list[str]


@dataclass(frozen=True)
class Resources:
    """What training needs: `headroom` times what the last one used, and never less than the two minima (MiB)."""

    min_memory_mb: int
    min_disk_mb: int
    headroom: float


@dataclass(frozen=True)
class Data:
    """Where the input is, how fresh it must be, and what becomes of a training whose data is not the preflight's."""

    universe_library: str
    macro_library: str
    research_library: str
    calendar: str
    stale_after_sessions: StaleAfter
    last_rows: LastRows
    macro: dict[str, str]
    changed_since_preflight: str


@dataclass(frozen=True)
class Labels:
    """The forward return: `horizon` in trading days, `clip` as a fraction."""

    horizon: int
    clip: float


@dataclass(frozen=True)
class WalkForward:
    """The folds, in trading days; a fold with fewer rows than the two minima is skipped."""

    min_train_days: int
    test_days: int
    purge_days: int
    min_train_rows: int
    min_test_rows: int


@dataclass(frozen=True)
class LightGBM:
    """Size of the gradient-boosted trees."""

    trees: int
    leaves: int
    learning_rate: float
    min_rows_in_leaf: int
    max_bins: int


@dataclass(frozen=True)
class Research:
    """When a table of `fallback_buckets` bucket means takes the place of LightGBM: below `min_rows` finite rows."""

    min_rows: int
    fallback_buckets: int


@dataclass(frozen=True)
class Meta:
    """Ridge penalty of the second layer."""

    alpha: float


@dataclass(frozen=True)
class MedianIC:
    """`threshold`: what the median over the folds of the information coefficient must reach."""

    blocking: bool
    threshold: float


@dataclass(frozen=True)
class ShortHistory:
    """`min_rows`: with fewer rows of short history the gate does not judge."""

    blocking: bool
    min_rows: int


@dataclass(frozen=True)
class BeatsIncumbent:
    """`margin`: by how much the IC must exceed the incumbent's; `min_days`: with fewer common days no verdict."""

    blocking: bool
    margin: float
    min_days: int


@dataclass(frozen=True)
class OutputDistribution:
    """`min_std`: smallest standard deviation of the last fold's forecasts."""

    blocking: bool
    min_std: float


@dataclass(frozen=True)
class TripleBarrier:
    """`days` are looked at; `ratio` of the ICs must be reached; with fewer than `min_pairs` rows no verdict."""

    blocking: bool
    days: int
    ratio: float
    min_pairs: int


@dataclass(frozen=True)
class Gates:
    """The promotion gates by name (`predictor.training.gates`); a blocking one that fails keeps the weights back."""

    median_ic: MedianIC
    short_history: ShortHistory
    beats_incumbent: BeatsIncumbent
    output_distribution: OutputDistribution
    triple_barrier: TripleBarrier


@dataclass(frozen=True)
class Heartbeat:
    """The CloudWatch metric that every training that is no dry run sends when it has succeeded, with value 1.

    `metric` in `namespace`, with the dimension `Process` = `process`.
    """

    namespace: str
    metric: str
    process: str


@dataclass(frozen=True)
class Run:
    """Seed, and threads of LightGBM (0 = all processors)."""

    seed: int
    threads: int


@dataclass(frozen=True)
class Config:
    """The whole file."""

    data: Data
    resources: Resources
    models: list[str]
    labels: Labels
    walk_forward: WalkForward
    lightgbm: LightGBM
    research: Research
    meta: Meta
    gates: Gates
    heartbeat: Heartbeat
    run: Run

    def as_dict(self) -> dict[str, Any]:
        """The same as plain JSON types, for manifests."""
        return dataclasses.asdict(self)


_AT_LEAST: Mapping[str, float] = {
    "data.stale_after_sessions.universe": 0,
    "data.stale_after_sessions.macro": 0,
    "data.stale_after_sessions.research": 0,
    "data.last_rows.rows": 2,
    "resources.min_memory_mb": 1,
    "resources.min_disk_mb": 1,
    "resources.headroom": 1,
    "labels.horizon": 1,
    "walk_forward.min_train_days": 1,
    "walk_forward.test_days": 1,
    "walk_forward.purge_days": 0,
    "walk_forward.min_train_rows": 1,
    "walk_forward.min_test_rows": 1,
    "lightgbm.trees": 1,
    "lightgbm.leaves": 2,
    "lightgbm.min_rows_in_leaf": 1,
    "lightgbm.max_bins": 2,
    "research.min_rows": 1,
    "research.fallback_buckets": 1,
    "meta.alpha": 0,
    "gates.short_history.min_rows": 1,
    "gates.beats_incumbent.min_days": 1,
    "gates.output_distribution.min_std": 0,
    "gates.triple_barrier.days": 1,
    "gates.triple_barrier.min_pairs": 1,
    "run.seed": 0,
    "run.threads": 0,
}

_ABOVE_ZERO = ("labels.clip", "lightgbm.learning_rate", "gates.triple_barrier.ratio")


def load(path: Path) -> Config:
    """Read and check a configuration file.

    Args:
        path: A YAML file.

    Returns:
        The configuration.

    Raises:
        ConfigError: With the file's name and the first thing wrong with it.
    """
    import yaml  # here, so that a machine without it still gets a report of what is missing

    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(f"configuration {path} does not exist") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"configuration {path} cannot be read: {error}") from error
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"configuration {path} is not YAML: {' '.join(str(error).split())}") from error
    if not content:
        raise ConfigError(f"configuration {path} is empty: it would train nothing")
    try:
        return parse(content)
    except ConfigError as error:
        raise ConfigError(f"configuration {path}: {error}") from None


def parse(content: object) -> Config:
    """Check a configuration that is already read.

    Args:
        content: What YAML gave.

    Returns:
        The configuration.

    Raises:
        ConfigError: With the dotted name of the first thing that is wrong.
    """
    config = _section(Config, content, "")
    _check_ranges(config)
    _check_models(config.models)
    for series, kind in config.data.macro.items():
        if kind not in MACRO_KINDS:
            raise ConfigError(f"data.macro.{series} is {kind!r}, allowed are {', '.join(MACRO_KINDS)}")
    if (reaction := config.data.changed_since_preflight) not in CHANGED_DATA:
        raise ConfigError(f"data.changed_since_preflight is {reaction!r}, allowed are {', '.join(CHANGED_DATA)}")
    if config.walk_forward.purge_days < config.labels.horizon:
        raise ConfigError(
            f"walk_forward.purge_days {config.walk_forward.purge_days} is below labels.horizon "
            f"{config.labels.horizon}: the labels of the training rows would reach into the test window"
        )
    return config


def _check_models(models: list[str]) -> None:
    if not models:
        raise ConfigError("models is empty: it would train nothing")
    if unknown := [name for name in models if name not in MODELS]:
        raise ConfigError(f"unknown model {', '.join(map(repr, unknown))} in models, known are {', '.join(MODELS)}")
    if len(set(models)) != len(models):
        raise ConfigError("models names one model twice")
    if missing := [name for name in MODELS if name not in models and name not in OPTIONAL_MODELS]:
        raise ConfigError(f"models lacks {', '.join(missing)}: only {', '.join(OPTIONAL_MODELS)} may be left out")


def _check_ranges(config: Config) -> None:
    for name, least in _AT_LEAST.items():
        if (value := _look_up(config, name)) < least:
            raise ConfigError(f"{name} is {value}, must be at least {least}")
    for name in _ABOVE_ZERO:
        if (value := _look_up(config, name)) <= 0:
            raise ConfigError(f"{name} is {value}, must be above 0")


def _look_up(config: Config, name: str) -> Any:
    return reduce(getattr, name.split("."), config)


def _section(kind: type[Section], content: object, name: str) -> Section:
    where = name or "the file"
    if not isinstance(content, dict):
        raise ConfigError(f"{where} must be a mapping, is {_type_name(content)}")
    hints = get_type_hints(kind)
    if unknown := sorted(str(key) for key in content if key not in hints):
        raise ConfigError(f"unknown key {', '.join(map(repr, unknown))} in {where}, known are {', '.join(hints)}")
    if missing := [key for key in hints if key not in content]:
        raise ConfigError(f"{where} lacks {', '.join(missing)}")
    return kind(**{key: _value(hint, content[key], f"{name}.{key}".lstrip(".")) for key, hint in hints.items()})


def _value(hint: Any, value: object, name: str) -> Any:
    if dataclasses.is_dataclass(hint):
        return _section(hint, value, name)  # type: ignore[arg-type]  # is_dataclass is true of instances as well
    if hint == list[str]:
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise ConfigError(f"{name} must be a list of names")
        return list(value)
    if hint == dict[str, str]:
        if not isinstance(value, dict) or not all(isinstance(item, str) for pair in value.items() for item in pair):
            raise ConfigError(f"{name} must map names to names")
        return dict(value)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    # bool is a kind of int to Python, and not to the reader of a configuration.
    if not isinstance(value, hint) or (isinstance(value, bool) and hint is not bool):
        raise ConfigError(f"{name} must be of type {hint.__name__}, is {_type_name(value)} ({value!r})")
    if hint is float and not abs(value) < float("inf"):
        raise ConfigError(f"{name} must be finite, is {value}")
    if hint is str and not value:
        raise ConfigError(f"{name} is empty")
    return value


def _type_name(value: object) -> str:
    return "empty" if value is None else type(value).__name__
