"""The data: `sales/days.csv` in the bucket, one line a day: day, temperature (degrees Celsius), sold."""

from __future__ import annotations

import csv
import io
from datetime import date
from typing import Any

import numpy as np
from numpy.typing import NDArray

KEY = "sales/days.csv"
Table = tuple[list[date], NDArray[np.float64], NDArray[np.float64]]


def read(s3: Any, bucket: str) -> Table:
    """The days, their features (days x 8: temperature, one column a day of the week) and what was sold."""
    text = s3.get_object(Bucket=bucket, Key=KEY)["Body"].read().decode()
    rows = list(csv.DictReader(io.StringIO(text)))
    days = [date.fromisoformat(row["day"]) for row in rows]
    features = np.zeros((len(rows), 8))
    features[:, 0] = [float(row["temperature"]) for row in rows]
    features[np.arange(len(rows)), [1 + day.weekday() for day in days]] = 1.0
    return days, features, np.array([float(row["sold"]) for row in rows])
