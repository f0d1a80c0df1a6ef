#!/usr/bin/env python3
"""Make the virtual environments from requirements.lock with uv; quick when nothing changed.

`setup.py` makes .venv; `setup.py 2.21` makes .venv-2.21 too, with ansible-core 2.21, where a Python for it is found.
`setup.py uv ARGUMENTS...` runs uv with pip's settings. tools/setup.sh finds the Python that this runs under.
Standard library only: nothing is installed yet.
"""

from __future__ import annotations

import ast
import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "requirements.lock"
UV = ROOT / ".venv/bin/uv"
PROJECTS = [ROOT / name for name in ("packages/local_aws", "files/predictor")]
SUPPORTED_BY_2_21 = ("3.13", "3.12")
PIP_TO_UV = {
    "cert": "SSL_CERT_FILE",
    "extra-index-url": "UV_INDEX",
    "find-links": "UV_FIND_LINKS",
    "index-url": "UV_DEFAULT_INDEX",
    "no-index": "UV_NO_INDEX",
    "proxy": "ALL_PROXY",
    "trusted-host": "UV_INSECURE_HOST",
}
"""pip's settings for finding packages, which uv does not read, and uv's variables for them."""


def uv_settings(pip_settings: str) -> dict[str, str]:
    """Translate the output of `pip config list`, lines of `section.key='value'`; `:env:` is the environment."""
    settings = {"UV_PYTHON_DOWNLOADS": "never", "UV_SYSTEM_CERTS": "1", "UV_NO_PROGRESS": "1"}
    for wanted in ("global", "install", ":env:"):  # The last one wins.
        for section, key, literal in re.findall(r"^(.+?)\.([a-z-]+)=(.*)$", pip_settings, re.MULTILINE):
            if section == wanted and key in PIP_TO_UV:
                values = str(ast.literal_eval(literal)).split()
                settings[PIP_TO_UV[key]] = ("," if key == "find-links" else " ").join(values)
    if "UV_INDEX" in settings:
        # As pip does: every index is asked. Safe, because the lock file has each file's hash.
        settings["UV_INDEX_STRATEGY"] = "unsafe-best-match"
    if not os.access(os.path.expanduser("~"), os.W_OK):
        settings["UV_CACHE_DIR"] = str(ROOT / ".cache/uv")
    return settings


def environment() -> dict[str, str]:
    """Return the environment for uv: what it says already stays."""
    listed = subprocess.run([sys.executable, "-I", "-m", "pip", "config", "list"], capture_output=True, text=True)
    return {**uv_settings(listed.stdout), **os.environ}


def make(folder: str, interpreter: str) -> None:
    """Bring an environment up to date, or make it where its interpreter or place differs or it is incomplete."""
    venv = ROOT / folder
    python, stamp = venv / "bin/python", venv / ".stamp"
    digest = hashlib.sha256()
    for path in (LOCK, Path(__file__), *(project / "pyproject.toml" for project in PROJECTS)):
        digest.update(path.read_bytes() if path.exists() else b"")
    base = f"{interpreter} {venv}"
    found = stamp.read_text() if python.exists() and stamp.exists() else ""
    if found == f"{base}\n{digest.hexdigest()}":
        return
    print(f"{folder}: {'updating' if found.startswith(base) else 'making'} with {interpreter} ...", flush=True)
    stamp.unlink(missing_ok=True)
    if not found.startswith(f"{base}\n"):
        run(interpreter, "-I", "-m", "venv", "--clear", venv)
    if not UV.exists():
        pin = re.search(r"^uv==.*\n(?: .*\n)+", LOCK.read_text(), re.MULTILINE)
        with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
            file.write(pin[0] if pin else "")
            file.flush()
            run(python, "-I", "-m", "pip", "install", "-qq", "--require-hashes", "-r", file.name)
    target: list[str | Path] = ["--quiet", "--python", python]
    run(UV, "pip", "sync", *target, "--require-hashes", LOCK)
    for project in filter(Path.exists, PROJECTS):
        run(UV, "pip", "install", *target, "--no-deps", "--no-build-isolation", "--editable", project)
    # What Ansible finds through ansible.cfg, any other Python finds by this: the collection, tools and tests.
    site = next((venv / "lib").glob("python3*/site-packages"))
    (site / "spot_train.pth").write_text(f"{ROOT}\n{ROOT / 'collections'}\n")
    stamp.write_text(f"{base}\n{digest.hexdigest()}")


def run(*command: str | Path) -> None:
    """Run one step; its own message precedes ours."""
    if subprocess.run(command, env=environment()).returncode != 0:
        sys.exit(f"make setup: {Path(command[0]).name} failed, see above; run make setup again")


def newer_python() -> str | None:
    """Find an interpreter for ansible-core 2.21: the running one, one on PATH, or one of pyenv's."""
    if f"3.{sys.version_info.minor}" in SUPPORTED_BY_2_21:
        return os.path.realpath(sys.executable)
    versions = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv", "versions")
    for version in SUPPORTED_BY_2_21:
        name = f"python{version}"
        on_path = shutil.which(name)
        for candidate in [*([on_path] if on_path else []), *map(str, sorted(versions.glob(f"{version}.*/bin/{name}")))]:
            # A shim of pyenv's may fail, and Debian's Python may lack ensurepip.
            program = "import ensurepip, os, sys, venv; print(os.path.realpath(sys.executable))"
            answer = subprocess.run([candidate, "-I", "-c", program], capture_output=True, text=True)
            if answer.returncode == 0:
                return answer.stdout.strip()
    return None


def main(arguments: list[str]) -> None:
    """Make the environments, one process at a time."""
    if arguments[:1] == ["uv"]:
        sys.exit(subprocess.run([UV, *arguments[1:]], env=environment()).returncode)
    with (ROOT / ".venv.lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        make(".venv", os.path.realpath(sys.executable))
        if "2.21" in arguments:
            if interpreter := newer_python():
                make(".venv-2.21", interpreter)
            else:
                print(f".venv-2.21: skipped, it needs Python {' or '.join(SUPPORTED_BY_2_21)}")


if __name__ == "__main__":
    main(sys.argv[1:])
