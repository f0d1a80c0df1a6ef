"""Import this before a module of a collection: Ansible finds plugins only in collections that its own finder loaded.

A module that Python's import system loaded first leaves its collection without metadata, and every later lookup of a
plugin in that collection, by any test of the process, ends in "collection metadata was not loaded".
"""

from __future__ import annotations

from pathlib import Path

import ansible.module_utils
from ansible.plugins.loader import init_plugin_loader

init_plugin_loader()


def add_module_utils(role: Path) -> None:
    """Make a role's module_utils importable as Ansible does while the role is in a play: as ansible.module_utils."""
    ansible.module_utils.__path__.append(str(role / "module_utils"))
