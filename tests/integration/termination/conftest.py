"""An embedded AWS for each test module, with resources of a run and of others."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.account import ROOT, EmbeddedAccount
from tests.support.cloud import Cloud, Inventory

RUN = "20260105T090000Z-0a1b2c"
PROJECT = "spot-train"


def tags_of_run(run_id: str = RUN, lease_seconds: float = 86400, project: str = PROJECT) -> dict[str, str]:
    """The tags of a run whose lease ends in this many seconds."""
    lease = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=lease_seconds)
    return {
        "Name": f"{project}-preflight-{run_id}",
        "project": project,
        "run_id": run_id,
        "mode": "preflight",
        "attempt": "1",
        "lease_expires": lease.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }


def run_module(account: EmbeddedAccount, name: str, environment: dict[str, str], **arguments: Any) -> dict[str, Any]:
    """Run one module of the role spot_instance, or one of Ansible's, on the control node; return its result."""
    answer = account.command(
        "env", *(f"{key}={value}" for key, value in environment.items()), "ANSIBLE_CALLBACK_RESULT_FORMAT=json",
        "ansible", "localhost", "-i", "localhost,", "-c", "local",
        "-e", json.dumps({"ansible_python_interpreter": "{{ ansible_playbook_python }}"}),
        "-m", name if "." in name else f"spot_train.core.{name}", "-a", json.dumps(arguments), check=False,
    )  # fmt: skip
    result: dict[str, Any] = json.loads(answer.stdout.partition("=> ")[2] or "{}")
    assert result, answer.stdout + answer.stderr
    return result


def account_without_prices(folder: Path, **substitutions: Any) -> Path:
    """The project's own account, which loads no prices: most tests here need none, and it takes seconds.

    Args:
        folder: Where its description is written.
        substitutions: What is different in its policies.
    """
    source = ROOT / "inventory" / "local" / "account.yml"
    account = yaml.safe_load(source.read_text())
    del account["prices"]
    account["substitutions"].update(substitutions)
    policies = [account, *account["roles"].values()]
    account["control_node_policy"] = str((source.parent / account["control_node_policy"]).resolve())
    for role in policies[1:]:
        role["policies"] = [str((source.parent / policy).resolve()) for policy in role["policies"]]
    path = folder / "account.yml"
    path.write_text(yaml.safe_dump(account))
    return path


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """An embedded AWS for the module; stopped and removed at the end."""
    account = EmbeddedAccount(tmp_path_factory.mktemp("layers"))
    account.local_aws("start", "--boot-delay", "0", "--seed", str(account_without_prices(account.folder)))
    yield Cloud(account)
    account.stop()


@pytest.fixture(scope="module")
def bystanders(cloud: Cloud) -> Inventory:
    """Resources of others in the account, similar to ours, with running instances."""
    past = {"lease_expires": "2026-01-01T00:00:00Z"}
    for tags in (
        {},
        {"Name": f"spot-train-preflight-{RUN}"},
        {"run_id": RUN, **past},
        tags_of_run(project="spot-train-2", lease_seconds=-3600),
        tags_of_run(RUN[:-1]),
        tags_of_run(f"{RUN}0"),
        {"project": PROJECT},
        {"project": PROJECT, "run_id": "", **past},
        {"project": PROJECT, "run_id": "another", "lease_expires": "yesterday"},
    ):
        cloud.key(f"{cloud.launch(tags)}/other")
    cloud.launch({}, tags_of_run(project="spot-train-2", lease_seconds=-3600))
    cloud.volume({})
    cloud.volume(tags_of_run(project="spot-train-2", lease_seconds=-3600))
    cloud.volume({"project": PROJECT, **past})
    cloud.template(f"spot-train-2-{RUN}", {})
    cloud.template(f"{PROJECT}-{RUN}0", tags_of_run(f"{RUN}0"))
    cloud.schedule(f"spot-train-2-{RUN}")
    cloud.schedule(f"{PROJECT}-{RUN}0")
    for key in (f"{RUN}/other", "i-0123456789abcdef0/other", "other"):
        cloud.key(key)
    cloud.wait_for(lambda: list(cloud.inventory()["instances"].values()) == 10 * ["running"])
    return cloud.inventory()
