"""What people see and type: the plugins behind it, importable as Ansible imports them."""

from __future__ import annotations

from pathlib import Path

import ansible.module_utils

ROOT = Path(__file__).resolve().parents[2]

for folder in (ROOT / "plugins" / "module_utils", ROOT / "roles" / "run_report" / "module_utils"):
    ansible.module_utils.__path__.append(str(folder))
