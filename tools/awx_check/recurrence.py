"""Recurrence rules as AWX accepts them: iCalendar with restrictions, and their due times.

A rule has one DTSTART with a time zone (`DTSTART;TZID=America/New_York:…`) or in UTC (`DTSTART:…Z`), a blank, and one
or more `RRULE:…`. As in AWX, dateutil parses it.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import dateutil.parser
import dateutil.rrule
import dateutil.tz

MOST_OCCURRENCES = 999
_START = re.compile(r"DTSTART(?:;[^:\s]+)?:\d+T\d+Z?")
_NAIVE_START = re.compile(r"DTSTART:\d+T\d+(?!\d|Z)")
_RULE = re.compile(r"(?:EX|R)RULE:\S*", re.IGNORECASE)
_UTC = {name: dateutil.tz.UTC for name in dateutil.parser.parserinfo().UTCZONE}


def problems(rule: str) -> list[str]:
    """Why AWX refuses a rule; empty if it accepts the rule."""
    starts, lower = _START.findall(rule), rule.lower()
    checks = (
        (not starts, "Valid DTSTART required in rrule. Value should start with: DTSTART:YYYYMMDDTHHMMSSZ"),
        (_NAIVE_START.search(rule), "DTSTART cannot be a naive datetime.  Specify ;TZINFO= or YYYYMMDDTHHMMSSZZ."),
        (len(starts) > 1, "Multiple DTSTART is not supported."),
        ("rrule:" not in lower, "One or more rule required in rrule."),
        ("exdate:" in lower, "EXDATE not allowed in rrule."),
        ("rdate:" in lower, "RDATE not allowed in rrule."),
    )
    found = [text for wrong, text in checks if wrong]
    for part in _RULE.findall(rule):
        found += _problems_of_part(part)
    if not found:
        try:
            parse(rule)
        except (ValueError, TypeError) as error:
            found.append(f"rrule parsing failed validation: {error}")
    return found


def _problems_of_part(part: str) -> list[str]:
    count = re.search(r"COUNT=(\d+)", part)
    checks = (
        ("interval" not in part.lower(), "INTERVAL required in rrule"),
        ("secondly" in part.lower(), "SECONDLY is not supported"),
        (re.search(r"BYDAY=\d+[A-Z]{2}", part, re.IGNORECASE), "BYDAY with numeric prefix not supported"),
        ("COUNT" in part and "UNTIL" in part, "RRULE may not contain both COUNT and UNTIL"),
        (count and int(count[1]) > MOST_OCCURRENCES, f"COUNT > {MOST_OCCURRENCES} is unsupported"),
    )
    return [f"{text}: {part}" for wrong, text in checks if wrong]


def parse(rule: str) -> dateutil.rrule.rruleset:
    """Parse a rule.

    Raises:
        ValueError: dateutil cannot parse it, or it has no known time zone.
    """
    read = dateutil.rrule.rrulestr(rule, tzinfos=_UTC, forceset=True)
    if any(one._dtstart.tzinfo is None for one in read._rrule):
        raise ValueError("A valid TZID must be provided (e.g., America/New_York)")
    return read


def next_runs(rule: str, after: datetime, count: int = 1) -> list[datetime]:
    """When a schedule is due next after a time with a time zone, as AWX computes it.

    Returns:
        Times in UTC; fewer than `count` if the rule ends. Times that the clock skips in spring are left out.
    """
    read = parse(rule)
    found: list[datetime] = []
    moment: datetime | None = after
    while moment is not None and len(found) < count:
        moment = read.after(moment)
        if moment is not None and dateutil.tz.datetime_exists(moment):
            found.append(moment.astimezone(UTC))
    return found


def forwarded(rule: str, now: datetime) -> str:
    """Move the DTSTART of a minutely or hourly rule to a week ago, if it is earlier; keep the time of day.

    AWX does the same, to avoid iterating over years of occurrences.
    """
    read = parse(rule)
    first = read[0]
    frequent = any(
        one._freq in (dateutil.rrule.MINUTELY, dateutil.rrule.HOURLY) and not one._count for one in read._rrule
    )
    if not frequent or now - first <= timedelta(days=7):
        return rule
    return re.sub(r"(DTSTART[^:]*):[^T]+T", rf"\1:{now - timedelta(days=7):%Y%m%d}T", rule)


def time_zone(rule: str) -> str:
    """Name of a rule's time zone."""
    named = re.search(r"DTSTART;TZID=([^:;\s]+)", rule)
    return named[1] if named else "UTC"
