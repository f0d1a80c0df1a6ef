"""``sudo`` as sessions and Ansible use it: parsing, and the command's environment (sudo(8), sudoers(5))."""

from __future__ import annotations

import getopt
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

VERSION = "Sudo version 1.9.15 (local_aws shim)"
USAGE = "usage: sudo [-EHiknSsVv] [-p prompt] [-u user] [--preserve-env=list] [VAR=value] [command [arg ...]]"

_SHORT = "AEHKVSiklnsvp:u:"
_LONG = {
    "askpass": "-A",
    "login": "-i",
    "list": "-l",
    "non-interactive": "-n",
    "preserve-env=": "-E=",
    "prompt=": "-p",
    "remove-timestamp": "-K",
    "reset-timestamp": "-k",
    "set-home": "-H",
    "shell": "-s",
    "stdin": "-S",
    "user=": "-u",
    "validate": "-v",
    "version": "-V",
}
_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=")
# Kept when the environment is reset, together with LC_* (sudoers(5), env_keep).
_KEPT = ("TERM", "LANG", "LANGUAGE", "COLORTERM", "COLORS", "DISPLAY", "TZ", "PS1", "PS2", "LS_COLORS")


class UsageError(ValueError):
    """An invalid command line; the text is what to print."""


@dataclass(frozen=True)
class SudoCall:
    """A parsed command line.

    Attributes:
        action: ``run``, ``nothing`` (``-v``, ``-k``), ``list`` or ``version``.
        user: Target, a name or ``#uid``.
        command: Words; empty with ``login`` or ``shell`` for an interactive shell.
        login, shell: ``-i``, ``-s``.
        preserve: ``-E``.
        names: Variables of ``--preserve-env=list``.
        assignments: ``VAR=value`` before the command.
    """

    action: str = "run"
    user: str = "root"
    command: list[str] = field(default_factory=list)
    login: bool = False
    shell: bool = False
    preserve: bool = False
    names: list[str] = field(default_factory=list)
    assignments: dict[str, str] = field(default_factory=dict)


def parse(arguments: Sequence[str]) -> SudoCall:
    """Parse the arguments of ``sudo``; password options (``-n -S -p -A``) and ``-H`` have no effect.

    Raises:
        UsageError: An unknown option, or a missing command.
    """
    # getopt does not support optional values.
    words = ["-E" if word == "--preserve-env" else word for word in arguments]
    try:
        options, rest = getopt.getopt(words, _SHORT, list(_LONG))
    except getopt.GetoptError as error:
        raise UsageError(f"{error.msg}\n{USAGE}") from None
    rest = list(arguments[len(arguments) - len(rest) :])  # as typed
    flags: set[str] = set()
    user, names = "root", ""
    for name, value in options:
        short = _LONG.get(name[2:]) or _LONG.get(f"{name[2:]}=") if name.startswith("--") else name
        if short == "-u":
            user = value
        elif short == "-E=":
            names = value
        else:
            flags.add(str(short))
    assignments = {}
    while rest and _ASSIGNMENT.match(rest[0]):
        name, _, value = rest.pop(0).partition("=")
        assignments[name] = value
    action = "run"
    if "-V" in flags:
        action = "version"
    elif "-l" in flags:
        action = "list"
    elif not rest and flags & {"-v", "-k", "-K"} and not flags & {"-i", "-s"}:
        action = "nothing"
    elif not rest and not flags & {"-i", "-s"}:
        raise UsageError(USAGE)
    return SudoCall(
        action, user, rest, "-i" in flags, "-s" in flags, "-E" in flags, [n for n in names.split(",") if n], assignments
    )


def command_line(call: Mapping[str, Any], shell: str, *, profile: bool = True) -> tuple[list[str], str | None]:
    """The words to execute, and the program if it is not the first of them.

    ``profile`` is whether a login shell may read ``/etc/profile``, which may set the host's PATH.
    """
    words = list(call["command"])
    if not call["login"] and not call["shell"]:
        return words, None
    name = f"-{shell.rsplit('/', 1)[-1]}" if call["login"] and profile else shell
    # sudo(8): for a shell, every character but these is escaped.
    text = " ".join(re.sub(r"([^A-Za-z0-9_\-$])", r"\\\1", word) for word in words)
    return [name, "-c", text] if words else [name], shell


def environment(
    call: Mapping[str, Any], fresh: Mapping[str, str], caller: Mapping[str, str], caller_name: str, caller_uid: int
) -> dict[str, str]:
    """The command's environment: ``fresh``, that of a new session, plus kept, preserved and assigned variables."""
    if call["preserve"]:
        # PATH (secure_path) and the identity are the target's even then.
        kept = {name: value for name, value in caller.items() if name not in fresh or name in _KEPT}
    else:
        names = {*_KEPT, *call["names"]}
        kept = {name: value for name, value in caller.items() if name in names or name.startswith("LC_")}
    marks = {
        "SUDO_USER": caller_name,
        "SUDO_UID": str(caller_uid),
        "SUDO_GID": str(caller_uid),
        "SUDO_COMMAND": " ".join(call["command"])[:4096],  # one variable has a limit (execve(2))
    }
    return {**fresh, **kept, **marks, **call["assignments"]}
