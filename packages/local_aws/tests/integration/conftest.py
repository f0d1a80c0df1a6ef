"""A running embedded AWS, and what tests need to use it."""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config

from local_aws.__main__ import main
from local_aws.state import AccessKey, Reservation, reserve

PATIENCE = 60.0


class Server:
    """The embedded AWS of one state folder, and its command line."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self._session = boto3.session.Session()
        self._clients: dict[tuple[Any, ...], Any] = {}

    @property
    def reservation(self) -> Reservation:
        return reserve(self.home)

    def cli(self, *arguments: str, **extra: str) -> subprocess.CompletedProcess[str]:
        """Run ``python -m local_aws``; never raises."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        return subprocess.run(
            [sys.executable, "-m", "local_aws", *arguments],
            env={**environment, "LOCAL_AWS_HOME": str(self.home), **extra},
            capture_output=True,
            text=True,
            timeout=2 * PATIENCE,
            check=False,
        )

    def out(self, *arguments: str) -> str:
        """Output of a successful command, run in this process, as an interpreter starts slowly."""
        output = io.StringIO()
        with contextlib.redirect_stdout(output):
            code = main(["--home", str(self.home), *arguments])
        assert code == 0, output.getvalue()
        return output.getvalue()

    def start(self, *arguments: str) -> None:
        done = self.cli("start", "--boot-delay", "0", *arguments)
        assert done.returncode == 0, done

    def stop(self) -> None:
        """Stop it, with SIGKILL if necessary."""
        pid = self.pid()
        done = self.cli("stop")
        if pid is not None and done.returncode:
            os.kill(pid, signal.SIGKILL)

    def pid(self) -> int | None:
        path = self.home / "server.json"
        return int(json.loads(path.read_text())["pid"]) if path.exists() else None

    def status(self) -> dict[str, Any]:
        return dict(json.loads(self.out("status", "--json")))

    def ledger(self, *arguments: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out("log", "--json", *arguments).splitlines()]

    def fault(self, *arguments: str) -> dict[str, Any]:
        return dict(json.loads(self.out("fault", *arguments)))

    def client(self, service: str, key: AccessKey | None = None, **options: Any) -> Any:
        """A boto3 client without retries, by default the operator's."""
        wanted = (service, key, *sorted(options))
        if wanted not in self._clients:
            own = key or self.reservation.operator
            made = self.client_of(service, own.access_key_id, own.secret_access_key, **options)
            self._clients[wanted] = made
        return self._clients[wanted]

    def client_of(self, service: str, identifier: str, secret: str, token: str | None = None, **options: Any) -> Any:
        config = Config(retries={"total_max_attempts": 1}, signature_version="v4", s3={"addressing_style": "path"})
        if service == "s3":
            config = config.merge(Config(signature_version="s3v4"))
        return self._session.client(
            service,
            endpoint_url=self.reservation.endpoint,
            region_name="us-east-1",
            aws_access_key_id=identifier,
            aws_secret_access_key=secret,
            aws_session_token=token,
            config=config.merge(Config(**options)),
        )

    def image(self) -> str:
        answer = self.client("ssm").get_parameter(
            Name="/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64"
        )
        return str(answer["Parameter"]["Value"])

    def launch(self, script: str | None = None, **options: Any) -> str:
        """Launch one instance; return its id."""
        request: dict[str, Any] = {"ImageId": self.image(), "InstanceType": "t3.medium", "MinCount": 1, "MaxCount": 1}
        if script is not None:
            request["UserData"] = f"#!/bin/sh\n{script}\n"
        answer = self.client("ec2").run_instances(**{**request, **options})
        return str(answer["Instances"][0]["InstanceId"])

    def describe(self, instance: str) -> dict[str, Any]:
        answer = self.client("ec2").describe_instances(InstanceIds=[instance])
        return dict(answer["Reservations"][0]["Instances"][0])

    def state(self, instance: str) -> str:
        return str(self.describe(instance)["State"]["Name"])

    def await_state(self, instance: str, state: str) -> None:
        eventually(lambda: self.state(instance) == state, f"{instance} is not {state}")

    def online(self) -> list[str]:
        answer = self.client("ssm").describe_instance_information()
        return [each["InstanceId"] for each in answer["InstanceInformationList"] if each["PingStatus"] == "Online"]

    def await_online(self, instance: str) -> None:
        eventually(lambda: instance in self.online(), f"{instance} does not register")

    def console(self, instance: str) -> str:
        return self.out("console", instance)

    def session(self, instance: str, command: str) -> str:
        """Output of a command in a session on ``instance``, through our session-manager-plugin."""
        answer = self.client("ssm").start_session(Target=instance)
        answer.pop("ResponseMetadata")
        argv = [sys.executable, "-m", "local_aws.sessions.plugin", json.dumps(answer), "us-east-1", "StartSession"]
        done = subprocess.run(
            argv, input=f"{command}; exit\n", capture_output=True, text=True, timeout=PATIENCE, check=True
        )
        return done.stdout


