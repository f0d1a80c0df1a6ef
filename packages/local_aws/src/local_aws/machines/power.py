"""``shutdown`` and similar commands: parsing, and their output (shutdown(8) of systemd)."""

from __future__ import annotations

import datetime as dt
import getopt
import re
from collections.abc import Sequence
from dataclasses import dataclass

POWEROFF, REBOOT = "poweroff", "reboot"
NOT_SYSTEMD = (
    "System has not been booted with systemd as init system (PID 1). Can't operate.\n"
    "Failed to connect to bus: Host is down"
)


class PowerError(ValueError):
    """An invalid command line; the text is what to print."""


@dataclass(frozen=True)
class PowerCall:
    """A parsed command line.

    Attributes:
        action: ``schedule``, ``cancel``, ``show`` or ``nothing`` (``-k``: only warn).
        kind: ``poweroff`` (also for ``halt``) or ``reboot``.
        minutes: From now; 0 for at once.
    """

    action: str
    kind: str = POWEROFF
    minutes: float = 0.0


def parse(name: str, arguments: Sequence[str], now: dt.datetime) -> PowerCall:
    """Parse a command line of ``shutdown``, ``poweroff``, ``halt``, ``reboot``, ``telinit`` or ``systemctl``.

    ``now`` is the local time, for ``hh:mm``. Raises PowerError if it is invalid.
    """
    if name == "shutdown":
        return _shutdown(arguments, now)
    if name in ("telinit", "init"):
        kinds = {"0": POWEROFF, "6": REBOOT}
        if len(arguments) != 1 or arguments[0] not in kinds:
            raise PowerError(f"{name}: expected run level 0 or 6, got {' '.join(arguments) or 'none'}")
        return PowerCall("schedule", kinds[arguments[0]])
    if name == "systemctl":
        return _systemctl(arguments)
    options, _ = _getopt(name, arguments, "fpwdnih", ["force", "poweroff", "halt", "reboot", "wtmp-only", "no-wall"])
    if {"-w", "--wtmp-only"} & options:
        return PowerCall("nothing")
    kind = REBOOT if name == "reboot" else POWEROFF
    if "--reboot" in options:
        kind = REBOOT
    elif options & {"-p", "--poweroff", "--halt"}:
        kind = POWEROFF
    return PowerCall("schedule", kind)


def scheduled(kind: str, at: dt.datetime) -> str:
    """The message of systemd for a shutdown at ``at`` (an aware local time)."""
    what = "Reboot" if kind == REBOOT else "Shutdown"
    return f"{what} scheduled for {at:%a %Y-%m-%d %H:%M:%S %Z}, use 'shutdown -c' to cancel."


def _shutdown(arguments: Sequence[str], now: dt.datetime) -> PowerCall:
    long = ["poweroff", "halt", "reboot", "no-wall", "show"]
    options, words = _getopt("shutdown", arguments, "PHhrkct:", long)
    if "-c" in options:
        return PowerCall("cancel")
    if "--show" in options:
        return PowerCall("show")
    if "-k" in options:
        return PowerCall("nothing")
    kind = REBOOT if options & {"-r", "--reboot"} else POWEROFF
    return PowerCall("schedule", kind, _minutes(words[0] if words else "+1", now))


def _minutes(text: str, now: dt.datetime) -> float:
    if text == "now":
        return 0.0
    if re.fullmatch(r"\+?\d+", text):
        return float(text)
    clock = re.fullmatch(r"(\d{1,2}):(\d{2})", text)
    if clock and int(clock[1]) < 24 and int(clock[2]) < 60:
        at = now.replace(hour=int(clock[1]), minute=int(clock[2]), second=0, microsecond=0)
        if at <= now:
            at += dt.timedelta(days=1)
        return (at - now).total_seconds() / 60
    raise PowerError(f"Failed to parse time specification: {text}")


def _systemctl(arguments: Sequence[str]) -> PowerCall:
    words = [word for word in arguments if not word.startswith("-")]
    kinds = {"poweroff": POWEROFF, "halt": POWEROFF, "reboot": REBOOT}
    if len(words) != 1 or words[0] not in kinds:
        raise PowerError(NOT_SYSTEMD)
    return PowerCall("schedule", kinds[words[0]])


def _getopt(name: str, arguments: Sequence[str], short: str, long: list[str]) -> tuple[set[str], list[str]]:
    try:
        options, words = getopt.gnu_getopt(list(arguments), short, long)
    except getopt.GetoptError as error:
        raise PowerError(f"{name}: {error.msg}") from None
    return {option for option, _ in options}, words
