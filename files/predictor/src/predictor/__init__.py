"""Preflight and walk-forward training of a stock-return model, from ArcticDB on S3.

The package runs on the training instance. It knows nothing of Ansible or of where it runs: an AWS region, a data
bucket, a run date and a configuration file are its whole input.
"""

from __future__ import annotations

__version__ = "0.1.0"
