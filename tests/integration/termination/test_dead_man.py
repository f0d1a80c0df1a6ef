"""The dead-man switch is armed before anyone can connect, and no step can reset it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from pathlib import Path

import jinja2
import pytest

from tests.integration.termination.conftest import RUN
from tests.support.account import ROOT
from tests.support.cloud import Cloud

TEMPLATE = ROOT / "roles" / "spot_instance" / "templates" / "user_data.sh.j2"
# Accidental actions of a step, or of a package that it installs.
HOSTILE = {
    "nothing": "",
    "cancelled": "shutdown -c",
    "replaced": "shutdown -P +600",
    "cancelled and replaced": "shutdown -c; shutdown -P +600; shutdown -c",
    "deadline moved": "echo 99999999999 >/var/lib/spot-train/deadline; shutdown -c",
    "hung up": "shutdown -c; kill -HUP $(pgrep -f dead-man) 2>/dev/null; sleep 600",
}


def user_data(minutes: int = 1, more: str = "") -> str:
    """The user data of the launch template, followed by the actions of a step."""
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True)
    text = environment.from_string(TEMPLATE.read_text())
    return text.render(run={"run_id": RUN}, spot_instance_dead_man_minutes=minutes) + more + "\n"


def console(cloud: Cloud, instance: str) -> str:
    return cloud.account.local_aws("console", instance)


def test_switch_cannot_be_reset_by_a_step(cloud: Cloud) -> None:
    begun = time.monotonic()
    instances = {
        name: cloud.launch({"Name": name}, user_data=user_data(1, more), InstanceInitiatedShutdownBehavior="terminate")
        for name, more in HOSTILE.items()
    }
    ended: dict[str, float] = {}
    while len(ended) < len(instances) and time.monotonic() - begun < 200:
        time.sleep(0.5)
        for name, instance in instances.items():
            if name not in ended and cloud.state(instance) == "terminated":
                ended[name] = time.monotonic() - begun

    assert ended.keys() == instances.keys(), console(cloud, instances[min(instances.keys() - ended.keys())])
    # 30 s later `poweroff -f` would have terminated it.
    assert all(58 <= seconds < 90 for seconds in ended.values()), ended


def test_switch_is_armed_first_and_does_not_delay_the_boot(cloud: Cloud) -> None:
    instance = cloud.launch({}, user_data=user_data(30, "shutdown --show"))
    ssm = cloud.account.client("ssm")
    filters = [{"Key": "InstanceIds", "Values": [instance]}]
    begun = time.monotonic()
    cloud.wait_for(lambda: bool(ssm.describe_instance_information(Filters=filters)["InstanceInformationList"]))
    connected = time.monotonic() - begun

    output = console(cloud, instance)
    cloud.ec2.terminate_instances(InstanceIds=[instance])

    assert connected < 45  # the emulator shows a machine with pending user data only after 60 s
    assert re.search(r"dead-man switch armed: \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", output), output
    assert "Shutdown scheduled for" in output


@pytest.fixture
def systemd(tmp_path: Path) -> Path:
    """A root folder in which the user data finds systemd, and writes its units; nothing in it acts on this host."""
    for name in ("run/systemd/system", "etc/systemd/system", "var/lib", "bin"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("systemctl", "shutdown", "setsid"):
        (tmp_path / "bin" / name).write_text(f'#!/bin/sh\necho {name} "$@" >>"{tmp_path}/calls"\n')
        (tmp_path / "bin" / name).chmod(0o755)
    script = user_data(30)
    for name in ("/run/systemd", "/etc/systemd", "/var/lib"):
        script = script.replace(name, f"{tmp_path}{name}")
    environment = {"PATH": f"{tmp_path}/bin:{os.environ['PATH']}"}
    subprocess.run(["sh", "-c", script], env=environment, check=True, timeout=20)
    return tmp_path


def test_systemd_timer_survives_reboot_and_manual_stop(systemd: Path) -> None:
    timer = (systemd / "etc/systemd/system/spot-train-dead-man.timer").read_text()
    calls = (systemd / "calls").read_text()

    assert re.search(r"^OnCalendar=\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC$", timer, re.MULTILINE)
    assert "Persistent=yes" in timer and "RefuseManualStop=yes" in timer and "WantedBy=timers.target" in timer
    assert "systemctl enable spot-train-dead-man.timer" in calls
    assert "systemctl start --no-block spot-train-dead-man.timer" in calls
    assert calls.index("shutdown -P +30") < calls.index("systemctl")
    assert (systemd / "var/lib/spot-train/deadline").stat().st_mode & 0o077 == 0
    assert (systemd / "var/lib/spot-train/dead-man").stat().st_mode & 0o077 == 0


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze here")
def test_systemd_accepts_the_units(systemd: Path) -> None:
    units = sorted((systemd / "etc/systemd/system").iterdir())
    service = systemd / "etc/systemd/system/spot-train-dead-man.service"
    assert f"ExecStart=/bin/sh {systemd}/var/lib/spot-train/dead-man 0" in service.read_text()

    answer = subprocess.run(
        ["systemd-analyze", "verify", *map(str, units)], capture_output=True, text=True, check=False
    )

    assert (answer.returncode, "spot-train" in answer.stderr) == (0, False), answer.stderr


def test_script_fits_user_data_and_every_shell() -> None:
    script = user_data(99999)
    assert len(script.encode()) < 16384
    subprocess.run(["sh", "-n"], input=script, text=True, check=True)
    if shutil.which("shellcheck"):
        subprocess.run(["shellcheck", "-s", "sh", "-"], input=script, text=True, check=True)
