"""The requirements, their lock files and the collections that come with them agree."""

from __future__ import annotations

import itertools
import json
import re
import sysconfig
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from tools import awx_collection

PYTHONS = ("3.11", "3.12", "3.13")


def test_every_pin_of_every_lock_file_has_a_hash_and_no_address(committed: list[Path], root: Path) -> None:
    locks = [path for path in committed if path.suffix == ".lock"]
    assert root / "requirements.lock" in locks
    for lock in locks:
        blocks = list(pins(lock))
        assert blocks, lock
        for requirement, block in blocks:
            assert requirement.url is None, f"{lock.name}: {requirement}"
            assert re.search(r"--hash=sha256:[0-9a-f]{64}\b", block), f"{lock.name}: {requirement} has no hash"
        options = [line for line in lock.read_text(encoding="utf-8").splitlines() if line.startswith("-")]
        assert options == [], lock


def test_environment_has_the_versions_of_the_instance(root: Path) -> None:
    ours = {str(requirement) for requirement, _ in pins(root / "requirements.lock")}
    assert {str(requirement) for requirement, _ in pins(root / "files/predictor/requirements.lock")} <= ours


LOCKS = ("requirements.lock", "requirements-controller.lock")


@pytest.mark.parametrize("python", PYTHONS)
def test_every_requirement_is_pinned_once_for_each_python(root: Path, python: str) -> None:
    environment = {"python_version": python, "python_full_version": f"{python}.4", "sys_platform": "linux"}
    pinned: dict[str, list[str]] = {}
    # What only the execution environment needs is in its own lock.
    locked = {requirement for lock in LOCKS for requirement, _ in pins(root / lock)}
    for requirement in locked:
        if applies(requirement, environment):
            pinned.setdefault(requirement.name, []).append(str(requirement.specifier).removeprefix("=="))
    for wanted in requirements(root):
        if applies(wanted, environment):
            versions = pinned.get(wanted.name.lower().replace("_", "-"), [])
            assert len(versions) == 1, f"{wanted} on Python {python}: {versions}"
            assert wanted.specifier.contains(versions[0], prereleases=True), f"{wanted}: {versions[0]} is locked"


def test_each_python_gets_an_ansible_that_supports_it(root: Path) -> None:
    cores = {
        python: str(requirement.specifier)
        for python in PYTHONS
        for requirement, _ in pins(root / "requirements.lock")
        if requirement.name == "ansible-core" and applies(requirement, {"python_full_version": f"{python}.4"})
    }
    assert {python: core.removeprefix("==")[:4] for python, core in cores.items()} == {
        "3.11": "2.19",
        "3.12": "2.21",
        "3.13": "2.21",
    }


#: What newer `ansible` packages lack, and tools/awx_collection.py takes from an older one.
NOT_EVERYWHERE = {"awx.awx"}


def test_the_collections_that_pip_installs_satisfy_requirements_yml(root: Path) -> None:
    for folder in collection_folders(root):
        for name, wanted in declared(root).items():
            manifest = folder.joinpath(*name.split("."), "MANIFEST.json")
            if name in NOT_EVERYWHERE and not manifest.exists():
                continue
            version = json.loads(manifest.read_text(encoding="utf-8"))["collection_info"]["version"]
            assert SpecifierSet(wanted).contains(version), f"{folder}: {name} {version} is not {wanted}"


def test_the_pinned_ansible_that_has_awx_awx_is_one_that_its_script_finds(root: Path) -> None:
    assert awx_collection.pin((root / "requirements.lock").read_text(encoding="utf-8")).startswith("ansible==12.")
    places = [*collection_folders(root), awx_collection.place(root) / "ansible_collections"]
    versions = [
        json.loads(manifest.read_text(encoding="utf-8"))["collection_info"]["version"]
        for folder in places
        if (manifest := folder / "awx" / "awx" / "MANIFEST.json").exists()
    ]
    assert all(SpecifierSet(declared(root)["awx.awx"]).contains(version) for version in versions)


def test_requirements_yml_declares_the_collections_that_are_used_and_no_other(
    committed: list[Path], root: Path
) -> None:
    installed = {
        f"{collection.parent.name}.{collection.name}"
        for folder in collection_folders(root)
        for collection in folder.glob("*/*")
        if (collection / "MANIFEST.json").exists()
    }
    assert "amazon.aws" in installed
    installed |= NOT_EVERYWHERE
    dotted = re.compile(r"(?<![\w./-])([a-z][a-z0-9_]*\.[a-z][a-z0-9_]*)\.[a-z][a-z0-9_]*")
    used = {
        name
        for path in committed
        if path.suffix in {".yml", ".yaml", ".j2", ".cfg"} and path.name != "requirements.yml"
        for name in dotted.findall(path.read_text(encoding="utf-8"))
        if name in installed
    }
    assert used == declared(root).keys()


def declared(root: Path) -> Mapping[str, str]:
    """Return the collections of requirements.yml and their version ranges."""
    content = yaml.safe_load((root / "requirements.yml").read_text(encoding="utf-8"))
    return {collection["name"]: collection["version"] for collection in content["collections"]}


def collection_folders(root: Path) -> list[Path]:
    """Return the collections of the running interpreter and, where it was made, those of ansible-core 2.21."""
    return [
        Path(sysconfig.get_path("purelib")) / "ansible_collections",
        *root.glob(".venv-2.21/lib/python*/site-packages/ansible_collections"),
    ]


def applies(requirement: Requirement, environment: Mapping[str, str]) -> bool:
    """Tell whether a requirement's marker holds."""
    return requirement.marker is None or requirement.marker.evaluate(dict(environment))


def requirements(root: Path) -> Iterator[Requirement]:
    """Yield what pyproject.toml and the instance's packages ask for."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    texts = [*project["project"]["dependencies"], *itertools.chain(*project["dependency-groups"].values())]
    lines = (root / "files/predictor/requirements.in").read_text(encoding="utf-8").splitlines()
    texts += filter(None, (line.partition("#")[0].strip() for line in lines))
    yield from map(Requirement, texts)


def pins(lock: Path) -> Iterator[tuple[Requirement, str]]:
    """Yield each pin of a lock file with its block of lines."""
    for block in re.split(r"\n(?=[A-Za-z0-9])", lock.read_text(encoding="utf-8")):
        first = block.partition("\\\n")[0].strip()
        if first and not first.startswith("#"):
            yield Requirement(first), block
