"""Stands for the callback that AWX enables in every job: it records which collections the job could load."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from ansible.cli.galaxy import with_collection_artifacts_manager
from ansible.galaxy.collection import find_existing_collections
from ansible.plugins.callback import CallbackBase
from ansible.utils.collection_loader import AnsibleCollectionConfig

DOCUMENTATION = """
name: indirect_instance_count
type: notification
short_description: Stands for the callback of AWX
description: Records the installed collections in the job's artifacts.
"""


class CallbackModule(CallbackBase):  # type: ignore[misc]
    """Writes `ansible_data.json`, as the callback of AWX does."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "indirect_instance_count"
    CALLBACK_NEEDS_ENABLED = True

    def v2_playbook_on_stats(self, stats: Any) -> None:
        """Write the collections that the job finds."""
        found = {one.fqcn: {"version": one.ver} for one in _installed()}
        path = Path(os.environ["AWX_ISOLATED_DATA_DIR"]) / "ansible_data.json"
        path.write_text(json.dumps({"installed_collections": found}), encoding="utf-8")


@with_collection_artifacts_manager  # type: ignore[untyped-decorator]
def _installed(artifacts_manager: Any = None) -> list[Any]:
    artifacts_manager.require_build_metadata = False
    return list(find_existing_collections(AnsibleCollectionConfig.collection_paths, artifacts_manager, dedupe=False))
