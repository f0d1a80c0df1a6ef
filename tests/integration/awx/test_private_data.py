"""The environment of a job, and what loads in it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.integration.awx.conftest import PROJECT
from tools.awx_check import private_data
from tools.awx_check.jobs import Job, run_job

AWX_CALLBACK = "indirect_instance_count"


def job(**fields: object) -> Job:
    return Job("playbooks/terminate.yml", "inventory/aws/hosts.yml", **fields)  # type: ignore[arg-type]


def test_job_searches_and_enables_callbacks_of_awx(tmp_path: Path) -> None:
    environment = private_data.environment(job(), PROJECT, tmp_path, "0" * 40)
    assert environment["ANSIBLE_CALLBACKS_ENABLED"] == f"{AWX_CALLBACK},spot_train.core.run"
    assert environment["ANSIBLE_CALLBACK_PLUGINS"].split(":")[0] == str(tmp_path / "plugins_path")


def test_without_ansible_cfg_only_the_callback_of_awx_is_enabled(tmp_path: Path) -> None:
    environment = private_data.environment(job(), tmp_path, tmp_path, "0" * 40)
    assert environment["ANSIBLE_CALLBACKS_ENABLED"] == AWX_CALLBACK


@pytest.mark.parametrize("environment", [{}, {"ANSIBLE_CALLBACKS_ENABLED": AWX_CALLBACK}], ids=["awx", "awx-alone"])
def test_run_callback_refuses_tags_in_a_job(tmp_path: Path, environment: dict[str, str]) -> None:
    result = run_job(job(job_tags="x", environment=environment), tmp_path, PROJECT)
    assert (result.status, result.rc) == ("failed", 5), result.stdout
    assert "--tags x: this playbook has no tags" in result.stdout
    assert "unable to load" not in result.stdout


def test_callback_of_awx_finds_the_collection_in_the_project(tmp_path: Path) -> None:
    result = run_job(job(), tmp_path, PROJECT)
    assert result.rc == 2, result.stdout  # the gate refuses a job without a run id
    found = json.loads((result.artefacts / "ansible_data.json").read_text())["installed_collections"]
    assert "spot_train.core" in found
