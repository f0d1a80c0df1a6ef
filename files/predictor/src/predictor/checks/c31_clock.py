"""The clock agrees with AWS's: a request signed at the wrong time is refused."""

from __future__ import annotations

from predictor import aws
from predictor.checks.base import Context, Finding

GROUP = "machine"
REMEDY = "Start the time service (chronyd on Amazon Linux, with the server 169.254.169.123), then look at `date -u`."

WARN_SECONDS, FAIL_SECONDS = 10.0, 240.0
"""AWS refuses signatures more than 5 minutes off (S3: 15). S3's clock is told to the second."""


def run(context: Context) -> Finding:
    """Compare this clock with the Date of an answer of S3; one request."""
    skew = aws.clock_skew(context.data_bucket)
    detail = f"{abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} S3's clock"
    if abs(skew) > FAIL_SECONDS:
        return Finding("fail", f"{detail}, more than {FAIL_SECONDS:.0f} s: AWS refuses what is signed with it")
    if abs(skew) > WARN_SECONDS:
        return Finding("warn", f"{detail}, more than {WARN_SECONDS:.0f} s")
    return Finding("pass", f"within {WARN_SECONDS:.0f} s of S3's clock")
