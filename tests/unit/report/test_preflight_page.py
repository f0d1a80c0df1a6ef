"""The preflight on the page: failures first, every check in its group, the ages of the symbols."""

from __future__ import annotations

import re
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.spot_train.core.plugins.module_utils.report.page import advice, render_page
from ansible_collections.spot_train.core.plugins.module_utils.report.preflight import preflight_context
from ansible_collections.spot_train.core.plugins.module_utils.report.receipt import Inputs, build_receipt

from tests.unit.report.conftest import check

NAMES = [f"SYM{number:04d}" for number in range(5000)]
#: A page of 20 symbols is about 30 kB; 5,000 symbols add their names.
LARGEST_PAGE = 200_000


@pytest.fixture
def inputs(run: Any, preflight: Any, no_leaks: Any, clock: Any) -> Inputs:
    events = [event for step in ("open", "preflight", "terminate") for event in clock.step(step, 10)]
    return Inputs(
        run=run,
        events=[*events, clock.event("playbook_finished")],
        preflight=preflight,
        leaks=no_leaks,
        writes={"data_bucket": 0},
    )


def page_of(inputs: Inputs, template: Path) -> str:
    return str(render_page(build_receipt(inputs), [], template))


def text_of(page: str) -> str:
    """Return the text of a page."""
    body = page.partition("<main>")[2]
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", body)).split())


def in_order(text: str, *parts: str) -> None:
    """Assert that a text contains the parts in this order."""
    at = 0
    for part in parts:
        found = text.find(part, at)
        assert found >= 0, f"{part!r} does not come after the one before it"
        at = found + len(part)


def test_failures_precede_warnings_and_groups(inputs: Inputs, template: Path) -> None:
    assert inputs.preflight is not None
    inputs.preflight["checks"] = [
        check("freshness", "data", "fail", "SYM250 is 37 days old", "Bring it up to date."),
        check("config", "training", "pass", "five sections"),
        check("memory", "machine", "pass", "4.0 GB"),
        check("pins", "software", "fail", "numpy is 1.26.4", "Install the lock file."),
        check("versioning", "account", "warn", "versions are kept", "Switch it off.", tier="controller"),
        check("stranger", "", "pass", "of no group"),
    ]
    in_order(
        text_of(page_of(inputs, template)),
        "6 checks: 3 passed, 1 warning, 2 failed.",
        *("Failed", "freshness", "SYM250 is 37 days old", "Do: Bring it up to date."),
        *("pins", "numpy is 1.26.4", "Do: Install the lock file."),
        *("Warnings", "versioning", "versions are kept", "Do: Switch it off."),
        *("The account", "1 warning", "see above"),
        *("Software", "0 passed, 1 failed", "pins", "see above"),
        *("Machine 1 passed", "Training 1 passed", "Data 0 passed, 1 failed", "Other checks 1 passed", "of no group"),
    )


def test_preflight_without_failures_lists_none(inputs: Inputs, template: Path) -> None:
    text = text_of(page_of(inputs, template))
    assert "Failed" not in text
    in_order(
        text, "Warnings", "macro", "VIX ends in 2019", "Do: Bring VIX up to date.", "The account", "Software", "Data"
    )


def test_intro_has_the_duration_of_both_tiers(inputs: Inputs, template: Path) -> None:
    text = text_of(page_of(inputs, template))
    in_order(
        text,
        "The account was checked before the launch, in 0.3 s.",
        "The instance was checked before any training, in 3.2 s.",
    )


