"""The ArcticDB libraries that training reads exist and open read-only."""

from __future__ import annotations

from predictor.checks.base import Context, Finding

GROUP = "data"
REMEDY = "Compare the libraries that the configuration names, and arctic_prefix, with the data bucket."


def run(context: Context) -> Finding:
    """Open each required library."""
    from predictor.errors import PredictorError, one_line

    data = context.config.data
    names = list(dict.fromkeys((data.universe_library, data.macro_library)))
    bad = []
    for name in names:
        try:
            context.library(name)
        except PredictorError as error:
            bad.append(one_line(error))
    if bad:
        return Finding("fail", "; ".join(bad), bad)
    return Finding("pass", f"{', '.join(names)} opened read-only")
