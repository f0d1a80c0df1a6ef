"""The repository is a collection: its archive works where it is installed alone."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

BIN = Path(sys.executable).parent
LINK = "collections/ansible_collections/spot_train/core"
KINDS = {"modules": "module", "inventory": "inventory", "callback": "callback", "filter": "filter", "vars": "vars"}

PLAYBOOK = """
- hosts: localhost
  gather_facts: false
  vars:
    run: "{{ inputs.run }}"
  vars_files: ["{{ core }}/group_vars/all.yml"]
  tasks:
    - spot_train.core.run_inputs:
      register: inputs
    - ansible.builtin.include_role: {name: spot_train.core.run_open}
    - ansible.builtin.assert:
        that: "['{run_id}'] | spot_train.core.fill_placeholders({'run_id': run.run_id}) == [run.run_id]"
"""


@dataclass(frozen=True)
class Installed:
    """The collection, installed from its archive.

    Attributes:
        folder: The folder of collections, which holds nothing else.
        work: An empty folder to run in.
    """

    folder: Path
    work: Path

    @property
    def core(self) -> Path:
        return self.folder / "ansible_collections" / "spot_train" / "core"

    def run(self, *command: str | Path) -> subprocess.CompletedProcess[str]:
        kept = {
            name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "AWS_", "PYTHON"))
        }
        environment = {**kept, "ANSIBLE_COLLECTIONS_PATH": str(self.folder), "ANSIBLE_NOCOLOR": "1", "COLUMNS": "500"}
        return subprocess.run(command, cwd=self.work, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def installed(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """Build the archive, and install it into an empty folder."""
    folder = tmp_path_factory.mktemp("collection")
    (folder / "work").mkdir()
    result = Installed(folder / "installed", folder / "work")
    built = result.run(BIN / "ansible-galaxy", "collection", "build", root, "--output-path", folder)
    assert built.returncode == 0, built.stderr
    [archive] = folder.glob("*.tar.gz")
    assert archive.stat().st_size < 5_000_000
    # Forced, since .venv's Ansible has found the collection already: spot_train.pth leads to the source.
    options = ("--force", "--offline", "--no-deps", "--pre", "-p", result.folder)
    answer = result.run(BIN / "ansible-galaxy", "collection", "install", archive, *options)
    assert answer.returncode == 0, answer.stderr
    return result


def plugins(root: Path) -> Iterator[tuple[str, str]]:
    """Yield the kind and the name of each documented plugin."""
    for folder, kind in KINDS.items():
        for path in sorted((root / "plugins" / folder).glob("[!_]*.py")):
            yield kind, f"spot_train.core.{path.stem}"


def test_the_archive_holds_the_product_alone(installed: Installed) -> None:
    found = {path.name for path in installed.core.iterdir()}
    assert {"plugins", "roles", "playbooks", "meta", "files", "README.md"} <= found
    assert not found & {"tests", "tools", "packages", "collections", "runs", "molecule", ".venv", ".git"}


def test_ansible_doc_shows_every_plugin(installed: Installed, root: Path) -> None:
    by_kind: dict[str, list[str]] = {}
    for kind, name in plugins(root):
        by_kind.setdefault(kind, []).append(name)
    for kind, names in by_kind.items():
        answer = installed.run(BIN / "ansible-doc", "--json", "-t", kind, *names)
        assert answer.returncode == 0, answer.stderr
        assert sorted(json.loads(answer.stdout)) == names
        for found in json.loads(answer.stdout).values():
            assert found["doc"]["filename"].startswith(str(installed.core))


def test_a_playbook_uses_a_role_and_plugins_by_name(installed: Installed, root: Path) -> None:
    defaults = yaml.safe_load((installed.core / "group_vars" / "all.yml").read_text())
    given = {
        "preflight_only": True,
        "run_watchdog": False,
        "runs_dir": str(installed.work / "runs"),
        "data_bucket": "data",
        "transport_bucket": "transport",
        "run_date": "2026-01-02",
        "training_source": {**defaults["training_source"], "path": str(installed.core / "files" / "predictor")},
    }
    playbook = installed.work / "play.yml"
    playbook.write_text(PLAYBOOK.replace("{{ core }}", str(installed.core)))
    (installed.work / "given.json").write_text(json.dumps(given))
    answer = installed.run(BIN / "ansible-playbook", playbook, "-e", "@given.json", "-vv")
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert f"task path: {installed.core}/roles/run_open" in answer.stdout
    assert str(root / "roles") not in answer.stdout
    [record] = installed.work.glob("runs/*/run.json")
    assert json.loads(record.read_text())["mode"] == "preflight"


def test_the_repository_has_one_link(root: Path) -> None:
    listed = subprocess.run(["git", "ls-files", "-s"], cwd=root, capture_output=True, text=True, check=True).stdout
    assert re.findall(r"^120000 \w+ 0\t(.+)$", listed, re.MULTILINE) == [LINK]
    assert (root / LINK).resolve() == root


def test_plugins_are_imported_by_their_real_paths(committed: list[Path], root: Path) -> None:
    product = [path for path in committed if path.relative_to(root).parts[0] in {"plugins", "roles", "playbooks"}]
    forbidden = re.compile(r"__path__|spec_from_file_location")
    found = [str(path) for path in product if path.suffix == ".py" and forbidden.search(path.read_text())]
    assert len(product) > 200
    assert found == []


def test_roles_hold_no_python(committed: list[Path], root: Path) -> None:
    assert [path for path in committed if path.is_relative_to(root / "roles") and path.suffix == ".py"] == []


def test_dependencies_are_those_of_requirements(root: Path) -> None:
    galaxy = yaml.safe_load((root / "galaxy.yml").read_text())
    required = yaml.safe_load((root / "requirements.yml").read_text())["collections"]
    versions = {one["name"]: str(one["version"]) for one in required}
    assert galaxy["dependencies"].items() <= versions.items(), versions


def set_facts(node: object) -> Iterator[str]:
    """Yield the names that tasks below a node set as facts."""
    if isinstance(node, list):
        for one in node:
            yield from set_facts(one)
    elif isinstance(node, dict):
        yield from (name for name in node.get("ansible.builtin.set_fact", ()) if name != "cacheable")
        for value in node.values():
            yield from set_facts(value)


def test_facts_of_a_run_are_listed_in_contributing(committed: list[Path], root: Path) -> None:
    product = [path for path in committed if path.relative_to(root).parts[0] in {"roles", "playbooks"}]
    tasks = [path for path in product if path.suffix == ".yml" and path.parent.name in {"tasks", "playbooks"}]
    found = {name for path in tasks for name in set_facts(yaml.safe_load(path.read_text()))}
    [listed] = re.findall(
        r"- Plays share two facts(.+?)A test compares", (root / "CONTRIBUTING.md").read_text(), re.DOTALL
    )
    assert found == set(re.findall(r"`(\w+)`", listed)) - {"run_record", "set_fact"}


def test_mypy_follows_imports_into_the_collection(root: Path) -> None:
    module = "ansible_collections.spot_train.core.plugins.module_utils.sweep.sweep"
    program = f"from {module} import sweep\nsweep('account', 'scope')\n"
    answer = subprocess.run([BIN / "mypy", "-c", program], cwd=root, capture_output=True, text=True, check=False)
    assert answer.returncode == 1
    assert 'Argument 1 to "sweep" has incompatible type "str"; expected "Aws"' in answer.stdout
