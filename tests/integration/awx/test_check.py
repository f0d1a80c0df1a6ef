"""`make awx-check` with the practice project: apply the data twice, then run what the schedules start."""

from __future__ import annotations

import sysconfig
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.runs.conftest import NO_LEAKS
from tests.integration.awx.conftest import PROJECT
from tests.support.account import practice_source
from tools import awx_collection
from tools.awx_check import notifications
from tools.awx_check.apply import Ansible
from tools.awx_check.check import Check, Checked

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def lines() -> list[str]:
    """The output of the check."""
    return []


@pytest.fixture(scope="module")
def checked(tmp_path_factory: pytest.TempPathFactory, lines: list[str]) -> Checked:
    assert awx_collection.main([]) == 0
    folder = tmp_path_factory.mktemp("awx-check")
    source = practice_source(folder / "practice", {})
    check = Check(PROJECT, folder / "check", lines.append)
    return check.run({"training_source": source}, again=another_ansible(folder / "home"))


def another_ansible(home: Path) -> Ansible | None:
    """Ansible-core 2.21, if installed: it must find the objects of the first version unchanged."""
    binaries = PROJECT / ".venv-2.21" / "bin"
    if not (binaries / "ansible-playbook").exists():
        return None
    own = Path(sysconfig.get_path("purelib")) / "ansible_collections" / "awx"
    target = home / "collections" / "ansible_collections"
    target.mkdir(parents=True)
    fetched = awx_collection.place(PROJECT) / "ansible_collections" / "awx"
    (target / "awx").symlink_to(own if own.exists() else fetched)
    return Ansible(binaries, home)


def test_second_application_changes_nothing(checked: Checked, lines: list[str]) -> None:
    assert (checked.first.code, checked.second.code) == (0, 0)
    assert checked.first.changed == 14
    assert checked.second.changed == 0
    assert lines[1] == "applied again  0 tasks changed something, 0 requests wrote"


def test_friday_and_saturday_pass_and_leave_nothing(checked: Checked) -> None:
    templates = ["spot-preflight", "spot-train", "spot-reap"]
    assert [name for name, _ in checked.results] == templates
    assert [result.status for _, result in checked.results] == ["successful"] * 3
    assert [(one["mode"], one["outcome"]) for one in checked.receipts] == [("preflight", "passed"), ("full", "passed")]
    assert [one["leaks"] for one in checked.receipts] == [NO_LEAKS, NO_LEAKS]
    assert checked.receipts[0]["writes"]["data_bucket"] == 0


def test_jobs_publish_their_results(checked: Checked) -> None:
    published = [result.stats["spot_train_run"]["mode"] for _, result in checked.results[:2]]
    assert published == ["preflight", "full"]
    assert checked.results[2][1].stats["spot_train_reaped"]["error"] is None


def test_notifications_name_the_run_and_its_leftovers(checked: Checked, data: dict[str, Any]) -> None:
    """Render the messages with what these jobs published."""
    url = notifications.CONTEXT["url"]
    for (name, result), receipt in zip(checked.results[:2], checked.receipts, strict=True):
        texts, job = data["messages"]["success"], {"name": name, "artifacts": result.stats}
        assert notifications.render(texts["message"], **job) == f"{name}: passed, run {receipt['run_id']}, {url}"
        body = notifications.render(texts["body"], **job)
        assert [text for text in (receipt["run_id"], "Left over", f"{NO_LEAKS}") if text not in body] == []
    texts, job = data["messages"]["error"], {"name": "spot-reap", "artifacts": checked.results[2][1].stats}
    assert notifications.render(texts["message"], status="failed", **job) == f"spot-reap: failed, {url}"
    assert "Past its lease: ended" in notifications.render(texts["body"], status="failed", **job)


def test_jobs_act_as_the_role_of_the_credential(checked: Checked) -> None:
    for name, result in checked.results[:2]:
        assert "assumed-role/spot-train-awx/awx" in result.stdout, name


def test_awx_callback_finds_the_project_collection(checked: Checked) -> None:
    for name, result in checked.results:
        assert "spot_train.core" in (result.artefacts / "ansible_data.json").read_text(), name


def test_output_lists_workflows_and_jobs(lines: list[str], checked: Checked) -> None:
    text = "\n".join(lines)
    assert "Friday preflight: spot-friday" in text
    assert "spot-preflight  the same job as above" in text
    assert "spot-train      successful" in text
    assert lines[-1] == "left over      nothing"
