"""The heartbeat of a successful training: one data point of a CloudWatch metric.

It is sent last, so an alarm on its absence catches every earlier failure.
"""

from __future__ import annotations

from typing import Any

from predictor import aws
from predictor.config import Heartbeat
from predictor.errors import one_line


def send(settings: Heartbeat, notes: list[str]) -> dict[str, Any]:
    """Send one heartbeat with value 1.

    Args:
        settings: Namespace, metric, and the value of its dimension `Process`.
        notes: Receives a note if sending fails, which does not fail the training.

    Returns:
        `sent`, and `detail`, one line: the metric, and the error if any.
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
    # An instance that cannot reach CloudWatch must not wait for minutes.
    limits = Config(connect_timeout=5, read_timeout=10, retries={"mode": "standard", "max_attempts": 3})
    try:
        client = boto3.client("cloudwatch", region_name=aws.region(), config=limits)
        client.put_metric_data(Namespace=settings.namespace, MetricData=[datum])
    except Exception as error:  # not only botocore's own errors: a proxy's answer may break its parser
        reason = f"{metric}: {one_line(error)}"
        notes.append(f"the heartbeat could not be sent: {reason}")
        return {"sent": False, "detail": reason}
    return {"sent": True, "detail": metric}
