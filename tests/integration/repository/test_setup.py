"""`make setup`, for real: environments made offline from a wheel that the test builds."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tools.setup import environment, uv_settings

pytestmark = pytest.mark.slow

REAL_PYTHON = os.path.realpath(sys.executable)


# --- requirements -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tool", ["git", "curl"])
def test_missing_tool_is_named_in_one_line(bare_clone: Path, clean_environ: dict[str, str], tool: str) -> None:
    others = {"git", "curl"} - {tool}
    answer = setup_with_path(bare_clone, clean_environ, programs(bare_clone, *others, python=(3, 12, 1)))
    assert answer.returncode == 1
    assert answer.stderr == f"make setup: missing: {tool}\n"
    assert not (bare_clone / ".venv").exists()


@pytest.mark.parametrize("version", [(3, 10, 13), (3, 14, 0)])
def test_unsupported_python_is_refused(
    bare_clone: Path, clean_environ: dict[str, str], version: tuple[int, int, int]
) -> None:
    answer = setup_with_path(bare_clone, clean_environ, programs(bare_clone, "git", "curl", python=version))
    assert answer.returncode == 1
    assert answer.stderr == "make setup: missing: Python 3.11 to 3.13 (or set PYTHON=<path>)\n"


def test_everything_missing_is_listed_at_once(bare_clone: Path, clean_environ: dict[str, str]) -> None:
    answer = setup_with_path(bare_clone, clean_environ, programs(bare_clone))
    assert answer.returncode == 1
    assert answer.stderr.startswith("make setup: missing: git, curl, Python 3.11 to 3.13 ")
    assert answer.stderr.count("\n") == 1


def test_unsupported_python_variable_is_refused(bare_clone: Path, clean_environ: dict[str, str]) -> None:
    path = programs(bare_clone, "git", "curl", python=(3, 12, 1))
    answer = setup_with_path(bare_clone, {**clean_environ, "PYTHON": "python2.7"}, path)
    assert answer.returncode == 1
    assert answer.stderr == "make setup: missing: Python 3.11 to 3.13 (not PYTHON=python2.7)\n"


# --- making, updating, repairing -------------------------------------------------------------------------------------


def test_second_setup_changes_nothing(clone: Path, offline: dict[str, str]) -> None:
    setup(clone, offline)
    assert tiny_version(clone) == "1.0"
    before = {path: path.lstat().st_mtime_ns for path in (clone / ".venv").rglob("*")}
    assert setup(clone, offline).stdout == ""
    # The environment keeps its own Python.
    assert setup(clone, {name: value for name, value in offline.items() if name != "PYTHON"}).stdout == ""
    assert {path: path.lstat().st_mtime_ns for path in (clone / ".venv").rglob("*")} == before


def test_interrupted_setup_starts_over(clone: Path, offline: dict[str, str]) -> None:
    lock(clone, "1.0", digest="0" * 64)
    refused = subprocess.run(["tools/setup.sh"], cwd=clone, env=offline, capture_output=True, text=True, check=False)
    assert refused.returncode == 1
    assert (clone / ".venv/bin/python").exists(), "it stopped half way"
    (clone / ".venv/half-written").touch()

    lock(clone, "1.0")
    setup(clone, offline)
    assert tiny_version(clone) == "1.0"
    assert not (clone / ".venv/half-written").exists()


def test_wrong_hash_is_refused(clone: Path, offline: dict[str, str]) -> None:
    lock(clone, "1.0", digest="0" * 64)
    answer = subprocess.run(["tools/setup.sh"], cwd=clone, env=offline, capture_output=True, text=True, check=False)
    assert answer.returncode == 1
    assert "Hash mismatch for `tiny==1.0`" in answer.stderr
    assert answer.stderr.splitlines()[-1] == "make setup: uv failed, see above; run make setup again"
    assert not (clone / ".venv/.stamp").exists()


def test_changed_lock_updates_the_environment(clone: Path, offline: dict[str, str]) -> None:
    setup(clone, offline)
    lock(clone, "1.1")
    assert setup(clone, offline).stdout.startswith(".venv: updating")
    assert tiny_version(clone) == "1.1"


def test_moved_clone_gets_a_new_environment(clone: Path, offline: dict[str, str]) -> None:
    setup(clone, offline)
    moved = clone.rename(clone.with_name("moved"))
    setup(moved, offline)
    assert str(moved) in (moved / ".venv/bin/activate").read_text(encoding="utf-8")


def test_second_environment_has_a_newer_python(clone: Path, offline: dict[str, str]) -> None:
    output = setup(clone, offline, "2.21").stdout
    if ".venv-2.21: skipped" in output:
        pytest.skip("needs Python 3.12 or 3.13")
    command = [str(clone / ".venv-2.21/bin/python"), "-I", "-c", "import sys, tiny; print(sys.version_info >= (3, 12))"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "True\n"


def test_lock_pins_hashes_and_upgrades_on_request(clone: Path, offline: dict[str, str]) -> None:
    setup(clone, offline)
    groups = "".join(f'{name} = ["tiny"]\n' for name in ("collections", "dev", "docs", "execution-environment"))
    project = '[project]\nname = "{}"\nversion = "1"\ndependencies = ["tiny"]\n'
    (clone / "pyproject.toml").write_text(f"{project.format('spot-train')}[dependency-groups]\n{groups}")
    (clone / "files/predictor").mkdir(parents=True)
    (clone / "files/predictor/requirements.in").write_text("tiny\n")
    (clone / "packages/local_aws").mkdir(parents=True)
    extra = '[project.optional-dependencies]\nprices = ["tiny"]\n'
    (clone / "packages/local_aws/pyproject.toml").write_text(f"{project.format('local-aws')}{extra}")

    locks = ["files/predictor/requirements.lock", "requirements.lock", "requirements-controller.lock"]
    for arguments, version in (([], "1.0"), (["--upgrade"], "1.1")):
        lock(clone, version, "expected")
        if not arguments:
            lock(clone, "1.0", locks[0])
        command = ["tools/lock.sh", *arguments]
        answer = subprocess.run(command, cwd=clone, env=offline, capture_output=True, text=True, check=False)
        assert answer.returncode == 0, answer.stderr
        assert answer.stdout.split() == locks
        for name in locks:
            text = (clone / name).read_text(encoding="utf-8")
            assert (clone / "expected").read_text(encoding="utf-8") in text
            assert str(clone) not in text


def test_environment_holds_both_packages_and_the_plugin(root: Path) -> None:
    program = "import local_aws, predictor; print(local_aws.__file__, predictor.__file__, sep='\\n')"
    output = subprocess.run([sys.executable, "-I", "-c", program], capture_output=True, text=True, check=True).stdout
    sources = [Path(line).parent.parent for line in output.splitlines()]
    assert sources == [root / "packages/local_aws/src", root / "files/predictor/src"]
    assert Path(sys.executable).with_name("session-manager-plugin").exists()


# --- pip's settings for uv -------------------------------------------------------------------------------------------


def test_pip_variables_and_sections_reach_uv(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    listed = "\n".join(
        (
            ":env:.index-url='https://env.example/simple'",
            "global.cert='/etc/ssl/company.pem'",
            "global.extra-index-url='https://a.example/simple\\nhttps://b.example/simple'",
            "global.index-url='https://global.example/simple'",
            "global.timeout='60'",
            "install.find-links='/wheels /more'",
        )
    )
    assert uv_settings(listed) == {
        "SSL_CERT_FILE": "/etc/ssl/company.pem",
        "UV_DEFAULT_INDEX": "https://env.example/simple",
        "UV_FIND_LINKS": "/wheels,/more",
        "UV_INDEX": "https://a.example/simple https://b.example/simple",
        "UV_INDEX_STRATEGY": "unsafe-best-match",
        "UV_NO_PROGRESS": "1",
        "UV_PYTHON_DOWNLOADS": "never",
        "UV_SYSTEM_CERTS": "1",
    }


def test_unwritable_home_moves_the_cache_into_the_clone(monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
    monkeypatch.setenv("HOME", "/nonexistent")
    assert uv_settings("")["UV_CACHE_DIR"] == str(root / ".cache/uv")


def test_uv_variables_win_over_pip_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "https://pip.example/simple")
    monkeypatch.setenv("UV_DEFAULT_INDEX", "https://mine.example/simple")
    assert environment()["UV_DEFAULT_INDEX"] == "https://mine.example/simple"


# --- helpers ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two versions of a package of one file, and a script for uv."""
    folder = tmp_path_factory.mktemp("wheels")
    for version in ("1.0", "1.1"):
        build_wheel(folder, "tiny", version, {"tiny.py": f'version = "{version}"\n'})
    uv = shutil.which("uv", path=os.path.dirname(sys.executable))
    build_wheel(folder, "uv", "1.0", {"uv-1.0.data/scripts/uv": f'#!/bin/sh\nexec "{uv}" "$@"\n'})
    return folder


