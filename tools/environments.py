#!/usr/bin/env python3
"""Make the project's virtual environments from hashed lock files, and only when something changed.

Usage: `environments.py NAME...` with names of `ENVIRONMENTS`; `tools/setup.sh` is the way in, it finds a Python.
Standard library only: this runs before anything is installed, under the interpreter that the environments are made of.

An environment is done when its stamp is written, the last step of all. A stamp that does not match (a lock file, this
script or the clone's place changed) is brought up to date; an environment without one (interrupted, or made by
something else) is made anew.
"""

from __future__ import annotations

import ast
import fcntl
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

NEWER_PYTHONS = ("3.13", "3.12")
"""What ansible-core 2.21 runs on, best first."""

PIP_TO_UV = {
    "cert": "SSL_CERT_FILE",
    "extra-index-url": "UV_INDEX",
    "find-links": "UV_FIND_LINKS",
    "index-url": "UV_DEFAULT_INDEX",
    "no-index": "UV_NO_INDEX",
    "proxy": "ALL_PROXY",
    "trusted-host": "UV_INSECURE_HOST",
}
"""pip's settings that say where packages come from, and uv's names for them."""


class SetupError(Exception):
    """Set-up cannot go on; the text is the one line that the user reads."""


@dataclass(frozen=True)
class Environment:
    """One virtual environment: its folder, lock files and the project installed into it, relative to the root."""

    folder: str
    locks: tuple[str, ...]
    project: str
    newer_python: bool = False


ENVIRONMENTS: Mapping[str, Environment] = {
    "controller": Environment(".venv", ("requirements.lock",), "packages/local_aws"),
    "core-2.21": Environment(".venv-2.21", ("requirements.lock",), "packages/local_aws", newer_python=True),
    "predictor": Environment(
        ".venv-predictor",
        ("files/predictor/requirements.lock", "files/predictor/requirements-dev.lock"),
        "files/predictor",
    ),
}


