#!/usr/bin/python
# Copyright: spot-train contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Module that finds out what a training lacks on this machine, in one call over a slow connection."""

from __future__ import annotations

DOCUMENTATION = r"""
module: machine_probe
short_description: Find out what a training lacks on this machine
description:
  - Looks for a Python with C(venv), commands, shared libraries and the dead-man switch. Changes nothing.
options:
  python:
    description: Python for the training, a command or a path.
    type: str
    required: true
  version:
    description:
      - Its required version, for example C(3.12). If O(python) is another, looks for C(python<version>). Empty for any.
    type: str
    default: ""
  commands:
    description: Required commands.
    type: list
    elements: str
    default: []
  libraries:
    description: Required shared libraries, for example C(libgomp.so.1).
    type: list
    elements: str
    default: []
"""

RETURN = r"""
missing:
  description: What is missing, one text for each.
  returned: always
  type: list
  elements: str
python:
  description: Path of the Python found, or empty.
  returned: always
  type: str
python_version:
  description: Its version, or empty.
  returned: always
  type: str
os_family:
  description: C(RedHat), C(Debian) or C(other).
  returned: always
  type: str
dead_man_switch:
  description: Whether a shutdown is scheduled.
  returned: always
  type: bool
memory_mb:
  description: Physical memory.
  returned: always
  type: int
"""

import ctypes
import os
import shutil
import subprocess

from ansible.module_utils.basic import AnsibleModule

FAMILIES = {
    "fedora": "RedHat",
    "rhel": "RedHat",
    "amzn": "RedHat",
    "centos": "RedHat",
    "debian": "Debian",
    "ubuntu": "Debian",
}
VERSION = "import sys, venv, ensurepip; print('%d.%d.%d' % sys.version_info[:3])"


def find_python(name: str, wanted: str) -> tuple[str, str]:
    """Return path and version of a Python that can create environments, or two empty texts.

    ``wanted`` is the required version, for example ``3.12``; ``python3.12`` is accepted, too. Empty for any.
    """
    for command in (name, "python" + wanted) if wanted else (name,):
        path = shutil.which(command) or ""
        if not path:
            continue
        answer = subprocess.run([path, "-c", VERSION], capture_output=True, text=True, check=False)
        version = answer.stdout.strip()
        if answer.returncode == 0 and (not wanted or version.startswith(wanted + ".")):
            return path, version
    return "", ""


def has_library(name: str) -> bool:
    """Whether the dynamic linker finds a library."""
    try:
        ctypes.CDLL(name)
    except OSError:
        return False
    return True


def os_family(path: str = "/etc/os-release") -> str:
    """``RedHat``, ``Debian`` or ``other``, from os-release(5)."""
    fields = {}
    if os.path.exists(path):
        with open(path) as handle:
            for line in handle:
                name, _, value = line.strip().partition("=")
                fields[name] = value.strip('"')
    names = [fields.get("ID", ""), *fields.get("ID_LIKE", "").split()]
    return next((FAMILIES[name] for name in names if name in FAMILIES), "other")


def shutdown_is_scheduled() -> bool:
    """Whether ``shutdown --show`` lists a scheduled shutdown (systemd 250 and later; exit 1 if not)."""
    program = shutil.which("shutdown") or "/usr/sbin/shutdown"
    if not os.path.exists(program):
        return False
    answer = subprocess.run([program, "--show"], capture_output=True, stdin=subprocess.DEVNULL, check=False)
    return answer.returncode == 0


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "python": {"type": "str", "required": True},
            "version": {"type": "str", "default": ""},
            "commands": {"type": "list", "elements": "str", "default": []},
            "libraries": {"type": "list", "elements": "str", "default": []},
        },
        supports_check_mode=True,
    )
    wanted = module.params["version"]
    python, version = find_python(module.params["python"], wanted)
    missing = [] if python else ["a Python {} with venv".format(wanted or module.params["python"])]
    missing += ["command " + name for name in module.params["commands"] if not shutil.which(name)]
    missing += ["library " + name for name in module.params["libraries"] if not has_library(name)]
    module.exit_json(
        changed=False,
        missing=missing,
        python=python,
        python_version=version,
        os_family=os_family(),
        dead_man_switch=shutdown_is_scheduled(),
        memory_mb=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20,
    )


if __name__ == "__main__":
    main()
