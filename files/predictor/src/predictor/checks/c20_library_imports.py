"""The libraries that training needs can be imported, each with what it links against."""

from __future__ import annotations

import importlib

from predictor.checks.base import Context, Finding
from predictor.errors import one_line

LIBRARIES = (
    "numpy",
    "pandas",
    "scipy",
    "sklearn.isotonic",
    "sklearn.linear_model",
    "sklearn.model_selection",
    "lightgbm",
    "arcticdb",
    "pyarrow",
    "exchange_calendars",
    "boto3",
    "yaml",
    "packaging",
)

GROUP = "software"
REMEDY = (
    "Look up what the library misses (a system library such as libgomp is the usual cause) and add it to bootstrap."
)


def run(context: Context) -> Finding:
    """Import each library; name every one that fails."""
    broken = []
    for name in LIBRARIES:
        try:
            importlib.import_module(name)
        except Exception as error:  # a library may fail in any way: LightGBM without libgomp raises OSError
            broken.append(f"{name} ({one_line(error)})")
    if broken:
        return Finding("fail", f"{len(broken)} of {len(LIBRARIES)} libraries cannot be imported: {'; '.join(broken)}")
    return Finding("pass", f"{len(LIBRARIES)} libraries import")