def main(names: Sequence[str], root: Path | None = None) -> int:
    """Make each named environment.

    Args:
        names: Keys of `ENVIRONMENTS`.
        root: The project's folder; this script's own by default.

    Returns:
        The exit code: 0 done, 1 failed and 130 interrupted, each with one line on standard error.
    """
    root = root or Path(__file__).resolve().parent.parent
    try:
        for name in names:
            if name not in ENVIRONMENTS:
                raise SetupError(f"unknown environment {name!r}, known are {', '.join(ENVIRONMENTS)}")
            with _one_at_a_time(root):
                make(ENVIRONMENTS[name], root)
    except SetupError as error:
        print(f"make setup: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("make setup: interrupted; the next one starts anew", file=sys.stderr)
        return 130
    return 0


def make(environment: Environment, root: Path) -> None:
    """Bring one environment up to date; does nothing when its stamp matches.

    Args:
        environment: What to make.
        root: The project's folder.

    Raises:
        SetupError: Nothing usable came out; there is no stamp then, so the next call starts anew.
    """
    interpreter = _newer_python() if environment.newer_python else Path(os.path.realpath(sys.executable))
    if interpreter is None:
        print(f"{environment.folder}: skipped, there is no Python {' or '.join(NEWER_PYTHONS)} here")
        return
    venv = root / environment.folder
    stamp = venv / ".stamp.json"
    base = {"python": str(interpreter), "place": str(venv)}
    wanted = {**base, "digest": _digest(environment, root)}
    found = _read_stamp(stamp)
    python = venv / "bin" / "python"
    if found == wanted and python.exists():
        return

    started = time.monotonic()
    # The scripts of an environment hold its path, so one that was moved or has another Python cannot be mended.
    verb = "updating" if python.exists() and base.items() <= found.items() else "making"
    print(f"{environment.folder}: {verb} with {interpreter} …", flush=True)
    stamp.unlink(missing_ok=True)
    if verb == "making":
        _create(venv, interpreter)
    _install(environment, root, python)
    # What Ansible finds by itself, any other Python finds by this: the collection, tools and tests.
    site = next((venv / "lib").glob("python3*/site-packages"))
    (site / "spot_train.pth").write_text(f"{root}\n{root / 'collections'}\n", encoding="utf-8")
    partial = stamp.with_suffix(".partial")
    partial.write_text(json.dumps(wanted), encoding="utf-8")
    partial.replace(stamp)
    print(f"{environment.folder}: ready after {time.monotonic() - started:.0f} s", flush=True)


def uv_settings(pip_settings: str, environ: Mapping[str, str], fallback_cache: Path) -> dict[str, str]:
    """Work out uv's environment from pip's configuration, which uv does not read.

    Args:
        pip_settings: The output of `pip config list`: lines of `section.key='value'`; `:env:` is the environment.
        environ: The present environment; what it already says stays as it is.
        fallback_cache: A folder for uv's cache when the user's own cannot be written.

    Returns:
        The variables to add.
    """
    found: dict[str, tuple[int, str]] = {}
    precedence = {"global": 0, "install": 1, ":env:": 2}
    for line in pip_settings.splitlines():
        name, _, literal = line.partition("=")
        section, _, key = name.rpartition(".")
        rank = precedence.get(section)
        if rank is None or key not in PIP_TO_UV or (key in found and found[key][0] > rank):
            continue
        found[key] = (rank, str(ast.literal_eval(literal)))

    settings = {"UV_PYTHON_DOWNLOADS": "never", "UV_SYSTEM_CERTS": "1", "UV_NO_PROGRESS": "1"}
    for key, (_, value) in found.items():
        settings[PIP_TO_UV[key]] = _for_uv(key, value)
    if "UV_INDEX" in settings:
        # As pip does: every index is asked. Safe here, because each file's hash is in the lock file.
        settings["UV_INDEX_STRATEGY"] = "unsafe-best-match"
    settings = {key: value for key, value in settings.items() if key not in environ}
    if not _writable(_uv_cache(environ)):
        settings["UV_CACHE_DIR"] = str(fallback_cache)
    return settings


def pinned(lock: str, package: str) -> str | None:
    """Cut one package's pin, with its hashes, out of a lock file's text; None where it is not pinned."""
    block: list[str] = []
    for line in lock.splitlines():
        if block and not line.startswith(" "):
            break
        if block or line.startswith(f"{package}=="):
            block.append(line)
    return "\n".join(block) + "\n" if block else None


def _create(venv: Path, interpreter: Path) -> None:
    """Make an empty environment in place of whatever is there."""
    if venv.is_symlink() or venv.is_file():
        venv.unlink()
    elif venv.exists():
        shutil.rmtree(venv)
    made = subprocess.run([interpreter, "-I", "-m", "venv", venv], capture_output=True, text=True, check=False)
    if made.returncode != 0:
        shutil.rmtree(venv, ignore_errors=True)
        # Debian ships Python without ensurepip; its own advice is many lines.
        raise SetupError(f"{interpreter} cannot make an environment (Debian: apt-get install python3-venv)")


def _install(environment: Environment, root: Path, python: Path) -> None:
    """Install the lock files' packages, exactly, and the project on top of them, editable."""
    locks = [root / lock for lock in environment.locks]
    project = root / environment.project
    uv = _uv(root, python)
    if uv is None:
        pip: list[str | Path] = [python, "-I", "-m", "pip", "--disable-pip-version-check"]
        requirements = [part for lock in locks for part in ("-r", lock)]
        _run([*pip, "install", "--quiet", "--require-hashes", *requirements], "installing the packages")
        if (project / "pyproject.toml").exists():
            options = ["--quiet", "--no-deps", "--no-build-isolation"]
            _run([*pip, "install", *options, "--editable", project], f"installing {environment.project}")
        return

    listed = subprocess.run(
        [python, "-I", "-m", "pip", "--disable-pip-version-check", "config", "list"],
        capture_output=True,
        text=True,
        check=False,
    )
    settings = uv_settings(listed.stdout, os.environ, root / ".cache" / "uv")
    _run(
        [uv, "pip", "sync", "--quiet", "--python", python, "--require-hashes", *locks],
        "installing the packages",
        settings,
    )
    if (project / "pyproject.toml").exists():
        options = ["--quiet", "--python", str(python), "--no-deps", "--no-build-isolation"]
        _run([uv, "pip", "install", *options, "--editable", project], f"installing {environment.project}", settings)


def _uv(root: Path, python: Path) -> Path | None:
    """Return the controller environment's uv, put there by pip from the lock file's own pin if need be.

    Returns:
        None where the lock file pins no uv or uv has no wheel for this platform: pip then installs the rest, slowly.
    """
    uv = root / ENVIRONMENTS["controller"].folder / "bin" / "uv"
    if uv.exists():
        return uv
    pin = pinned((root / "requirements.lock").read_text(encoding="utf-8"), "uv")
    if pin is None or python.parent != uv.parent:
        return None
    with tempfile.TemporaryDirectory() as folder:
        lock = Path(folder, "uv.lock")
        lock.write_text(pin, encoding="utf-8")
        options = ["--quiet", "--disable-pip-version-check", "--require-hashes", "--only-binary", ":all:"]
        command: list[str | Path] = [python, "-I", "-m", "pip", "install", *options, "-r", lock]
        installed = subprocess.run(command, capture_output=True, text=True, check=False)
    if installed.returncode == 0 and uv.exists():
        return uv
    print(f"uv could not be installed, going on with pip, which takes longer: {_last_line(installed.stderr)}")
    return None


def _newer_python() -> Path | None:
    """Find an interpreter for ansible-core 2.21: the running one, on PATH, or one of pyenv's."""
    if f"{sys.version_info.major}.{sys.version_info.minor}" in NEWER_PYTHONS:
        return Path(os.path.realpath(sys.executable))
    versions = Path(os.environ.get("PYENV_ROOT") or os.path.expanduser("~/.pyenv"), "versions")
    for version in NEWER_PYTHONS:
        name = f"python{version}"
        on_path = shutil.which(name)
        candidates = [Path(on_path)] if on_path else []
        for candidate in (*candidates, *sorted(versions.glob(f"{version}.*/bin/{name}"))):
            # A shim of pyenv's is there but fails, and Debian's may lack ensurepip: only running it tells.
            program = "import ensurepip, os, sys, venv; print(os.path.realpath(sys.executable))"
            answer = subprocess.run([candidate, "-I", "-c", program], capture_output=True, text=True, check=False)
            if answer.returncode == 0:
                return Path(answer.stdout.strip())
    return None


def _digest(environment: Environment, root: Path) -> str:
    """Hash what an environment is made from: its lock files, its project's description and this script."""
    digest = hashlib.sha256(platform.machine().encode())
    for name in (*environment.locks, f"{environment.project}/pyproject.toml", "tools/environments.py"):
        path = root / name
        if path.exists():
            digest.update(path.read_bytes())
        elif name in environment.locks:
            raise SetupError(f"{name} is missing")
        digest.update(b"\0")
    return digest.hexdigest()


def _read_stamp(stamp: Path) -> dict[str, str]:
    """Return what the stamp says; nothing where there is none to trust."""
    try:
        content = json.loads(stamp.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _run(command: Sequence[str | Path], what: str, settings: Mapping[str, str] | None = None) -> None:
    """Run one step with its output shown; raises SetupError when it fails."""
    if subprocess.run(command, env={**os.environ, **(settings or {})}, check=False).returncode != 0:
        raise SetupError(f"{what} failed, the reason is above; the next make setup starts anew")


def _for_uv(key: str, value: str) -> str:
    """Translate a pip value: lists are separated by blanks in pip, by commas for uv's links, and true is 1."""
    if key == "find-links":
        return ",".join(value.split())
    if key == "no-index":
        return "1" if value.lower() in {"1", "true", "yes", "on"} else "0"
    return " ".join(value.split())


def _uv_cache(environ: Mapping[str, str]) -> Path:
    """Say where uv would keep its cache (https://docs.astral.sh/uv/concepts/cache/#cache-directory)."""
    if environ.get("UV_CACHE_DIR"):
        return Path(environ["UV_CACHE_DIR"])
    base = environ.get("XDG_CACHE_HOME") or os.path.join(environ.get("HOME", "/nonexistent"), ".cache")
    return Path(base, "uv")


def _writable(folder: Path) -> bool:
    """Tell whether a folder, or the first of its parents that exists, can be written."""
    existing = next((path for path in (folder, *folder.parents) if path.exists()), folder)
    return existing.is_dir() and os.access(existing, os.W_OK | os.X_OK)


def _last_line(text: str) -> str:
    """Return the last line that says something."""
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "no reason given")


@contextmanager
def _one_at_a_time(root: Path) -> Iterator[None]:
    """Hold the lock that keeps two set-ups of one clone apart; the kernel frees it if this process dies."""
    with (root / ".venv.lock").open("w", encoding="utf-8") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or ["controller"]))
