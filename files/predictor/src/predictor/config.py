"""The configuration file, checked: no unknown key, every key without a default, every value of its type and range."""

from __future__ import annotations

import dataclasses
import math
import reprlib
from dataclasses import MISSING, dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from predictor.errors import ConfigError

Model = Literal["momentum", "volatility", "research", "meta"]

MODELS: tuple[Model, ...] = get_args(Model)
"""Every model, in the order of the layers."""

OPTIONAL_MODELS = ("research",)

Section = TypeVar("Section")


@dataclass(frozen=True)
class Bound:
    """The lower bound of a number."""

    least: float
    exclusive: bool = False

    def __str__(self) -> str:
        """The bound for messages."""
        return f"{'more than' if self.exclusive else 'at least'} {self.least:g}"

    def allows(self, value: float) -> bool:
        """Whether a number is within the bound."""
        return value > self.least if self.exclusive else value >= self.least


Count = Annotated[int, Bound(0)]
Positive = Annotated[int, Bound(1)]
Size = Annotated[int, Bound(2)]
NotNegative = Annotated[float, Bound(0)]
AboveZero = Annotated[float, Bound(0, exclusive=True)]


@dataclass(frozen=True)
class StaleAfter:
    """Maximum age of a series in sessions before the run date, for each library."""

    universe: Count
    macro: Count
    research: Count


@dataclass(frozen=True)
class LastRows:
    """The check of the last `rows` of each series; it ignores the moves of the symbols in `known_jumps`."""

    rows: Size
    known_jumps: list[str]


@dataclass(frozen=True)
class Calendars:
    """Exceptions from `Data.calendar`, by symbol of the universe and by library."""

    symbols: dict[str, str] = field(default_factory=dict)
    libraries: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Resources:
    """What training needs: `headroom` times the last training's usage, and at least the two minima (MiB)."""

    min_memory_mb: Positive
    min_disk_mb: Positive
    headroom: Annotated[float, Bound(1)]


@dataclass(frozen=True)
class Data:
    """The input's location, trading days and freshness, and the reaction to data that changed since the preflight.

    `known_ended` are symbols of the universe that no longer trade and may be of any age.
    """

    universe_library: str
    macro_library: str
    research_library: str
    calendar: str
    stale_after_sessions: StaleAfter
    last_rows: LastRows
    macro: dict[str, Literal["fresh", "historical"]]
    changed_since_preflight: Literal["note", "fail"]
    calendars: Calendars = field(default_factory=Calendars)
    known_ended: list[str] = field(default_factory=list)

    def calendar_of(self, library: str, symbol: str) -> str:
        """The calendar of a series."""
        whole = self.calendars.libraries.get(library, self.calendar)
        return self.calendars.symbols.get(symbol, whole) if library == self.universe_library else whole


@dataclass(frozen=True)
class Labels:
    """The forward return: `horizon` in trading days, `clip` as a fraction."""

    horizon: Positive
    clip: AboveZero


@dataclass(frozen=True)
class WalkForward:
    """The folds, in trading days; a fold with fewer rows than the two minima is skipped."""

    min_train_days: Positive
    test_days: Positive
    purge_days: Count
    min_train_rows: Positive
    min_test_rows: Positive


@dataclass(frozen=True)
class LightGBM:
    """Size of the gradient-boosted trees."""

    trees: Positive
    leaves: Size
    learning_rate: AboveZero
    min_rows_in_leaf: Positive
    max_bins: Size


@dataclass(frozen=True)
class Research:
    """Below `min_rows` finite rows, `fallback_buckets` bucket means replace LightGBM."""

    min_rows: Positive
    fallback_buckets: Positive


@dataclass(frozen=True)
class Meta:
    """Ridge penalty of the second layer, without which constant inputs have no solution."""

    alpha: AboveZero


@dataclass(frozen=True)
class MedianIC:
    """`threshold`: minimum median over the folds of the information coefficient."""

    blocking: bool
    threshold: float


@dataclass(frozen=True)
class ShortHistory:
    """`min_rows`: minimum number of rows with a short history."""

    blocking: bool
    min_rows: Positive


@dataclass(frozen=True)
class BeatsIncumbent:
    """`margin`: minimum difference from the incumbent's IC; `min_days`: minimum number of common days."""

    blocking: bool
    margin: float
    min_days: Positive


@dataclass(frozen=True)
class OutputDistribution:
    """`min_std`: minimum standard deviation of the last fold's forecasts."""

    blocking: bool
    min_std: NotNegative


@dataclass(frozen=True)
class TripleBarrier:
    """The last `days`, the minimum `ratio` of the ICs, and the minimum number of rows, `min_pairs`."""

    blocking: bool
    days: Positive
    ratio: AboveZero
    min_pairs: Positive