@pytest.fixture
def offline(clean_environ: dict[str, str], wheels: Path) -> dict[str, str]:
    """An environment in which pip knows these wheels alone."""
    return {
        **clean_environ,
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_FIND_LINKS": str(wheels),
        "PIP_NO_INDEX": "1",
        "PYTHON": REAL_PYTHON,
        "UV_NO_CONFIG": "1",
    }


@pytest.fixture
def clone(bare_clone: Path, wheels: Path) -> Path:
    """A clone whose lock file pins version 1.0, and a uv that hands over to this environment's."""
    (bare_clone / "wheels").symlink_to(wheels)
    lock(bare_clone, "1.0")
    return bare_clone


def lock(clone: Path, version: str, name: str = "requirements.lock", digest: str | None = None) -> None:
    """Pin the package in a lock file, with its real hash or another."""
    pins = [pin(clone, "tiny", version, digest)]
    if name == "requirements.lock":
        pins.append(pin(clone, "uv", "1.0"))
    (clone / name).write_text("".join(pins), encoding="utf-8")


def pin(clone: Path, name: str, version: str, digest: str | None = None) -> str:
    wheel = clone / "wheels" / f"{name}-{version}-py3-none-any.whl"
    digest = digest or hashlib.sha256(wheel.read_bytes()).hexdigest()
    return f"{name}=={version} \\\n    --hash=sha256:{digest}\n"


