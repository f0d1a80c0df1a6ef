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

from tools import environments

REAL_PYTHON = os.path.realpath(sys.executable)


# --- what is missing -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tool", ["git", "curl"])
def test_setup_says_in_one_line_which_tool_is_missing(
    bare_clone: Path, clean_environ: dict[str, str], tool: str
) -> None:
    others = {"git", "curl"} - {tool}
    answer = setup_with_path(bare_clone, clean_environ, programs(bare_clone, *others, python=(3, 12, 1)))
    assert answer.returncode == 1
    assert answer.stderr == f"make setup: missing: {tool}\n"
    assert not (bare_clone / ".venv").exists()


@pytest.mark.parametrize("version", [(3, 10, 13), (3, 14, 0)])
def test_setup_refuses_a_python_that_is_too_old_or_too_new(
    bare_clone: Path, clean_environ: dict[str, str], version: tuple[int, int, int]
) -> None:
    answer = setup_with_path(bare_clone, clean_environ, programs(bare_clone, "git", "curl", python=version))
    assert answer.returncode == 1
    assert answer.stderr == "make setup: missing: Python 3.11 to 3.13 (PYTHON=<path> names one elsewhere)\n"


def test_setup_names_everything_that_is_missing_at_once(bare_clone: Path, clean_environ: dict[str, str]) -> None:
    answer = setup_with_path(bare_clone, clean_environ, programs(bare_clone))
    assert answer.returncode == 1
    assert answer.stderr.startswith("make setup: missing: git, curl, Python 3.11 to 3.13 ")
    assert answer.stderr.count("\n") == 1


def test_setup_refuses_a_named_python_that_does_not_do_though_another_would(
    bare_clone: Path, clean_environ: dict[str, str]
) -> None:
    path = programs(bare_clone, "git", "curl", python=(3, 12, 1))
    answer = setup_with_path(bare_clone, {**clean_environ, "PYTHON": "python2.7"}, path)
    assert answer.returncode == 1
    assert answer.stderr == "make setup: missing: Python 3.11 to 3.13 (PYTHON=python2.7 is none)\n"


# --- making, updating, repairing -------------------------------------------------------------------------------------


def test_a_second_setup_changes_nothing(clone: Path, offline: dict[str, str]) -> None:
    setup(clone, offline)
    assert tiny_version(clone) == "1.0"
    before = {path: path.lstat().st_mtime_ns for path in (clone / ".venv").rglob("*")}
    assert setup(clone, offline).stdout == ""
    # Nor need PYTHON be said again: the environment keeps its own.
    assert setup(clone, {name: value for name, value in offline.items() if name != "PYTHON"}).stdout == ""
    assert {path: path.lstat().st_mtime_ns for path in (clone / ".venv").rglob("*")} == before


def test_an_interrupted_setup_is_done_again_from_the_start(clone: Path, offline: dict[str, str]) -> None:
    lock(clone, "1.0", digest="0" * 64)
    refused = subprocess.run(["tools/setup.sh"], cwd=clone, env=offline, capture_output=True, text=True, check=False)
    assert refused.returncode == 1
    assert (clone / ".venv/bin/python").exists(), "it stopped half way"
    (clone / ".venv/half-written").touch()

    lock(clone, "1.0")
    setup(clone, offline)
    assert tiny_version(clone) == "1.0"
    assert not (clone / ".venv/half-written").exists()


def test_a_file_whose_hash_differs_is_refused(clone: Path, offline: dict[str, str]) -> None:
    lock(clone, "1.0", digest="0" * 64)
    answer = subprocess.run(["tools/setup.sh"], cwd=clone, env=offline, capture_output=True, text=True, check=False)
    assert answer.returncode == 1
    assert "DO NOT MATCH THE HASHES" in answer.stderr
    assert answer.stderr.splitlines()[-1].startswith("make setup: installing the packages failed")
    assert not (clone / ".venv/.stamp.json").exists()


def test_a_changed_lock_file_updates_the_environment_and_a_moved_clone_is_made_anew(
    clone: Path, offline: dict[str, str]
) -> None:
    setup(clone, offline)
    lock(clone, "1.1")
    assert setup(clone, offline).stdout.startswith(".venv: updating")
    assert tiny_version(clone) == "1.1"

    moved = clone.rename(clone.with_name("moved"))
    setup(moved, offline)
    assert str(moved) in (moved / ".venv/bin/pip").read_text(encoding="utf-8")


def test_uv_follows_the_configuration_of_pip(clone: Path, offline: dict[str, str]) -> None:
    # Nothing but pip's variables says where the wheel is and that no index may be asked.
    uv = shutil.which("uv", path=os.path.dirname(sys.executable))
    assert uv is not None, "these tests run in the environment that make setup makes"
    (clone / ".venv/bin").mkdir(parents=True)
    (clone / ".venv/bin/uv").symlink_to(uv)
    (clone / "files/predictor").mkdir(parents=True)
    lock(clone, "1.1", "files/predictor/requirements.lock")
    (clone / "files/predictor/requirements-dev.lock").touch()
    setup(clone, offline, "predictor")
    assert tiny_version(clone, ".venv-predictor") == "1.1"
    installer = next((clone / ".venv-predictor/lib").glob("python*/site-packages/tiny-1.1.dist-info/INSTALLER"))
    assert installer.read_text(encoding="utf-8").strip() == "uv"


