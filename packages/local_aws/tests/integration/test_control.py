"""Starting, stopping, killing and restarting the server."""

from __future__ import annotations

import concurrent.futures
import contextlib
import json
import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

ACCOUNT = Path(__file__).parents[1] / "data" / "account.yml"
NewServer = Callable[..., Any]
WaitUntil = Callable[[Callable[[], object], str], None]


def alive(pid: int) -> bool:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, 0)
        return True
    return False


def test_status_has_the_documented_shape(server: Any, launch: Callable[..., str]) -> None:
    before = datetime.now(UTC)
    kinds = ("instance", "volume", "spot-instances-request")
    tags = [{"ResourceType": kind, "Tags": [{"Key": "run", "Value": "r"}]} for kind in kinds]
    instance = launch(InstanceMarketOptions={"MarketType": "spot"}, TagSpecifications=tags)
    server.await_online(instance)
    session = server.client("ssm").start_session(Target=instance)["SessionId"]
    status = server.status()
    promised = {"endpoint", "ledger", "isolation", "instances", "volumes", "spot_requests", "sessions", "faults"}
    promised |= {"launch_templates", "schedules"}
    assert promised <= set(status)
    assert status["endpoint"] == server.reservation.endpoint and status["endpoint"].startswith("http://127.0.0.1:")
    assert os.path.isfile(status["ledger"])
    assert status["isolation"] in ("overlay", "user-namespace", "process-group")
    (shown,) = [each for each in status["instances"] if each["id"] == instance]
    launched = datetime.fromisoformat(shown.pop("launched_at"))
    assert before - timedelta(seconds=1) <= launched <= datetime.now(UTC)
    assert shown == {
        "id": instance,
        "state": "running",
        "reason": None,
        "terminated_at": None,
        "type": "t3.medium",
        "az": "us-east-1a",
        "lifecycle": "spot",
        "tags": {"run": "r"},
    }
    assert [each["state"] for each in status["volumes"] if each["tags"] == {"run": "r"}] == ["in-use"]
    (request,) = [each for each in status["spot_requests"] if each["instance"] == instance]
    assert (request["state"], request["status"], request["tags"]) == ("active", "fulfilled", {"run": "r"})
    (shown,) = [each for each in status["sessions"] if each["id"] == session]
    assert shown["instance_id"] == instance
    server.client("ec2").terminate_instances(InstanceIds=[instance])
    server.await_state(instance, "terminated")
    (shown,) = [each for each in server.status()["instances"] if each["id"] == instance]
    assert shown["reason"] == "Client.UserInitiatedShutdown"
    assert launched < datetime.fromisoformat(shown["terminated_at"]) <= datetime.now(UTC)
    text = server.out("status")
    assert instance in text and "t3.medium" in text and text.startswith("endpoint")


def test_second_start_finds_the_first(server: Any) -> None:
    pid = server.pid()
    assert server.out("start") == f"{server.reservation.endpoint}\n"
    assert server.pid() == pid


def test_state_files_are_private(server: Any) -> None:
    for name in ("reservation.json", "server.json"):
        assert stat.S_IMODE((server.home / name).stat().st_mode) == 0o600


def test_env_points_sdks_only_here(server: Any) -> None:
    key = server.reservation.control_node
    text = server.out("env")
    assert f"export AWS_ENDPOINT_URL={server.reservation.endpoint}\n" in text
    assert f"export AWS_ACCESS_KEY_ID={key.access_key_id}\n" in text
    assert "export AWS_CONFIG_FILE=/dev/null\n" in text and "export AWS_EC2_METADATA_DISABLED=true\n" in text
    assert server.reservation.operator.access_key_id in server.out("env", "--operator")


@pytest.mark.parametrize(
    "arguments", [["start", "--bootdelay", "0"], ["status", "--jsn"], ["nonsense"], [], ["start", "--boot-delay", "x"]]
)
def test_unknown_option_or_command_ends_with_2(server: Any, arguments: list[str]) -> None:
    done = server.cli(*arguments)
    assert done.returncode == 2 and "usage: python -m local_aws" in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [["status"], ["fault", "throttle"], ["seed", str(ACCOUNT)], ["console", "i-1"]],
    ids=lambda arguments: arguments[0],
)
def test_commands_report_stopped_server_in_one_line(new_server: NewServer, arguments: list[str]) -> None:
    done = new_server().cli(*arguments)
    assert (done.returncode, done.stdout) == (1, "")
    says = "local_aws: the embedded AWS is not running; start it with: python -m local_aws start\n"
    assert done.stderr == says


