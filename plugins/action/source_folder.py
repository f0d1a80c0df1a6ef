"""Copy a folder to the instance as one archive, if it differs from the last one."""

from __future__ import annotations

import gzip
import hashlib
import io
import shlex
import tarfile
import tempfile
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

DOCUMENTATION = r"""
module: source_folder
short_description: Copy a folder to the instance as one archive
description:
  - Over SSM every file costs seconds, so the folder is copied as one archive, and only if its digest differs from
    that of the last transfer.
options:
  path:
    description: Folder on the control node. Version control, caches and environments in it are excluded.
    type: path
    required: true
  dest:
    description: Folder on the instance. Its digest is in C(<dest>.digest).
    type: path
    required: true
"""

# 1980-01-02: wheels are zip files, which cannot hold earlier times.
ZIP_EPOCH = 315619200
LEFT_OUT = {
    ".git",
    "__pycache__",
    ".venv",
    ".mypy_cache",
    ".pytest_cache",
    ".ruff_cache",
    ".hypothesis",
    "dist",
    "build",
}


def pack(folder: Path) -> tuple[bytes, str]:
    """Return a gzipped tar of ``folder`` and its SHA-256 (hex); the same content gives the same bytes."""
    buffer = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=buffer, mode="wb", mtime=0) as compressed,
        tarfile.open(fileobj=compressed, mode="w") as tar,
    ):
        for path in sorted(folder.rglob("*")):
            relative = path.relative_to(folder)
            if LEFT_OUT.intersection(relative.parts) or not (path.is_file() or path.is_symlink()):
                continue
            tar.add(path, arcname=str(relative), recursive=False, filter=_anonymous)
    data = buffer.getvalue()
    return data, hashlib.sha256(data).hexdigest()


def _anonymous(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.mtime = ZIP_EPOCH
    entry.uname = entry.gname = ""
    entry.mode = 0o755 if entry.mode & 0o100 else 0o644
    return entry


class ActionModule(ActionBase):  # type: ignore[misc]
    """See ``DOCUMENTATION``."""

    TRANSFERS_FILES = True
    _VALID_ARGS = frozenset(("path", "dest"))

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Compare digests, then transfer and unpack if they differ."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        folder, dest = Path(self._task.args["path"]), str(self._task.args["dest"])
        if not folder.is_dir():
            raise AnsibleActionFail(f"the training source {folder} is not a folder")
        data, digest = pack(folder)
        quoted = shlex.quote(dest)
        there = self._low_level_execute_command(f"cat {quoted}.digest 2>/dev/null || true")
        result.update(digest=digest, bytes=len(data), changed=digest not in there["stdout"])
        if not result["changed"] or self._task.check_mode:
            return result
        if not self._connection._shell.tmpdir:
            self._make_tmp_path()
        remote = self._connection._shell.join_path(self._connection._shell.tmpdir, "source.tar.gz")
        with tempfile.NamedTemporaryFile(suffix=".tar.gz") as local:
            local.write(data)
            local.flush()
            self._transfer_file(local.name, remote)
        answer = self._low_level_execute_command(
            f"set -e; rm -rf {quoted}.new; mkdir -p {quoted}.new; "
            f"tar -xzf {shlex.quote(remote)} -C {quoted}.new --no-same-owner; "
            f"rm -rf {quoted}; mv {quoted}.new {quoted}; echo {digest} > {quoted}.digest"
        )
        self._remove_tmp_path(self._connection._shell.tmpdir)
        if answer["rc"] != 0:
            detail = (answer["stderr"] or answer["stdout"]).strip()
            raise AnsibleActionFail(f"could not unpack the training source into {dest}: {detail}")
        return result