def test_run_that_ended_before_the_instance_shows_its_checks(
    run: Any, clock: Any, inputs: Inputs, template: Path
) -> None:
    assert inputs.preflight is not None
    failing = check("ami", "account", "fail", "ami-0abc is gone", "Choose another image.", tier="controller")
    empty: dict[str, Any] = {
        "symbols": None,
        "ages": {},
        "newest": None,
        "oldest": None,
        "limit": None,
        "seconds": None,
    }
    inputs.preflight |= {"checks": [failing], **empty}
    inputs.events = [
        *clock.step("open", 1, "task_failed", msg="The preflight failed"),
        clock.event("playbook_finished"),
    ]
    text = text_of(page_of(inputs, template))
    assert "No preflight result" not in text
    in_order(
        text,
        "Nothing was launched. Apply the remedies of the failed checks below",
        "The preflight is incomplete: the instance tier did not run.",
        "The instance tier did not run.",
        "ami-0abc is gone",
        "Do: Choose another image.",
    )
    assert "Age of the prices" not in text


def test_preflight_error_without_failed_check_points_at_log(inputs: Inputs, clock: Any) -> None:
    inputs.events = clock.step("preflight", 1, "task_failed", msg="the connection was lost")
    assert advice(build_receipt(inputs)).startswith("Read the step's log")


def test_all_stale_symbols_are_listed_oldest_first(inputs: Inputs, template: Path) -> None:
    stale = NAMES[::100]
    ages: dict[str, int | None] = dict.fromkeys(NAMES, 0)
    ages |= {name: 4 + number for number, name in enumerate(stale)}
    ages[stale[0]] = None
    assert inputs.preflight is not None
    inputs.preflight |= {"ages": ages, "stale": stale, "symbols": 5000}
    receipt = build_receipt(inputs)
    text = text_of(render_page(receipt, [], template))
    assert all(name in text for name in stale)
    assert "5,000 symbols: 4,950 fresh, 49 stale, 1 unreadable." in text
    context = preflight_context(receipt)
    assert context is not None
    assert context["freshness"]["named"][:2] == [(stale[0], "age unknown"), (stale[-1], "53 trading days")]


def test_page_of_5000_symbols_is_small_and_lists_them_all(inputs: Inputs, template: Path) -> None:
    assert inputs.preflight is not None
    small = len(page_of(inputs, template))
    inputs.preflight |= {"ages": dict.fromkeys(NAMES, 0), "symbols": 5000}
    assert len(page_of(inputs, template)) < small + 2000
    inputs.preflight |= {"ages": {name: at % 601 for at, name in enumerate(NAMES)}, "stale": NAMES, "missing": NAMES}
    page = page_of(inputs, template)
    assert all(name in page for name in NAMES)
    assert len(page) < LARGEST_PAGE


def test_missing_new_and_unreadable_symbols_are_listed(inputs: Inputs, template: Path) -> None:
    assert inputs.preflight is not None
    inputs.preflight |= {
        "missing": [f"GONE{number}" for number in range(14)],
        "new": ["CAME"],
        "unreadable": {"BROKEN": "its index object is gone"},
    }
    in_order(
        text_of(page_of(inputs, template)),
        *("1 unreadable.", "Unreadable symbols", "BROKEN : its index object is gone"),
        *("Missing symbols 14", "GONE0, GONE1", "GONE11 2 more symbols GONE12, GONE13"),
        *("New symbols 1", "CAME"),
    )


def test_items_missing_in_the_detail_can_be_unfolded(inputs: Inputs, template: Path) -> None:
    assert inputs.preflight is not None
    broken = check("pins", "software", "fail", "numpy and 1 more", "Install the lock file.")
    inputs.preflight["checks"] = [{**broken, "items": ["numpy", "scipy"]}]
    assert "All 2 entries numpy; scipy" in text_of(page_of(inputs, template))
    inputs.preflight["checks"] = [{**broken, "detail": "numpy, scipy", "items": ["numpy", "scipy"]}]
    assert "All 2 entries" not in text_of(page_of(inputs, template))


def test_empty_preflight_has_a_page(inputs: Inputs, template: Path) -> None:
    assert inputs.preflight is not None
    inputs.preflight |= {"checks": [], "ages": {}}
    text = text_of(page_of(inputs, template))
    assert "The result contains no checks." in text
    assert "the preflight step passed but left no result" in text