def test_stop_without_a_server_does_nothing(new_server: NewServer) -> None:
    made = new_server()
    done = made.cli("stop")
    assert (done.returncode, done.stdout) == (0, "the embedded AWS is not running\n")
    assert not made.home.exists()


def test_damaged_reservation_is_a_one_line_error(new_server: NewServer) -> None:
    made = new_server()
    made.home.mkdir()
    for text in ("{", "[]", '{"port": 1}'):
        (made.home / "reservation.json").write_text(text)
        done = made.cli("start")
        assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
        assert "reservation.json is damaged" in done.stderr and f"remove {made.home}" in done.stderr


def test_unwritable_state_folder_is_a_one_line_error(new_server: NewServer) -> None:
    made = new_server()
    made.home.write_text("a file")
    done = made.cli("start")
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
    assert "cannot write the state of the embedded AWS to" in done.stderr
    made.home.unlink()


def test_taken_port_is_a_one_line_error(new_server: NewServer) -> None:
    made = new_server()
    with socket.socket() as other:
        other.bind(("127.0.0.1", made.reservation.port))
        other.listen()
        done = made.cli("start")
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
    assert f"port {made.reservation.port} on 127.0.0.1 is in use by another program" in done.stderr
    assert made.pid() is None


def test_stale_process_id_is_not_the_server(new_server: NewServer) -> None:
    made = new_server()
    made.home.mkdir()
    (made.home / "server.json").write_text(json.dumps({"pid": os.getpid()}))
    assert made.cli("stop").stdout == "the embedded AWS is not running\n"
    (made.home / "server.json").unlink()


def test_stale_server_file_is_ignored_at_start(new_server: NewServer) -> None:
    """Another process may have its id, and the port answers before the new server has written its own."""
    made = new_server()
    made.home.mkdir()
    (made.home / "server.json").write_text(json.dumps({"pid": os.getpid()}))
    made.start()
    assert made.pid() != os.getpid()
    assert made.status()["instances"] == []


def test_killed_server_leaves_no_machine(
    new_server: NewServer, wait_until: WaitUntil, find_processes: Callable[[str], list[int]]
) -> None:
    made = new_server()
    made.start()
    instance = made.launch("sleep 54321 & exit 0")
    made.await_online(instance)
    pid, before = made.pid(), len(made.ledger())
    assert find_processes(str(made.home / "machines"))
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not find_processes(str(made.home / "machines")), "machines outlive their server")
    assert (made.home / "server.json").exists()
    made.start()
    assert made.pid() != pid
    assert made.status()["instances"] == []
    assert [path.name for path in (made.home / "machines").iterdir()] == []
    assert len(made.ledger()) >= before
    made.out("stop")
    assert made.cli("stop").stdout == "the embedded AWS is not running\n"


def test_concurrent_starts_share_one_server(
    new_server: NewServer, find_processes: Callable[[str], list[int]], wait_until: WaitUntil
) -> None:
    made = new_server()
    with concurrent.futures.ThreadPoolExecutor() as threads:
        starts = [threads.submit(made.cli, "start", "--boot-delay", "0") for _ in range(2)]
    assert {each.result().stdout for each in starts} == {f"{made.reservation.endpoint}\n"}
    pid, instance = made.pid(), made.launch()
    made.await_online(instance)
    made.out("stop")
    assert not alive(pid)
    assert find_processes(str(made.home)) == []
    assert not (made.home / "server.json").exists()


def test_idle_server_stops(new_server: NewServer, wait_until: WaitUntil) -> None:
    made = new_server()
    made.out("start", "--idle-minutes", "0.2")
    wait_until(lambda: not (made.home / "server.json").exists(), "the server does not stop")
    assert "stopping" in (made.home / "server.log").read_text()


def test_closed_pipe_is_ignored(server: Any) -> None:
    command = f"{sys.executable} -m local_aws log --json | head -n 1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(
        ["bash", "-c", command],
        env={**os.environ, "LOCAL_AWS_HOME": str(server.home)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
