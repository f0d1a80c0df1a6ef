"""A control node with a wrong clock gets one clear line, and leases of the right length."""

from __future__ import annotations

import datetime as dt
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.spot_train.core.plugins.module_utils.checks import a05_controller_clock, a24_expiry_role
from ansible_collections.spot_train.core.plugins.module_utils.checks.base import Settings, Unavailable
from ansible_collections.spot_train.core.plugins.module_utils.checks.context import Context
from local_aws.state import reserve

from tests.support.account import ROOT
from tests.support.account_checks import SCRIPT, SETTINGS
from tests.support.cloud import Cloud


@pytest.fixture
def context(monkeypatch: pytest.MonkeyPatch) -> Context:
    made = Context(Settings.of(SETTINGS))
    monkeypatch.setattr(Context, "caller", {"Arn": "arn:aws:iam::123456789012:user/me"})
    return made


@pytest.mark.parametrize(
    ("offset", "status", "words"),
    [
        (0.4, "pass", "0 s off"),
        (-60, "pass", "60 s off"),
        (61, "warn", "61 s behind AWS's clock"),
        (-240, "warn", "240 s ahead of AWS's clock"),
        (241, "fail", "241 s behind AWS's clock"),
        (-3600, "fail", "3600 s ahead of AWS's clock"),
    ],
)
def test_clock_is_judged_by_its_offset(context: Context, offset: float, status: str, words: str) -> None:
    context.clock_offset = lambda: offset

    found = a05_controller_clock.run(context)

    assert (found.status, words in found.detail) == (status, True), found


def test_clock_is_not_judged_without_a_response(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Context) -> None:
        raise Unavailable("identity", "no answer")

    monkeypatch.setattr(Context, "caller", property(refuse))

    with pytest.raises(Unavailable, match="no answer"):
        a05_controller_clock.run(context)


@pytest.mark.skipif(shutil.which("faketime") is None, reason="no faketime here (Debian: apt-get install faketime)")
@pytest.mark.parametrize("seconds", [3600, -3600])
def test_refused_signatures_point_to_the_clock(cloud: Cloud, seconds: int) -> None:
    keys = reserve(cloud.account.folder / "aws").client_environment()
    environment = [f"{name}={value}" for name, value in keys.items()]

    answer = cloud.account.command(
        "env", *environment, "faketime", "-f", f"{seconds:+d}s", "python", "-c", SCRIPT, json.dumps(SETTINGS)
    )

    checks, offset = json.loads(answer.stdout)
    failed = {each["name"]: each for each in checks if each["status"] == "fail"}
    assert abs(offset + seconds) < 60
    assert "s ahead of" in failed["controller_clock"]["detail"] or "s behind" in failed["controller_clock"]["detail"]
    assert "timedatectl" in failed["controller_clock"]["remedy"]
    assert len(failed) > 10
    # The first that a person reads is the one that is to be seen to.
    assert next(iter(failed)) == "controller_clock"
    for name, each in failed.items():
        assert "clock" in each["detail"], each
        assert name == "controller_clock" or each["remedy"] == "resolve the check controller_clock first", each
        assert "Signature" not in each["detail"], each


class Iam:
    """An IAM client that returns a given role."""

    def __init__(self, services: list[str]) -> None:
        self.services = services

    def get_role(self, RoleName: str) -> dict[str, Any]:
        statement = {"Effect": "Allow", "Principal": {"Service": self.services}, "Action": "sts:AssumeRole"}
        return {"Role": {"RoleName": RoleName, "AssumeRolePolicyDocument": {"Statement": [statement]}}}


@pytest.mark.parametrize(
    ("services", "status", "words"),
    [
        (["scheduler.amazonaws.com", "ssm.amazonaws.com"], "pass", "trusted by the scheduler"),
        (["scheduler.amazonaws.com"], "fail", "does not trust ssm.amazonaws.com"),
        ([], "fail", "does not trust scheduler.amazonaws.com and ssm.amazonaws.com"),
    ],
)
def test_expiry_role_is_trusted_by_both_services(
    context: Context, monkeypatch: pytest.MonkeyPatch, services: list[str], status: str, words: str
) -> None:
    monkeypatch.setattr(context, "client", lambda service: Iam(services))

    found = a24_expiry_role.run(context)

    assert (found.status, words in found.detail) == (status, True), found


def test_lease_follows_the_clock_of_aws(cloud: Cloud, tmp_path: Path) -> None:
    """The control node is 200 s behind; the lease begins at the time of AWS."""
    variables = yaml.safe_load((ROOT / "roles" / "spot_instance" / "vars" / "main.yml").read_text())
    given = {
        "project": "p",
        "run": {"mode": "m", "run_id": "r"},
        "spot_instance_lease_minutes": 10,
        "spot_instance_attempt": 2,
        "ansible_facts": {"run_record": {"clock_offset": 200.4}},
    }
    play = {
        "hosts": "localhost",
        "gather_facts": False,
        "vars": {**variables, **given, "ansible_python_interpreter": "{{ ansible_playbook_python }}"},
        "tasks": [{"copy": {"content": "{{ __spot_instance_launch_tags | to_json }}", "dest": str(tmp_path / "tags")}}],
    }
    (tmp_path / "play.yml").write_text(yaml.safe_dump([play]))

    cloud.account.command("ansible-playbook", "-i", "localhost,", "-c", "local", str(tmp_path / "play.yml"))

    tags = json.loads((tmp_path / "tags").read_text())
    lease = dt.datetime.fromisoformat(tags["lease_expires"])
    assert abs((lease - dt.datetime.now(dt.UTC)).total_seconds() - 800) < 90
    assert tags["attempt"] == 2
