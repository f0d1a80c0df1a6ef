"""Apply the data of awx/ with the project's own playbook."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LONGEST_SECONDS = 600
_RECAP = re.compile(r"^localhost\s*:.*\bchanged=(\d+)\s.*\bfailed=(\d+)", re.MULTILINE)

#: Every input of `playbooks/awx.yml`, for an organisation with addresses that are reserved for examples.
EXAMPLE: Mapping[str, Any] = {
    "awx_organization": "Example",
    "awx_scm_url": "https://git.example.com/example/spot-train.git",
    "awx_scm_branch": "main",
    "awx_image": "registry.example.com/example/spot-train:1.0",
    "awx_role_arn": "arn:aws:iam::123456789012:role/spot-train-awx",
    "awx_role_external_id": "example",
    "awx_access_key_id": "AKIAIOSFODNN7EXAMPLE",
    "awx_secret_access_key": "example",
    "awx_variables": {"data_bucket": "spot-train-data", "transport_bucket": "spot-train-transport"},
    "awx_email": {
        "host": "smtp.example.com",
        "port": 587,
        "use_tls": True,
        "sender": "spot-train@example.com",
        "recipients": ["on-call@example.com"],
    },
    "awx_slack": {"token": "example", "channels": ["#spot-train"]},
}


@dataclass(frozen=True)
class Applied:
    """Exit code and output of `ansible-playbook`, and the number of changed tasks; None if no recap was printed."""

    code: int
    output: str
    changed: int | None


@dataclass(frozen=True)
class Ansible:
    """An installation of Ansible.

    Attributes:
        binaries: `bin` of its environment; by default this Python's.
        home: Its `ANSIBLE_HOME`, with more collections in `collections`; by default the one in `ansible.cfg`.
    """

    binaries: Path = Path(sys.executable).parent
    home: Path | None = None


def apply(
    project: Path,
    url: str,
    token: str,
    given: Mapping[str, Any],
    *options: str,
    ansible: Ansible | None = None,
    playbook: str = "playbooks/awx.yml",
) -> Applied:
    """Apply the data with the organisation's inputs to a controller, whose address and token may be empty."""
    ansible = ansible or Ansible()
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "ANSIBLE_", "CONTROLLER_"))
    }
    if ansible.home:
        kept["ANSIBLE_COLLECTIONS_PATH"] = f"{project / 'collections'}:{ansible.home / 'collections'}"
    answer = subprocess.run(
        [ansible.binaries / "ansible-playbook", playbook, "-e", json.dumps(dict(given)), *options],
        cwd=project,
        env={
            **kept,
            "PATH": f"{ansible.binaries}:{os.environ['PATH']}",
            "ANSIBLE_CONFIG": str(project / "ansible.cfg"),
            "ANSIBLE_HOME": str(ansible.home or project / ".ansible"),
            "ANSIBLE_NOCOLOR": "1",
            "COLUMNS": "1000",
            "CONTROLLER_HOST": url,
            "CONTROLLER_OAUTH_TOKEN": token,
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LONGEST_SECONDS,
        check=False,
    )
    output = answer.stdout + answer.stderr
    recap = _RECAP.search(output)
    return Applied(answer.returncode, output, int(recap[1]) if recap else None)
