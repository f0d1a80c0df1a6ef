"""Ansible's own finder of collections, before anything imports from one.

A module that Python's import system loads first leaves its collection without metadata, and every later look-up of a
plugin in that collection, by any test of the process, ends in "collection metadata was not loaded".
"""

from __future__ import annotations

import os
from pathlib import Path

# Read once, when Ansible's configuration is first imported.
os.environ.setdefault("ANSIBLE_CONFIG", str(Path(__file__).resolve().parents[1] / "ansible.cfg"))

from ansible.plugins.loader import init_plugin_loader

init_plugin_loader()
