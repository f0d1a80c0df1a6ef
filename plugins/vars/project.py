# Copyright: spot-train contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Vars plugin that gives every playbook of this project the ``group_vars`` at its top level."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible.plugins.vars import BaseVarsPlugin
from ansible.plugins.vars.host_group_vars import VarsModule as HostGroupVars

DOCUMENTATION = r"""
name: project
short_description: The project's group_vars for every playbook in it
description:
  - Ansible looks for C(group_vars) in the playbook's folder. The playbooks of this project are in several folders
    (C(playbooks), C(roles/*/examples)) and share the C(group_vars) at its top level.
  - Their precedence is that of C(group_vars) of a playbook.
requirements:
  - enable in configuration (C(vars_plugins_enabled = host_group_vars, spot_train.core.project))
extends_documentation_fragment: vars_plugin_staging
"""

PROJECT = Path(__file__).resolve().parents[2]
PLAYBOOK_FOLDERS = ("playbooks", "roles/*/examples")


class VarsModule(BaseVarsPlugin):  # type: ignore[misc]
    """See ``DOCUMENTATION``."""

    def get_vars(self, loader: Any, path: str, entities: Any, cache: bool = True) -> dict[str, Any]:
        """Return the variables of hosts and groups; empty for folders that hold no playbooks of this project."""
        folder = Path(path).resolve()
        if not folder.is_relative_to(PROJECT) or not any(map(folder.relative_to(PROJECT).match, PLAYBOOK_FOLDERS)):
            return {}
        variables: dict[str, Any] = HostGroupVars().get_vars(loader, str(PROJECT), entities, cache)
        return variables