def build_wheel(folder: Path, name: str, version: str, content: dict[str, str]) -> None:
    """Write a wheel by hand (https://packaging.python.org/en/latest/specifications/binary-distribution-format/)."""
    info = f"{name}-{version}.dist-info"
    files = {
        **content,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = ""
    for path, text in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode().rstrip("=")
        record += f"{path},sha256={digest},{len(text)}\n"
    files[f"{info}/RECORD"] = f"{record}{info}/RECORD,,\n"
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as archive:
        for path, text in files.items():
            entry = zipfile.ZipInfo(path)
            entry.external_attr = 0o100755 << 16  # pip keeps the mode of a script.
            archive.writestr(entry, text)


def setup(clone: Path, environ: dict[str, str], *names: str) -> subprocess.CompletedProcess[str]:
    """Run set-up, which must succeed."""
    command = ["tools/setup.sh", *names]
    answer = subprocess.run(command, cwd=clone, env=environ, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    return answer


def tiny_version(clone: Path, environment: str = ".venv") -> str:
    """Ask an environment for the version that it imports."""
    command = [str(clone / environment / "bin/python"), "-I", "-c", "import tiny; print(tiny.version)"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def programs(clone: Path, *tools: str, python: tuple[int, int, int] | None = None) -> Path:
    """Make a folder for PATH with nothing but these tools, and a python3 that says it is of a given version."""
    folder = clone.parent / "bin"
    folder.mkdir()
    for tool in ("dirname", *tools):
        real = shutil.which(tool)
        assert real is not None, f"this test needs {tool}"
        (folder / tool).symlink_to(real)
    if python is not None:
        program = f"import sys; sys.version_info = {python!r}; exec(sys.argv[1])"
        (folder / "python3").write_text(
            f'#!/bin/sh\nexec "{REAL_PYTHON}" -I -c {json.dumps(program)} "$3"\n', encoding="utf-8"
        )
        (folder / "python3").chmod(0o755)
    return folder


def setup_with_path(clone: Path, environ: dict[str, str], path: Path) -> subprocess.CompletedProcess[str]:
    """Run set-up with a PATH of one folder."""
    command = [str(clone / "tools/setup.sh")]
    return subprocess.run(command, env={**environ, "PATH": str(path)}, capture_output=True, text=True, check=False)
