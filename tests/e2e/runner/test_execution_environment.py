"""The execution environment, as far as it can be held without a container engine."""

from __future__ import annotations

import hashlib
import importlib.util
import io
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from ansible_builder.ee_schema import validate_schema
from packaging.specifiers import SpecifierSet

from tests.e2e.runner.conftest import AS_ON_AWS, Jobs
from tests.support.account import ROOT
from tools import setup
from tools.awx_check import private_data

DEFINITION = ROOT / "execution-environment.yml"
LOCK = ROOT / "requirements-controller.lock"
BINARIES = Path(sys.executable).parent
COLLECTIONS = Path(sysconfig.get_path("purelib")) / "ansible_collections"
#: Folders that a controller of a real account has no use for.
NOT_NEEDED = ("molecule", "packages", "tests", "tools")
#: Collections of playbooks that are run once, at a terminal: aws_setup.yml and awx.yml.
FOR_SETTING_UP = {"awx.awx", "community.aws"}
NOT_FOR_JOBS = {"aws_setup.yml", "aws_teardown.yml", "awx.yml"}
DEVELOPMENT = {"ansible", "arcticdb", "moto", "molecule", "mypy", "pytest", "ruff", "websockets"}


@pytest.fixture(scope="module")
def definition() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(DEFINITION.read_text())
    return loaded


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The build context, as ansible-builder makes it."""
    folder = tmp_path_factory.mktemp("context")
    run(BINARIES / "ansible-builder", "create", "-f", DEFINITION, "-c", folder, "--output-filename", "Containerfile")
    return folder


@pytest.fixture(scope="module")
def installer() -> ModuleType:
    path = ROOT / "files" / "execution_environment" / "install_session_manager_plugin.py"
    spec = importlib.util.spec_from_file_location("install_session_manager_plugin", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(*command: str | Path, cwd: Path = ROOT, environment: dict[str, str] | None = None) -> str:
    """Run a command that must succeed, and return its output."""
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, env=environment, stdin=subprocess.DEVNULL, capture_output=True,
        text=True, timeout=600, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{command}: {done.stdout[-3000:]}{done.stderr[-3000:]}"
    return done.stdout + done.stderr


def uv(*arguments: str | Path) -> str:
    """Run uv with pip's settings, and return its output."""
    return run(BINARIES / "uv", *arguments, environment=setup.environment())


def pins(lock: Path) -> dict[str, set[str]]:
    """The versions of each package in a lock file: more than one where they differ by Python."""
    found: dict[str, set[str]] = {}
    for name, version in re.findall(r"^([a-z0-9][a-z0-9._-]*)==(\S+)", lock.read_text(), re.MULTILINE):
        found.setdefault(name, set()).add(version)
    return found


def test_the_definition_fits_ansible_builders_schema(definition: dict[str, Any]) -> None:
    validate_schema(definition)

    assert definition["version"] == 3


def test_everything_in_the_image_is_pinned(definition: dict[str, Any]) -> None:
    name = definition["images"]["base_image"]["name"]
    assert re.search(r":\d+\.\d+(@sha256:[0-9a-f]{64})?$", name), name
    assert all(re.fullmatch(r"[\d.]+", each["version"]) for each in definition["dependencies"]["galaxy"]["collections"])
    # ansible-core and ansible-runner come from the lock file, by hash, and bring nothing else.
    assert not definition["dependencies"].keys() & {"ansible_core", "ansible_runner", "python"}


def test_collections_are_those_of_requirements_yml(definition: dict[str, Any]) -> None:
    declared = yaml.safe_load((ROOT / "requirements.yml").read_text())["collections"]
    wanted = {each["name"]: each["version"] for each in declared if each["name"] not in FOR_SETTING_UP}
    assert {each["name"] for each in declared} > FOR_SETTING_UP
    pinned = {each["name"]: each["version"] for each in definition["dependencies"]["galaxy"]["collections"]}

    assert pinned.keys() == wanted.keys()
    assert set(definition["dependencies"]["exclude"]["all_from_collections"]) == pinned.keys()
    folder = next((ROOT / ".venv").glob("lib/python3.*/site-packages/ansible_collections"))
    for name, version in pinned.items():
        assert SpecifierSet(wanted[name]).contains(version)
        manifest = json.loads(folder.joinpath(*name.split("."), "MANIFEST.json").read_text())
        python = (ROOT / ".venv" / "pyvenv.cfg").read_text()
        if re.search(r"version(_info)? = 3\.11", python):  # with a later Python, .venv has the collections of 2.21
            assert manifest["collection_info"]["version"] == version


