#!/usr/bin/python
# Copyright: spot-train contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Module that installs exactly the packages in a lock file, and one project, into a virtual environment."""

from __future__ import annotations

DOCUMENTATION = r"""
module: locked_environment
short_description: Create a virtual environment from a lock file with hashes
description:
  - Installs C(uv) into a separate environment, then the packages in the lock file, with hashes required, then the
    project offline and without its dependencies.
  - Does nothing if the stamp of Python, lock file and source matches. An incomplete environment has no stamp and is
    recreated.
options:
  python:
    description: Python of the environment, a command or a path.
    type: str
    required: true
  source:
    description: Folder of the project.
    type: path
    required: true
  lock:
    description: Lock file with hashes, relative to O(source).
    type: str
    required: true
  environment:
    description: Folder of the environment.
    type: path
    required: true
  tools:
    description: Folder of the environment with C(uv).
    type: path
    required: true
  tools_lock:
    description: Content of a lock file with hashes for C(uv).
    type: str
    required: true
"""

RETURN = r"""
packages:
  description: Number of packages in the lock file.
  returned: success
  type: int
lock_sha256:
  description: Digest of the lock file.
  returned: success
  type: str
python_version:
  description: Version of the environment's Python.
  returned: success
  type: str
"""

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

STAMP = ".spot-train-stamp"


class InstallError(Exception):
    """A command failed; the text has its last lines."""


def run(command: list[str], **environment: str) -> str:
    """Run a command and return its output; raise InstallError with its last lines if it fails."""
    answer = subprocess.run(
        command,
        env=dict(os.environ, **environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if answer.returncode != 0:
        words = "\n".join(answer.stdout.strip().splitlines()[-15:])
        raise InstallError(f"{' '.join(command[:4])} failed (exit {answer.returncode}):\n{words}")
    return answer.stdout


def digest_of(folder: str) -> str:
    """SHA-256 over names and contents of a folder's files, without caches and version control."""
    total = hashlib.sha256()
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if name not in (".git", "__pycache__", "build", "dist"))
        for name in sorted(files):
            path = Path(place, name)
            total.update(os.path.relpath(path, folder).encode() + b"\0" + path.read_bytes())
    return total.hexdigest()


def make_tools(python: str, tools: str) -> list[str]:
    """Create an environment for uv and return the pip that installs there.

    Uses Python's own pip if it can install elsewhere (22.3 or newer): installing pip into the environment takes
    twice as long as everything else, and needs another package on Debian.
    """
    tools_python = os.path.join(tools, "bin", "python")
    asked = subprocess.run(
        [python, "-c", "import importlib.metadata as m; print(m.version('pip'))"],
        capture_output=True,
        text=True,
        check=False,
    )
    version = [int(part) for part in asked.stdout.strip().split(".")[:2] if part.isdigit()]
    if version >= [22, 3]:
        run([python, "-m", "venv", "--without-pip", tools])
        return [python, "-m", "pip", "--python", tools_python]
    run([python, "-m", "venv", tools])
    return [tools_python, "-m", "pip"]


def pip_index(pip: list[str]) -> dict[str, str]:
    """The package index in this machine's pip configuration, as uv's variable; empty for the default."""
    url = os.environ.get("PIP_INDEX_URL", "")
    if not url:
        # Without --python, which starts pip a second time: the configuration is the machine's.
        command = [*pip[:3], "config", "get", "global.index-url"]
        answer = subprocess.run(command, capture_output=True, text=True, check=False)
        url = answer.stdout.strip() if answer.returncode == 0 else ""
    return {"UV_DEFAULT_INDEX": url} if url else {}


def install(python: str, source: str, lock: str, environment: str, tools: str, tools_lock: str) -> None:
    """Recreate the environment."""
    for folder in (environment, tools):
        shutil.rmtree(folder, ignore_errors=True)
    pip = make_tools(python, tools)
    names = Path(tools, "requirements.txt")
    names.write_text(tools_lock)
    run([*pip, "install", "--quiet", "--disable-pip-version-check", "--require-hashes", "-r", str(names)])
    # The machine's certificate store, and no interpreter from the network.
    settings = dict(pip_index(pip), UV_SYSTEM_CERTS="1", UV_PYTHON_DOWNLOADS="never", UV_NO_PROGRESS="1")
    uv = os.path.join(tools, "bin", "uv")
    run([uv, "venv", "--quiet", "--python", python, environment], **settings)
    target = ["--python", os.path.join(environment, "bin", "python")]
    run([uv, "pip", "sync", "--quiet", "--require-hashes", *target, lock], **settings)
    offline = ["--no-deps", "--no-build-isolation", "--offline"]
    run([uv, "pip", "install", "--quiet", *offline, *target, source], **settings)


def main() -> None:
    """Run the module."""
    names = ("python", "lock", "tools_lock")
    spec = {name: {"type": "str", "required": True} for name in names}
    spec.update({name: {"type": "path", "required": True} for name in ("source", "environment", "tools")})
    module = AnsibleModule(argument_spec=spec, supports_check_mode=True)
    parameters = module.params
    lock = Path(parameters["source"], parameters["lock"])
    python = shutil.which(parameters["python"])
    if not python:
        module.fail_json(msg="Python {!r} is not installed: run the role bootstrap first".format(parameters["python"]))
    if not lock.is_file():
        module.fail_json(msg=f"the lock file {lock} does not exist")
    version = run([python, "-c", "import sys; print(sys.version)"]).strip()
    lock_digest = hashlib.sha256(lock.read_bytes()).hexdigest()
    wanted = "\n".join([version, lock_digest, digest_of(parameters["source"]), parameters["tools_lock"]])
    stamp_path = Path(parameters["environment"], STAMP)
    stamp = hashlib.sha256(wanted.encode()).hexdigest()
    changed = not stamp_path.exists() or stamp_path.read_text() != stamp
    if changed and not module.check_mode:
        try:
            folders = {name: parameters[name] for name in ("source", "environment", "tools")}
            install(python, lock=str(lock), tools_lock=parameters["tools_lock"], **folders)
        except (InstallError, OSError) as error:
            module.fail_json(msg=f"could not install the environment: {error}")
        stamp_path.write_text(stamp)
    count = sum(line[:1].isalnum() for line in lock.read_text().splitlines())
    module.exit_json(changed=changed, packages=count, lock_sha256=lock_digest, python_version=version.split()[0])


if __name__ == "__main__":
    main()
