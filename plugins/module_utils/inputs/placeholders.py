"""Placeholders such as `{data_bucket}` in the commands of a training source.

A placeholder is a name in single braces. Other text in braces, for example JSON, stays as it is.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

#: Those of every command.
COMMON = {
    "data_bucket": "Bucket that holds the data and gets the artefacts.",
    "region": "AWS region.",
    "run_date": "The day the data is judged against, YYYY-MM-DD.",
    "run_id": "Id of the run.",
    "source": "Folder of the project on the instance.",
    "config": "The file that `config` names, on the instance.",
    "lock": "The lock file, on the instance.",
    "arctic_prefix": "Path prefix of ArcticDB in the data bucket.",
    "output": "File that gets the command's result (JSON).",
    "work_dir": "Folder on the instance that holds source, environment and results.",
    "training_seconds": "Time limit of the training.",
    "revision": "Commit of the project; empty if it is not in a git repository.",
    "preflight_output": "The preflight's result on the instance (JSON). Missing in a run without a preflight.",
}
#: Those of the training's command, in addition.
TRAINING = {
    "progress": "File that gets the progress (JSON lines).",
    "state_prefix": "Key prefix in the data bucket for state that another attempt resumes from, runs/<run id>.",
}

_PLACEHOLDER = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")


def unknown(arguments: Sequence[Any], known: Collection[str]) -> list[str]:
    """Return the placeholders in `arguments` that are not `known`, in order, each once."""
    named = (name for argument in arguments for name in _PLACEHOLDER.findall(str(argument)))
    return list(dict.fromkeys(name for name in named if name not in known))


def fill(arguments: Sequence[Any], values: Mapping[str, Any], programs: str = "") -> list[str]:
    """Fill in the placeholders of a command; no value becomes a second argument.

    `programs` is the folder of a program given without one. A ValueError reports an unknown placeholder or no command.
    """
    if not arguments:
        raise ValueError("the command is empty")
    if missing := unknown(arguments, values):
        raise ValueError(f"unknown placeholder {{{missing[0]}}} (expected one of {', '.join(sorted(values))})")
    program, *rest = (_PLACEHOLDER.sub(lambda found: str(values[found[1]]), str(each)) for each in arguments)
    return [f"{programs}/{program}" if programs and "/" not in program else program, *rest]
