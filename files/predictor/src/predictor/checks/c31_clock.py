"""The clock agrees with AWS's, which refuses requests signed at the wrong time."""

from __future__ import annotations

from predictor import aws
from predictor.checks.base import Context, Finding

GROUP = "machine"
REMEDY = "Start the time service (chronyd on Amazon Linux, with the server 169.254.169.123), then check `date -u`."

WARN_SECONDS, FAIL_SECONDS = 10.0, 240.0
"""AWS refuses signatures that are more than 5 minutes off (S3: 15). S3's date has a resolution of one second."""


def run(context: Context) -> Finding:
    """Compare this clock with the date of one answer from S3."""
    skew = aws.clock_skew(context.data_bucket)
    detail = f"{abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} S3's clock"
    if abs(skew) > FAIL_SECONDS:
        return Finding("fail", f"{detail}, more than {FAIL_SECONDS:.0f} s: AWS refuses its signatures")
    if abs(skew) > WARN_SECONDS:
        return Finding("warn", f"{detail}, more than {WARN_SECONDS:.0f} s")
    return Finding("pass", f"within {WARN_SECONDS:.0f} s of S3's clock")