def test_the_build_context_holds_what_the_steps_copy(context: Path) -> None:
    steps = (context / "Containerfile").read_text()

    copied = re.findall(r"^COPY (_build/\S+)", steps, re.MULTILINE)
    assert "_build/controller/requirements-controller.lock" in copied
    assert [path for path in copied if not (context / path).exists()] == []
    assert (context / "_build/controller/requirements-controller.lock").read_bytes() == LOCK.read_bytes()
    assert (context / "_build/bindep.txt").read_text().count("[platform:rpm]") == 3
    assert "--require-hashes --only-binary :all:" in steps
    assert 'ENTRYPOINT ["/opt/builder/bin/entrypoint", "dumb-init"]' in steps
    # pip may install these by name alone: they build the image and are not in it.
    by_name = re.findall(r"pip install (?!.*--require-hashes)(.*)$", steps, re.MULTILINE)
    assert by_name == ["--no-cache-dir bindep pyyaml packaging"]


def test_the_controllers_lock_is_a_part_of_the_tested_one() -> None:
    tested, controller = pins(ROOT / "requirements.lock"), pins(LOCK)

    # It is of no use outside a container.
    assert controller.keys() - tested.keys() == {"dumb-init"}
    assert {name: versions for name, versions in controller.items() if versions != tested.get(name, versions)} == {}
    assert not controller.keys() & DEVELOPMENT
    assert {"ansible-core", "ansible-runner", "boto3", "jinja2", "pyyaml"} <= controller.keys()


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_every_package_has_a_wheel_for_the_image(machine: str, definition: dict[str, Any], tmp_path: Path) -> None:
    python = definition["dependencies"]["python_interpreter"]["package_system"].removeprefix("python")

    output = uv(
        "pip", "install", "--dry-run", "--require-hashes", "--only-binary", ":all:", "--python-version", python,
        "--python-platform", f"{machine}-manylinux_2_34", "--target", tmp_path, "-r", LOCK,
    )  # fmt: skip

    assert "+ ansible-core==" in output
    assert "+ dumb-init==" in output


