"""The chart of ages, for one symbol and for 20,000."""

from __future__ import annotations

import re
from collections.abc import Mapping
from html.parser import HTMLParser

import pytest
from ansible_collections.spot_train.core.plugins.module_utils.report.ages import (
    LONGEST_NAMES,
    AgeRow,
    age_axis,
    age_rows,
)
from hypothesis import given, settings
from hypothesis import strategies as st


def drawn(rows: list[AgeRow]) -> list[tuple[str, int, str]]:
    return [(row.label, row.count, row.state) for row in rows]


def width(row: AgeRow) -> float:
    found = re.search(r'<rect class="bar \w+" x="0" y="4" rx="2" width="([\d.]+)%"', row.svg)
    return float(found[1]) if found else 0.0


def universe(count: int, age: int = 0) -> dict[str, int | None]:
    return dict.fromkeys((f"SYM{number:04d}" for number in range(count)), age)


def rows_of(ages: Mapping[str, int | None], limit: int | None = 3) -> list[AgeRow]:
    stale = [name for name, age in ages.items() if age is not None and limit is not None and age > limit]
    return list(age_rows(ages, stale, [], limit))


def test_fresh_universe_ends_at_the_limit() -> None:
    assert drawn(rows_of(universe(20))) == [
        ("up to date", 20, "fresh"),
        ("1 day", 0, "fresh"),
        ("2 days", 0, "fresh"),
        ("3 days", 0, "fresh"),
        ("limit: 3 trading days", 0, "limit"),
    ]


def test_one_stale_symbol_in_5000_is_visible_and_named() -> None:
    rows = rows_of(universe(5000) | {"SYM2500": 37})
    assert drawn(rows)[4:] == [
        ("limit: 3 trading days", 0, "limit"),
        ("4 days", 0, "fresh"),
        ("5 to 9 days", 0, "fresh"),
        ("10 to 20 days", 0, "fresh"),
        ("21 to 62 days", 1, "stale"),
    ]
    assert rows[-1].names == "SYM2500"
    assert width(rows[-1]) > 5
    assert "21 to 62 days: 1 symbol, stale" in rows[-1].svg


def test_one_symbol_is_not_a_full_bar() -> None:
    assert 10 < width(rows_of(universe(1))[0]) < 50


def test_ages_from_0_to_600_have_eleven_rows() -> None:
    ages: dict[str, int | None] = {f"SYM{number:04d}": number % 601 for number in range(5000)}
    rows = rows_of(ages)
    assert len(rows) == 11
    assert sum(row.count for row in rows) == 5000
    assert rows[-1].label == "252 days or more"
    assert rows[-1].names.startswith("SYM0600, SYM1201, ") and rows[-1].names.endswith(" more")
    assert len("".join(row.svg for row in rows)) < 10_000


@pytest.mark.parametrize("limit", [0, 1, 3, 4, 7, 30, 300, 10**6])
def test_limit_separates_fresh_and_stale(limit: int) -> None:
    states = [row.state for row in rows_of({"A": limit, "B": limit + 1, "C": 0}, limit) if row.count or not row.svg]
    assert states[-2:] == ["limit", "stale"]
    assert set(states[:-2]) == {"fresh"}


def test_unknown_limit_has_no_line() -> None:
    assert drawn(rows_of({"A": 1}, None)) == [("up to date", 0, "fresh"), ("1 day", 1, "fresh")]
    assert drawn(rows_of({"A": 0}, -1)) == [("up to date", 1, "stale")]


def test_stale_list_overrides_the_limit() -> None:
    rows = age_rows({"A": 1, "B": 1, "C": 5}, ["A"], [], 3)
    assert [row for row in drawn(rows) if row[1]] == [
        ("1 day", 1, "fresh"),
        ("1 day", 1, "stale"),
        ("5 to 9 days", 1, "fresh"),
    ]


def test_unreadable_symbols_have_their_own_row() -> None:
    rows = age_rows({"A": 0, "B": None, "C": 3}, ["D"], ["C", "E"], 3)
    assert drawn(rows)[-1] == ("age unknown", 4, "unreadable")
    assert rows[-1].names == "B, C, D, E"
    assert age_rows({}, [], [], 3) == []


def test_long_name_is_cut_and_rest_is_counted() -> None:
    rows = age_rows({"A" * 100: 9, "B": 8}, ["A" * 100, "B"], [], 3)
    assert rows[-1].names == "A" * (LONGEST_NAMES - 1) + "… and 1 more"


def test_axis_shows_powers_of_ten() -> None:
    assert re.findall(r">([\d,]+)<", age_axis(rows_of(universe(5000)))) == ["1", "10", "100", "1,000"]
    assert re.findall(r">([\d,]+)<", age_axis(rows_of(universe(1)))) == ["1", "10"]


class Closed(HTMLParser):
    """Checks that an SVG closes every element."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@given(
    st.dictionaries(st.text(max_size=6), st.none() | st.integers(-5, 10**7), max_size=40),
    st.lists(st.text(max_size=6), max_size=5),
    st.none() | st.integers(-3, 10**7),
)
@settings(max_examples=80)
def test_every_symbol_is_drawn_once(ages: dict[str, int | None], unreadable: list[str], limit: int | None) -> None:
    rows = age_rows(ages, [], unreadable, limit)
    assert sum(row.count for row in rows) == len({*ages, *unreadable})
    assert len(rows) <= 14
    for row in rows:
        assert 0 <= width(row) <= 100
        parser = Closed()
        parser.feed(row.svg)
        assert parser.open == []
