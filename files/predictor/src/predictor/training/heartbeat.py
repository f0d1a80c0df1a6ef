"""The sign of life of a training that has succeeded: one point of a CloudWatch metric.

It is sent last of all, so that an alarm on its absence catches everything that can go wrong before.
"""

from __future__ import annotations

from typing import Any

from predictor import aws
from predictor.config import Heartbeat
from predictor.errors import one_line


def send(settings: Heartbeat, notes: list[str]) -> dict[str, Any]:
    """Send one heartbeat, with value 1 and the time at which CloudWatch receives it.

    Args:
        settings: Namespace, metric, and the value of its dimension `Process`.
        notes: Gets a sentence if it could not be sent: the training did succeed, and stays so.

    Returns:
        `sent`, and `detail`, one line: the metric, or why there is none.
    """
    import boto3
    from botocore.config import Config

    metric = f"{settings.namespace}/{settings.metric} with Process={settings.process}"
    datum = {
        "MetricName": settings.metric,
        "Dimensions": [{"Name": "Process", "Value": settings.process}],
        "Value": 1.0,
        "Unit": "Count",
    }
    # An instance without a way to CloudWatch must not wait for minutes before it may end.
    limits = Config(connect_timeout=5, read_timeout=10, retries={"mode": "standard", "max_attempts": 3})
    try:
        client = boto3.client("cloudwatch", region_name=aws.region(), config=limits)
        client.put_metric_data(Namespace=settings.namespace, MetricData=[datum])
    except Exception as error:  # more than botocore's own errors: its parser's on what a proxy answers, for example
        reason = f"{metric}: {one_line(error)}"
        notes.append(f"the heartbeat could not be sent: {reason}")
        return {"sent": False, "detail": reason}
    return {"sent": True, "detail": metric}
