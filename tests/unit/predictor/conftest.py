from __future__ import annotations

from tests.support.predictor import (
    config,
    config_file,
    default_settings,
    environment,
    frames,
    settings,
    walks,
)

__all__ = [
    "config",
    "config_file",
    "default_settings",
    "environment",
    "frames",
    "settings",
    "walks",
]
