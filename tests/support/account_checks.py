"""Run the control node's checks in the embedded account in a separate process, without a playbook."""

from __future__ import annotations

from typing import Any

from tests.support.account import DATA_BUCKET, TRANSPORT_BUCKET

# Settings of a training run.
SETTINGS: dict[str, Any] = {
    "region": "us-east-1",
    "preflight": False,
    "project": "spot-train",
    "tags": {"project": "spot-train"},
    "types": ["c5.large"],
    "markets": ["spot"],
    "max_price": "",
    "on_demand": {"c5.large": 0.085},
    "subnet_filters": {"default-for-az": "true"},
    "security_group": "spot-train",
    "profile": "spot-train-training",
    "image_parameter": "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64",
    "volume_gb": 30,
    "data_bucket": DATA_BUCKET,
    "transport_bucket": TRANSPORT_BUCKET,
    "arctic_prefix": "arcticdb",
    "artefact_prefixes": ["predictor/", "health/", "data_manifest/"],
    "expiry_role": "spot-train-expiry",
}
# Prints the checks' results and the clock's offset in seconds; its argument is the settings.
SCRIPT = """
import json, sys
sys.path[:0] = ["collections"]
from ansible_collections.spot_train.core.plugins.module_utils.checks import base, runner
from ansible_collections.spot_train.core.plugins.module_utils.checks.context import Context
context = Context(base.Settings.of(json.loads(sys.argv[1])))
print(json.dumps([runner.run_all(context), context.clock_offset()]))
"""