def eventually(condition: Callable[[], object], what: str) -> None:
    """Wait until ``condition`` holds; fail with ``what`` after a timeout."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def processes_with(text: str) -> list[int]:
    """Live processes of this host whose command line contains ``text``."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                if text.encode() in (entry / "cmdline").read_bytes():
                    found.append(int(entry.name))
            except OSError:
                continue
    return found


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One embedded AWS for all tests that leave no trace in it."""
    made = Server(tmp_path_factory.mktemp("local-aws"))
    try:
        made.start()
        yield made
    finally:
        made.stop()


@pytest.fixture
def new_server(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Creates embedded AWSs for one test, without starting them; it stops them afterwards."""
    made: list[Server] = []

    def make(name: str = "home") -> Server:
        made.append(Server(tmp_path / name))
        return made[-1]

    yield make
    for each in made:
        each.stop()


@pytest.fixture
def launch(server: Server) -> Iterator[Callable[..., str]]:
    """Launches instances on the shared server; it terminates them afterwards."""
    instances: list[str] = []

    def start(script: str | None = None, **options: Any) -> str:
        instances.append(server.launch(script, **options))
        return instances[-1]

    yield start
    if instances:
        server.client("ec2").terminate_instances(InstanceIds=instances)


@pytest.fixture
def faults(server: Server) -> Iterator[Callable[..., dict[str, Any]]]:
    """Injects faults on the shared server; it clears them afterwards."""
    yield server.fault
    server.fault("clear")


@pytest.fixture
def iam_user(server: Server, request: pytest.FixtureRequest) -> Iterator[Callable[..., Callable[[str], Any]]]:
    """Creates IAM users with policy statements; returns a factory of clients for each."""
    iam = server.client("iam")
    made: list[tuple[str, str]] = []

    def make(*statements: dict[str, Any]) -> Callable[[str], Any]:
        name = f"user-{time.monotonic_ns()}"
        iam.create_user(UserName=name)
        document = {"Version": "2012-10-17", "Statement": list(statements)}
        if statements:
            iam.put_user_policy(UserName=name, PolicyName="only", PolicyDocument=json.dumps(document))
        key = iam.create_access_key(UserName=name)["AccessKey"]
        made.append((name, key["AccessKeyId"]))
        return lambda service: server.client_of(service, key["AccessKeyId"], key["SecretAccessKey"])

    yield make
    for name, key in made:
        iam.delete_access_key(UserName=name, AccessKeyId=key)
        for policy in iam.list_user_policies(UserName=name)["PolicyNames"]:
            iam.delete_user_policy(UserName=name, PolicyName=policy)
        iam.delete_user(UserName=name)


@pytest.fixture
def bucket(server: Server) -> Iterator[str]:
    """A new bucket of the shared server."""
    s3, name = server.client("s3"), f"bucket-{time.monotonic_ns()}"
    s3.create_bucket(Bucket=name)
    yield name
    for each in s3.list_objects_v2(Bucket=name).get("Contents", []):
        s3.delete_object(Bucket=name, Key=each["Key"])
    s3.delete_bucket(Bucket=name)


@pytest.fixture
def wait_until() -> Callable[[Callable[[], object], str], None]:
    """``eventually``, for tests."""
    return eventually


@pytest.fixture
def find_processes() -> Callable[[str], list[int]]:
    """``processes_with``, for tests."""
    return processes_with
