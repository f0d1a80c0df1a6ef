"""Whether the program that a shown command calls would take what it is given. Nothing is run but parsers."""

from __future__ import annotations

import argparse
import contextlib
import io
import re
import shutil
import subprocess
from collections.abc import Callable
from functools import cache
from importlib import import_module
from pathlib import Path

from click import ClickException
from local_aws.faults import EVENTS, PARAMETERS

from tests.integration.repository.shown import SHELL_WORDS

#: Modules whose parser is `_parser()`; of others the help is read.
WITH_PARSER = {
    "local_aws",
    "tools.benchmarks.preflight_scan",
    "tools.benchmarks.train_scale",
    "tools.drills",
    "tools.drills.soak",
    "tools.drills.training_kills",
}
#: Those of them that are started by their `__main__`.
PACKAGES = {"tools.drills", "local_aws"}
#: What else takes the options that are listed, and no other.
OPTIONS = {
    "tools/clean.sh": set[str](),
    "tools/help.sh": set[str](),
    "tools/lint.sh": set[str](),
    "tools/lock.sh": {"--upgrade"},
    "tools/setup.sh": {"2.21"},
    "tools/stop.sh": set[str](),
}


def complaint(root: Path, words: list[str]) -> str | None:
    """What is wrong with a command, or None.

    Args:
        root: The project's folder.
        words: The command as it came down to, as `shown.resolved` returns it.
    """
    program, *rest = words
    if program in SHELL_WORDS or program == "aws" or words[:2] == ["python", "-c"]:
        return None
    if program == "ansible-playbook":
        return _playbook(root, rest)
    if program == "pkill":
        # Not read from its help, which not every machine has: it has to name what make starts.
        recipes = (root / "Makefile").read_text(encoding="utf-8")
        return None if rest[:2] == ["-KILL", "-f"] and f" {rest[-1]} " in recipes else f"pkill finds no {rest[-1]}"
    if program == "python" and rest[:1] == ["-m"]:
        return _module(root, rest[1], rest[2:])
    if program == "python" and rest:
        program, *rest = rest
    if program in OPTIONS:
        unknown = sorted(set(rest) - OPTIONS[program])
        return f"{program} does not take {', '.join(unknown)}" if unknown else None
    if program == "tools/test.sh":
        return _parsed(_pytest().parse_args, rest[rest[:1] == ["--all"] :])
    if program == "molecule":
        return _scenario(root, rest)
    if (root / program).is_file() and program.endswith(".py"):
        return _named_in_help(root, ["python", program], rest)
    return _named_in_help(root, [program], rest)


def _playbook(root: Path, arguments: list[str]) -> str | None:
    from ansible.cli.playbook import PlaybookCLI

    cli = PlaybookCLI(["ansible-playbook", *arguments])
    cli.init_parser()
    wrong = _parsed(cli.parser.parse_args, arguments)
    if wrong:
        return wrong
    options = cli.parser.parse_args(arguments)
    missing = [name for name in options.args if not (root / name).is_file()]
    missing += [name for name in options.inventory or [] if name == "inventory/aws" and not (root / name).exists()]
    return f"there is no {', '.join(missing)}" if missing else None


def _module(root: Path, name: str, arguments: list[str]) -> str | None:
    if name == "local_aws.substitutions":
        others = [word for word in arguments if not re.match(r"\w+=", word)]
        return f"no NAME=VALUE: {', '.join(others)}" if others else None
    if name == "pytest":
        return _parsed(_pytest().parse_args, arguments)
    if name not in WITH_PARSER:
        return _named_in_help(root, ["python", "-m", name], arguments)
    module = import_module(f"{name}.__main__" if name in PACKAGES else name)
    wrong = _parsed(module._parser().parse_args, arguments)
    if wrong is None and name == "local_aws" and arguments[:1] == ["fault"] and arguments[1] != "clear":
        known = {**PARAMETERS, **EVENTS}.get(arguments[1], {})
        unknown = [word for word in arguments[2:] if word.partition("=")[0] not in known]
        wrong = f"fault {arguments[1]} does not take {', '.join(unknown)}" if unknown or not known else None
    return wrong


def _pytest() -> argparse.ArgumentParser:
    """The options of pytest that pages show."""
    parser = argparse.ArgumentParser(prog="pytest", allow_abbrev=False)
    parser.add_argument("-k")
    parser.add_argument("-p")
    parser.add_argument("-q", action="store_true")
    parser.add_argument("-x", action="store_true")
    parser.add_argument("paths", nargs="*")
    return parser


def _scenario(root: Path, arguments: list[str]) -> str | None:
    from molecule.shell import main

    command, *rest = arguments
    if command not in main.commands:
        return f"molecule has no command {command}"
    try:
        options = main.commands[command].make_context(command, rest).params
    except ClickException as error:
        return f"molecule {command}: {error.format_message()}"
    names = options.get("scenario_name") or []
    missing = [
        name for name in ([names] if isinstance(names, str) else names) if not (root / "molecule" / name).is_dir()
    ]
    return f"there is no scenario {', '.join(missing)}" if missing else None


def _named_in_help(root: Path, program: list[str], arguments: list[str]) -> str | None:
    """For any other program of `.venv` or script: each option is in its help, or in that of its subcommand."""
    found = shutil.which(program[0], path=str(root / ".venv" / "bin"))
    if found is None:
        return f"{program[0]} is no program of .venv"
    subcommand = [word for word in arguments[:1] if re.fullmatch(r"[a-z][a-z-]*", word)]
    text = _help(root, found, *program[1:], *subcommand)
    options = [word.partition("=")[0] for word in arguments if word.startswith("-")]
    unknown = [option for option in options if not re.search(rf"(?<![\w-]){re.escape(option)}(?![\w-])", text)]
    return f"{program[-1]} does not take {', '.join(unknown)}" if unknown else None


@cache
def _help(root: Path, *command: str) -> str:
    answer = subprocess.run([*command, "--help"], cwd=root, capture_output=True, text=True, check=False, timeout=60)
    return answer.stdout + answer.stderr


def _parsed(parse: Callable[[list[str]], object], arguments: list[str]) -> str | None:
    """What a parser of argparse says against some arguments."""
    errors = io.StringIO()
    with contextlib.redirect_stderr(errors), contextlib.redirect_stdout(io.StringIO()):
        try:
            parse(arguments)
        except SystemExit as end:
            return errors.getvalue().strip().splitlines()[-1] if end.code else None
    return None
