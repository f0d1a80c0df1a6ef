"""Placeholders: what `{data_bucket}` and the like in the commands of a training source stand for.

A command is written once, as a whole argument list; the values of a run are filled in when it is started. A placeholder
is a name in single braces. Everything else in braces stays as it is, JSON for example.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

#: In every command.
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
    "revision": "Commit of the project; empty where it is in no git repository.",
    "preflight_output": "The preflight's result on the instance (JSON). Not there in a run without preflight.",
}
#: In the training's command, too.
TRAINING = {
    "progress": "File that gets the progress (JSON lines).",
    "state_prefix": "Key prefix in the data bucket for what another attempt can go on from, runs/<run id>.",
}

_PLACEHOLDER = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")


def unknown(arguments: Sequence[Any], known: Collection[str]) -> list[str]:
    """The placeholders in `arguments` that are not `known`, in their order, each once."""
    named = (name for argument in arguments for name in _PLACEHOLDER.findall(str(argument)))
    return list(dict.fromkeys(name for name in named if name not in known))


def fill(arguments: Sequence[Any], values: Mapping[str, Any], programs: str = "") -> list[str]:
    """Fill the placeholders of a command in, each argument by itself: no value becomes a second argument.

    Args:
        arguments: Program and arguments.
        values: What each placeholder stands for.
        programs: Folder of a program that is named without one.

    Raises:
        ValueError: A placeholder stands for nothing, or there is no program.
    """
    if not arguments:
        raise ValueError("the command is empty")
    if missing := unknown(arguments, values):
        raise ValueError(f"{{{missing[0]}}} stands for nothing here; there is {', '.join(sorted(values))}")
    program, *rest = (_PLACEHOLDER.sub(lambda found: str(values[found[1]]), str(each)) for each in arguments)
    return [f"{programs}/{program}" if programs and "/" not in program else program, *rest]
