"""Every calendar of exchange-calendars can be used: it knows the month from which its limits are read."""

from __future__ import annotations

from datetime import date

import exchange_calendars
import pytest
from predictor.exchange import calendar

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("name", exchange_calendars.get_calendar_names(include_aliases=False))
def test_every_calendar_of_the_library_can_be_used(name: str) -> None:
    assert len(calendar(name, date(2021, 1, 1), date(2021, 2, 1)).sessions) > 10
