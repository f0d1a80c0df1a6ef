"""Keep one document in the folder of a run."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

DOCUMENTATION = r"""
module: run_record
short_description: Keep one document in the folder of a run
description:
  - Writes a file on the controller, which the owner may write and the group may read. Whoever reads it meanwhile finds
    the old content or the new one, whole.
  - Runs on the controller and needs no connection. ansible.builtin.copy does the same with two modules, each a process
    of its own; a run keeps five documents.
options:
  dest:
    description: The file. Its folder is there.
    type: path
    required: true
  content:
    description: What it gets, for example by the filter P(ansible.builtin.to_nice_json#filter).
    type: str
    required: true
attributes:
  check_mode:
    support: full
"""


class ActionModule(ActionBase):  # type: ignore[misc]
    """See ``DOCUMENTATION``."""

    TRANSFERS_FILES = False
    _VALID_ARGS = frozenset(("dest", "content"))
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Write it, if it says something else than the file does."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        spec = {"dest": {"type": "path", "required": True}, "content": {"type": "str", "required": True}}
        _, arguments = self.validate_argument_spec(argument_spec=spec)
        path, content = Path(arguments["dest"]).absolute(), arguments["content"].encode()
        try:
            changed = not path.exists() or path.read_bytes() != content
            if changed and not self._task.check_mode:
                write(path, content)
        except OSError as error:
            raise AnsibleActionFail(f"{path} cannot be written: {error.strerror}") from error
        return {**result, "changed": changed}


def write(path: Path, content: bytes) -> None:
    """Put a file in its place at once, so that there is never half of it.

    Raises:
        OSError: It cannot be written; the old one, if there was one, is still there.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o640), "wb") as file:
            file.write(content)
        partial.replace(path)
    except OSError:
        partial.unlink(missing_ok=True)
        raise
