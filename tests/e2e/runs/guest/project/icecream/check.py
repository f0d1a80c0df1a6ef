"""`icecream-check`: an exit code and a line, and no more."""

from __future__ import annotations

import argparse
import sys
from datetime import date

import boto3

from . import sales


def main() -> int:
    """Run; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--from", dest="bucket", required=True)
    parser.add_argument("--until", type=date.fromisoformat, required=True)
    options = parser.parse_args()
    days, _, _ = sales.read(boto3.client("s3"), options.bucket)
    age = (options.until - days[-1]).days
    print(f"{len(days)} days, the last one {age} days old")
    return 0 if 0 <= age <= 7 else 1


if __name__ == "__main__":
    sys.exit(main())