def test_make_lock_pins_what_there_is_with_its_hash_and_upgrades_when_asked(
    clone: Path, offline: dict[str, str], root: Path
) -> None:
    (clone / ".venv/bin").mkdir(parents=True)
    (clone / ".venv/bin/uv").symlink_to(root / ".venv/bin/uv")
    names = ["requirements", "requirements-controller", "files/predictor/requirements"]
    names += ["files/predictor/requirements-dev"]
    (clone / "files/predictor").mkdir(parents=True)
    for name in names:
        (clone / f"{name}.in").write_text("tiny\n", encoding="utf-8")
    environ = {**offline, "UV_FIND_LINKS": offline["PIP_FIND_LINKS"], "UV_NO_INDEX": "1"}

    for arguments, version in (([], "1.0"), (["--upgrade"], "1.1")):
        command = ["tools/lock.sh", *arguments]
        answer = subprocess.run(command, cwd=clone, env=environ, capture_output=True, text=True, check=False)
        assert answer.returncode == 0, answer.stderr
        assert [Path(name) for name in answer.stdout.split()] == [Path(f"{name}.lock") for name in names]
        pinned = (clone / "requirements.lock").read_text(encoding="utf-8")
        lock(clone, version, "expected")
        assert (clone / "expected").read_text(encoding="utf-8") in pinned
        assert str(clone) not in pinned


def test_an_unknown_environment_is_an_error(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert environments.main(["controler"], tmp_path) == 1
    assert "unknown environment 'controler'" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_the_environment_holds_this_project_and_its_plugin(root: Path) -> None:
    program = "import local_aws, pathlib; print(pathlib.Path(local_aws.__file__).parent.parent)"
    told = subprocess.run([sys.executable, "-I", "-c", program], capture_output=True, text=True, check=True).stdout
    assert Path(told.strip()) == root
    assert Path(sys.executable).with_name("session-manager-plugin").exists()


# --- pip's settings, translated --------------------------------------------------------------------------------------


def test_a_variable_beats_a_section_of_pip_conf_and_both_reach_uv() -> None:
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
    settings = environments.uv_settings(listed, {"HOME": "/"}, Path("unused"))
    assert settings == {
        "SSL_CERT_FILE": "/etc/ssl/company.pem",
        "UV_DEFAULT_INDEX": "https://env.example/simple",
        "UV_FIND_LINKS": "/wheels,/more",
        "UV_INDEX": "https://a.example/simple https://b.example/simple",
        "UV_INDEX_STRATEGY": "unsafe-best-match",
        "UV_NO_PROGRESS": "1",
        "UV_PYTHON_DOWNLOADS": "never",
        "UV_SYSTEM_CERTS": "1",
        **({} if os.access("/", os.W_OK) else {"UV_CACHE_DIR": "unused"}),
    }


def test_what_the_user_says_to_uv_stays() -> None:
    environ = {"HOME": "/", "UV_DEFAULT_INDEX": "https://mine.example/simple"}
    settings = environments.uv_settings("global.index-url='https://pip.example/simple'", environ, Path("unused"))
    assert "UV_DEFAULT_INDEX" not in settings


def test_without_a_cache_to_write_to_the_clone_keeps_it(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.touch()
    settings = environments.uv_settings("", {"HOME": str(home)}, tmp_path / "clone/.cache/uv")
    assert settings["UV_CACHE_DIR"] == str(tmp_path / "clone/.cache/uv")


def test_the_pin_of_one_package_is_cut_out_with_its_hashes() -> None:
    pin = "uv==1 \\\n    --hash=sha256:bb \\\n    --hash=sha256:cc\n"
    text = f"# made by uv\nuv-build==2 \\\n    --hash=sha256:aa\n{pin}zip==3\n"
    assert environments.pinned(text, "uv") == pin
    assert environments.pinned(text, "zi") is None


# --- helpers ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two versions of a package of one file."""
    folder = tmp_path_factory.mktemp("wheels")
    for version in ("1.0", "1.1"):
        build_wheel(folder, version)
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
    """A clone whose lock file pins version 1.0, and no uv."""
    (bare_clone / "wheels").symlink_to(wheels)
    lock(bare_clone, "1.0")
    return bare_clone


def lock(clone: Path, version: str, name: str = "requirements.lock", digest: str | None = None) -> None:
    """Pin the package in a lock file, with its real hash or another."""
    wheel = clone / "wheels" / f"tiny-{version}-py3-none-any.whl"
    digest = digest or hashlib.sha256(wheel.read_bytes()).hexdigest()
    (clone / name).write_text(f"tiny=={version} \\\n    --hash=sha256:{digest}\n", encoding="utf-8")


def build_wheel(folder: Path, version: str) -> None:
    """Write a wheel by hand (https://packaging.python.org/en/latest/specifications/binary-distribution-format/)."""
    info = f"tiny-{version}.dist-info"
    files = {
        "tiny.py": f'version = "{version}"\n',
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: tiny\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = ""
    for name, text in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode().rstrip("=")
        record += f"{name},sha256={digest},{len(text)}\n"
    files[f"{info}/RECORD"] = f"{record}{info}/RECORD,,\n"
    with zipfile.ZipFile(folder / f"tiny-{version}-py3-none-any.whl", "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)


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
