"""Checks of the parameters of faults."""

from __future__ import annotations

import pytest

from local_aws.faults import EVENTS, Faults, check_event
from local_aws.state import LocalAwsError


@pytest.mark.parametrize(
    ("kind", "parameter", "message"),
    [
        ("earthquake", "", "fault: expected one of .*, got 'earthquake'"),
        ("latency", "seconds=3", "fault latency: expected one of action, count, milliseconds, service, got 'seconds'"),
        ("latency", "milliseconds=long", "milliseconds: expected a number of at least 0, got 'long'"),
        ("latency", "milliseconds=-1", "milliseconds: expected a number of at least 0, got '-1'"),
        ("latency", "milliseconds=nan", "milliseconds: expected a number of at least 0, got 'nan'"),
        ("throttle", "count=0", "count: expected at least 1, got '0'"),
        ("throttle", "count=many", "count: expected at least 1, got 'many'"),
        ("throttle", "every=0", "every: expected at least 1, got '0'"),
        ("throttle", "late=true", "service, got 'late'"),
        ("error", "late=perhaps", "late: expected true or false, got 'perhaps'"),
        ("error", "status=200", r"status: expected an HTTP error \(400 to 599\), got '200'"),
        ("vanish", "", "fault vanish: instance: expected an instance id"),
        ("cut", "", "fault cut: instance: expected an instance id"),
        ("interrupt", "seconds=soon", "seconds: expected a number of at least 0, got 'soon'"),
    ],
)
def test_invalid_parameter_is_reported(kind: str, parameter: str, message: str) -> None:
    parameters = dict([parameter.split("=")]) if parameter else {}
    with pytest.raises(LocalAwsError, match=message):
        check_event(kind, parameters) if kind in EVENTS else Faults().add(kind, parameters)
