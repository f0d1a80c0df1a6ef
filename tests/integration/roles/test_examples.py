"""The examples of the roles, all in one call of ansible-playbook, as in roles/README.md."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.account import ROOT, EmbeddedAccount
from tools import argument_specs

pytestmark = pytest.mark.slow

PAGE = ROOT / "roles" / "README.md"
# They need archived weights, an account to set up, or an AWX. test_rollback.py, test_acceptance.py and
# awx/test_playbook.py run them.
ELSEWHERE = {f"roles/{name}/examples/minimal.yml" for name in ("rollback", "aws_account", "awx")}


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedAccount]:
    """An AWS that the first example starts."""
    account = EmbeddedAccount(tmp_path_factory.mktemp("examples"))
    yield account
    account.local_aws("stop")


def command() -> list[str]:
    """The command on the page that plays all of them."""
    text = PAGE.read_text(encoding="utf-8")
    found: list[str] = re.findall(r"^```sh\n(ansible-playbook .*?)^```", text, re.MULTILINE | re.DOTALL)
    (block,) = found
    return block.replace("\\\n", " ").split()


def test_every_role_has_an_example_in_the_command() -> None:
    there = {
        str(path.relative_to(ROOT)) for role in argument_specs.roles(ROOT) for path in argument_specs.examples(role)
    }
    assert {f"roles/{role.name}/examples/{argument_specs.MINIMAL}" for role in argument_specs.roles(ROOT)} <= there
    assert set(command()[1:]) == there - ELSEWHERE


def test_examples_work_in_a_row_and_leave_nothing(account: EmbeddedAccount, tmp_path: Path) -> None:
    runs = tmp_path / "runs"

    done = account.command(*command(), "-e", f"runs_dir={runs}", check=False)

    assert done.returncode == 0, done.stdout + done.stderr
    (instance,) = account.status()["instances"]
    assert (instance["state"], instance["lifecycle"], instance["tags"]["run_id"]) == ("terminated", "spot", "example")
    receipt = json.loads((runs / "example" / "receipt.json").read_text())
    assert (receipt["outcome"], receipt["instance"]["id"]) == ("passed", instance["id"])
    assert set(receipt["leaks"].values()) == {0}
    assert [check["name"] for check in receipt["preflight"]["checks"]] == ["imports", "practice"]
    assert receipt["training"]["folds"] == 3
    assert (runs / "example" / "report.html").is_file()
    # The run of run_open.
    (opened,) = [path for path in runs.glob("*/run.json")]
    assert json.loads(opened.read_text())["mode"] == "preflight"