@dataclass(frozen=True)
class Gates:
    """The promotion gates by name (`predictor.training.gates`); a blocking one that fails prevents promotion."""

    median_ic: MedianIC
    short_history: ShortHistory
    beats_incumbent: BeatsIncumbent
    output_distribution: OutputDistribution
    triple_barrier: TripleBarrier


@dataclass(frozen=True)
class Heartbeat:
    """The CloudWatch metric of successful trainings: `metric` in `namespace`, with the dimension `Process`."""

    namespace: str
    metric: str
    process: str


@dataclass(frozen=True)
class Run:
    """Seed, and threads of LightGBM (0 = all processors)."""

    seed: Count
    threads: Count


@dataclass(frozen=True)
class Config:
    """The whole file."""

    data: Data
    resources: Resources
    models: list[Model]
    labels: Labels
    walk_forward: WalkForward
    lightgbm: LightGBM
    research: Research
    meta: Meta
    gates: Gates
    heartbeat: Heartbeat
    run: Run

    def as_dict(self) -> dict[str, Any]:
        """The configuration as plain JSON types, for manifests."""
        return dataclasses.asdict(self)


def load(path: Path) -> Config:
    """Read and check a YAML file.

    Raises:
        ConfigError: The first fault, with the file's name.
    """
    import yaml  # here, so that a machine without it can report that

    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"cannot read configuration {path}: {' '.join(str(error).split())}") from error
    if not content:
        raise ConfigError(f"configuration {path} is empty")
    try:
        return parse(content)
    except ConfigError as error:
        raise ConfigError(f"configuration {path}: {error}") from None


def parse(content: object) -> Config:
    """Check a configuration that YAML has parsed.

    Raises:
        ConfigError: The first fault, with its dotted name.
    """
    config = _section(Config, content, "")
    if len(set(config.models)) != len(config.models):
        raise _fault("models", "each model once", config.models)
    if missing := [name for name in MODELS if name not in (*config.models, *OPTIONAL_MODELS)]:
        raise ConfigError(f"models: missing {', '.join(missing)}; only {', '.join(OPTIONAL_MODELS)} is optional")
    if config.walk_forward.purge_days < config.labels.horizon:
        # The labels of the training rows would reach into the test window.
        raise _fault(
            "walk_forward.purge_days",
            f"at least labels.horizon, {config.labels.horizon}",
            config.walk_forward.purge_days,
        )
    return config


def _section(kind: type[Section], content: object, name: str) -> Section:
    hints = get_type_hints(kind, include_extras=True)
    found = _value(dict, content, name or "content")
    if unknown := [key for key in found if key not in hints]:
        raise ConfigError(f"{_dotted(name, unknown[0])}: unknown key, expected one of {', '.join(hints)}")
    fields = dataclasses.fields(kind)  # type: ignore[arg-type]  # every section is a dataclass
    required = [one.name for one in fields if one.default_factory is MISSING]
    if missing := [_dotted(name, key) for key in required if key not in found]:
        raise ConfigError(f"{', '.join(missing)}: missing")
    return kind(**{key: _value(hints[key], value, _dotted(name, key)) for key, value in found.items()})


_KINDS = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    list: "a list",
    dict: "a mapping",
}


def _value(hint: Any, value: Any, name: str) -> Any:
    """A value of the type `hint`, which may be a section."""
    if dataclasses.is_dataclass(hint):
        return _section(hint, value, name)  # type: ignore[arg-type]  # is_dataclass is true of instances as well
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is list:
        return [_value(arguments[0], item, name) for item in _value(list, value, name)]
    if origin is dict:
        items = _value(dict, value, name).items()
        return {_value(str, key, name): _value(arguments[1], item, _dotted(name, key)) for key, item in items}
    if origin is Literal:
        if value not in arguments:
            raise _fault(name, " or ".join(arguments), value)
        return value
    kind, bound = arguments if origin is Annotated else (hint, None)
    if kind is float and type(value) is int:
        value = float(value)
    # Not isinstance: a bool is an int.
    if type(value) is not kind or value == "":
        raise _fault(name, _KINDS[kind], value)
    if kind is float and not math.isfinite(value):
        raise _fault(name, "a finite number", value)
    if bound is not None and not bound.allows(value):
        raise _fault(name, str(bound), value)
    return value


def _dotted(name: str, key: object) -> str:
    return f"{name}.{key}".lstrip(".")


def _fault(name: str, expected: str, value: object) -> ConfigError:
    return ConfigError(f"{name}: expected {expected}, got {reprlib.repr(value)}")