@pytest.fixture(scope="module")
def controller(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python with the controller's lock and nothing else, and the project without what such a controller lacks."""
    folder = tmp_path_factory.mktemp("controller")
    uv("venv", "--quiet", "--python", sys.executable, folder / "venv")
    uv("pip", "sync", "--quiet", "--require-hashes", "--python", folder / "venv/bin/python", LOCK)
    private_data.copy_project(ROOT, folder / "project")
    for name in NOT_NEEDED:
        shutil.rmtree(folder / "project" / name)
    (folder / "collections" / "ansible_collections").mkdir(parents=True)
    for each in yaml.safe_load(DEFINITION.read_text())["dependencies"]["galaxy"]["collections"]:
        name = each["name"].partition(".")[0]
        (folder / "collections" / "ansible_collections" / name).symlink_to(COLLECTIONS / name)
    return folder


def environment(controller: Path, **more: str) -> dict[str, str]:
    """What the controller's commands run with: nothing of this process's Python or Ansible."""
    kept = {name: value for name, value in private_data.execution_environment().items() if name != "PYTHONPATH"}
    binaries = controller / "venv" / "bin"
    return {
        **kept,
        "PATH": f"{binaries}:/usr/bin:/bin",
        "VIRTUAL_ENV": str(binaries.parent),
        "ANSIBLE_COLLECTIONS_PATH": str(controller / "collections"),
        "ANSIBLE_NOCOLOR": "1",
        **more,
    }


def test_lock_has_every_module_in_use(controller: Path) -> None:
    used = {
        name
        for folder in ("roles", "playbooks")
        for path in (ROOT / folder).rglob("*.yml")
        for name in re.findall(r"^\s+(?:- )?(amazon\.aws\.[a-z0-9_]+):", path.read_text(), re.MULTILINE)
    }
    assert used

    described = json.loads(
        run("ansible-doc", "--json", *sorted(used), cwd=controller / "project", environment=environment(controller))
    )

    assert described.keys() == used


@pytest.mark.parametrize(("name", "code"), [("aws_ssm", 0), ("aws_smm", 1)])
def test_the_build_ends_where_the_connection_is_not_there(
    controller: Path, definition: dict[str, Any], name: str, code: int
) -> None:
    (step,) = [one for one in definition["additional_build_steps"]["append_final"] if "ansible-doc" in one]

    done = subprocess.run(
        ["sh", "-c", step.removeprefix("RUN ").replace("aws_ssm", name)], cwd=controller / "project",
        env=environment(controller), capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip

    assert done.returncode == code, done.stdout + done.stderr


def test_lock_is_enough_for_the_syntax_of_every_job(controller: Path) -> None:
    names = {path.name for path in (ROOT / "playbooks").glob("*.yml")}
    playbooks = ["train.yml", *(f"playbooks/{name}" for name in sorted(names - NOT_FOR_JOBS))]
    assert names > NOT_FOR_JOBS

    output = run(
        "ansible-playbook", "-i", "inventory/aws", "--syntax-check", *playbooks, cwd=controller / "project",
        environment=environment(controller),
    )  # fmt: skip

    assert output.count("playbook: ") == len(playbooks)


def test_lock_is_enough_for_the_account_checks(controller: Path, jobs: Jobs) -> None:
    variables = {**AS_ON_AWS, "ansible_aws_ssm_bucket_endpoint_url": jobs.credential()["AWS_ENDPOINT_URL"]}
    known = environment(controller, **jobs.credential())

    output = run(
        "ansible-playbook", "-i", "inventory/aws", "train.yml", "--check", "-e", json.dumps(variables),
        cwd=controller / "project", environment=known,
    )  # fmt: skip

    assert re.search(r"\d+ checks: \d+ passed, 0 failed", output), output[-3000:]
    assert "failed=0" in output


def test_lock_is_enough_for_a_rollback(controller: Path) -> None:
    known = environment(controller, PYTHONPATH=str(controller / "project/files/predictor/src"))

    assert "--run-id" in run("python", "-m", "predictor", "restore", "--help", cwd=controller, environment=known)


def package(*, binary: str = "usr/local/sessionmanagerplugin/bin/session-manager-plugin") -> bytes:
    """A .deb with one file in it."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as archive:
        entry = tarfile.TarInfo(f"./{binary}")
        entry.size = 4
        archive.addfile(entry, io.BytesIO(b"#!ok"))
    members = {"debian-binary": b"2.0\n", "control.tar.gz": b"odd", "data.tar.gz": data.getvalue()}
    return b"!<arch>\n" + b"".join(
        f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(body):<10}`\n".encode() + body + b"\n" * (len(body) % 2)
        for name, body in members.items()
    )


def test_plugin_is_extracted_if_the_checksum_is_right(installer: ModuleType, tmp_path: Path) -> None:
    deb = package()

    installer.install(deb, hashlib.sha256(deb).hexdigest(), tmp_path)

    assert (tmp_path / "session-manager-plugin").read_bytes() == b"#!ok"
    assert os.access(tmp_path / "session-manager-plugin", os.X_OK)


def test_a_package_with_another_checksum_is_not_used(installer: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(installer.Unusable, match="nothing of it was used"):
        installer.install(package(), installer.PACKAGES["x86_64"][1], tmp_path)

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("content", "said"),
    [(package(binary="usr/bin/other"), "no bin/session-manager-plugin"), (b"<html>", "no ar archive")],
)
def test_what_holds_no_plugin_is_refused(installer: ModuleType, content: bytes, said: str, tmp_path: Path) -> None:
    with pytest.raises(installer.Unusable, match=said):
        installer.install(content, hashlib.sha256(content).hexdigest(), tmp_path)


def test_a_machine_without_a_package_is_named(installer: ModuleType) -> None:
    with pytest.raises(installer.Unusable, match="no package for riscv64"):
        installer.package_of("riscv64")
