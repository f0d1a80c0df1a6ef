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
    found = []
    starts = _START.findall(rule)
    if not starts:
        found.append("Valid DTSTART required in rrule. Value should start with: DTSTART:YYYYMMDDTHHMMSSZ")
    if _NAIVE_START.search(rule):
        found.append("DTSTART cannot be a naive datetime.  Specify ;TZINFO= or YYYYMMDDTHHMMSSZZ.")
    if len(starts) > 1:
        found.append("Multiple DTSTART is not supported.")
    if "rrule:" not in rule.lower():
        found.append("One or more rule required in rrule.")
    found += [f"{name} not allowed in rrule." for name in ("EXDATE", "RDATE") if f"{name.lower()}:" in rule.lower()]
    for part in _RULE.findall(rule):
        found += _problems_of_part(part)
    if not found:
        try:
            parse(rule)
        except (ValueError, TypeError) as error:
            found.append(f"rrule parsing failed validation: {error}")
    return found


def _problems_of_part(part: str) -> list[str]:
    found = []
    if "interval" not in part.lower():
        found.append(f"INTERVAL required in rrule: {part}")
    if "secondly" in part.lower():
        found.append(f"SECONDLY is not supported: {part}")
    if re.search(r"BYDAY=\d+[A-Z]{2}", part, re.IGNORECASE):
        found.append(f"BYDAY with numeric prefix not supported: {part}")
    if "COUNT" in part and "UNTIL" in part:
        found.append(f"RRULE may not contain both COUNT and UNTIL: {part}")
    count = re.search(r"COUNT=(\d+)", part)
    if count and int(count[1]) > MOST_OCCURRENCES:
        found.append(f"COUNT > {MOST_OCCURRENCES} is unsupported: {part}")
    return found


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
