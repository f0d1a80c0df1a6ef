"""The libraries that training needs can be imported, including the shared libraries that they link to."""

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
REMEDY = "Find out what the library is missing, usually a system library such as libgomp, and add it to bootstrap."


def run(context: Context) -> Finding:
    """Import each library."""
    broken = []
    for name in LIBRARIES:
        try:
            importlib.import_module(name)
        except Exception as error:  # a library may raise anything: LightGBM without libgomp raises OSError
            broken.append(f"{name} ({one_line(error)})")
    if broken:
        return Finding("fail", f"{len(broken)} of {len(LIBRARIES)} libraries cannot be imported: {'; '.join(broken)}")
    return Finding("pass", f"{len(LIBRARIES)} libraries import")
