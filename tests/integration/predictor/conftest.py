"""Fixtures: an S3 (moto in a separate process), universes in it, and the commands."""

from __future__ import annotations

import itertools
import json
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import boto3
import pandas as pd
import pytest
from predictor import aws
from predictor import preflight as preflight_module
from predictor.cli import main
from predictor.training.progress import Progress

from tests.support.predictor import *  # noqa: F403  # the fixtures
from tests.support.predictor import END, ROOT, RUN_DATE, Closes

WRITES = ("PUT", "POST", "DELETE", "PATCH")


@dataclass(frozen=True)
class S3Server:
    """moto in a separate process, since ArcticDB holds the interpreter lock during requests."""

    port: int
    log: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def requests(self) -> list[tuple[str, str]]:
        """Method and path of each request so far, from moto's log."""
        lines = (line.partition('"')[2].split(" ") for line in self.log.read_text().splitlines() if "HTTP/1.1" in line)
        return [(parts[0], parts[1]) for parts in lines]

    def writes(self, bucket: str) -> list[tuple[str, str]]:
        """Write requests to a bucket, including refused ones."""
        return [
            (method, path) for method, path in self.requests() if method in WRITES and path.startswith(f"/{bucket}")
        ]


@dataclass(frozen=True)
class Bucket:
    """An empty data bucket, and ways to fill it."""

    name: str
    server: S3Server

    @property
    def client(self) -> Any:
        return boto3.client("s3", region_name="us-east-1", endpoint_url=self.server.url)

    @property
    def uri(self) -> str:
        return (
            f"s3://127.0.0.1:{self.name}?port={self.server.port}&use_virtual_addressing=false"
            "&aws_auth=true&region=us-east-1&path_prefix=arcticdb"
        )

    def write(self, library: str, frames: dict[str, pd.DataFrame]) -> None:
        import arcticdb

        opened = arcticdb.Arctic(self.uri).get_library(library, create_if_missing=True)
        results = opened.write_batch([arcticdb.WritePayload(symbol, frame) for symbol, frame in frames.items()])
        assert not [item for item in results if isinstance(item, arcticdb.DataError)]

    def write_unsorted(self, library: str, symbol: str, frame: pd.DataFrame) -> None:
        """Write without ArcticDB's validation of the index."""
        import arcticdb

        arcticdb.Arctic(self.uri)[library].write(symbol, frame, validate_index=False)

    def read(self, library: str, symbol: str) -> pd.DataFrame:
        import arcticdb

        return arcticdb.Arctic(self.uri)[library].read(symbol).data

    def etags(self, prefix: str = "") -> dict[str, str]:
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.name, Prefix=prefix)
        return {item["Key"]: item["ETag"] for page in pages for item in page.get("Contents", [])}

    def result_keys(self, prefix: str = "") -> set[str]:
        return {key for key in self.etags(prefix) if not key.startswith("arcticdb/")}

    def live(self) -> dict[str, Any]:
        """The live manifest."""
        manifest: dict[str, Any] = json.loads(self.body("predictor/weights/meta/manifest.json"))
        return manifest

    def live_bodies(self) -> dict[str, bytes]:
        """The live model files by name."""
        return {name: self.body(described["key"]) for name, described in self.live()["files"].items()}

    def body(self, key: str) -> bytes:
        content: bytes = self.client.get_object(Bucket=self.name, Key=key)["Body"].read()
        return content


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    folder = tmp_path_factory.mktemp("moto")
    log = folder / "requests.log"
    with log.open("wb") as stream:
        # moto chooses and reports a free port, which avoids a race for it.
        command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"]
        process = subprocess.Popen(command, stdout=stream, stderr=stream, cwd=folder)
    try:
        yield S3Server(_port_of(process, log), log)
    finally:
        process.terminate()
        process.wait(30)


def _port_of(process: subprocess.Popen[bytes], log: Path) -> int:
    """The port that moto listens on."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        assert process.poll() is None, f"moto ended: {log.read_text()}"
        if found := re.search(r"Running on http://127\.0\.0\.1:(\d+)", log.read_text()):
            return int(found[1])
        time.sleep(0.1)
    raise AssertionError("moto does not listen")


_numbers = itertools.count()


@pytest.fixture
def bucket(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    """A new bucket on the server, with the environment's S3 and CloudWatch endpoints set to it."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", s3_server.url)
    monkeypatch.setenv("AWS_ENDPOINT_URL_CLOUDWATCH", s3_server.url)
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    made = Bucket(f"data-{next(_numbers)}", s3_server)
    made.client.create_bucket(Bucket=made.name)
    return made


@pytest.fixture
def universe(
    bucket: Bucket, frames: Callable[[Closes, date], dict[str, pd.DataFrame]], walks: Callable[..., Closes]
) -> Bucket:
    """A bucket with 12 symbols, bars for three folds, and SPX, all until Wednesday, 28 December 2022."""
    bucket.write("universe", frames(walks(380, 12), END))
    bucket.write("macro", {"SPX": frames(walks(40, 1), END)["S00"]})
    return bucket


@pytest.fixture
def front(tmp_path: Path) -> Iterator[Callable[..., str]]:
    """Start `aws_front.py` in front of an S3 and return its URL; `front.log` has the requests."""
    started: list[subprocess.Popen[str]] = []

    def start(port: int, *options: str) -> str:
        script = Path(__file__).with_name("aws_front.py")
        command = [sys.executable, str(script), str(port), str(tmp_path / "front.log"), *options]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        started.append(process)
        assert process.stdout is not None
        return f"http://127.0.0.1:{process.stdout.readline().strip()}"

    yield start
    for process in started:
        process.terminate()
        process.wait(10)
        assert process.stdout is not None
        process.stdout.close()


SLOW = ("c21_package_imports", "c23_installed_files")
"""Checks that take seconds and do not depend on what most tests change."""


@dataclass
class Preflight:
    """Runs the command, and keeps its report and output."""

    config_file: Callable[[], Path]
    output: Path
    capture: pytest.CaptureFixture[str]
    monkeypatch: pytest.MonkeyPatch
    lock: Path
    run_date: str = RUN_DATE
    report: Any = None
    printed: str = ""
    error: str = ""

    def __call__(self, bucket: str, *options: str, config: Path | None = None, whole: bool = False) -> int:
        """Run the command, without the slow checks unless `whole`."""
        arguments = ["preflight", "--data-bucket", bucket, "--run-date", self.run_date]
        arguments += ["--config", str(config or self.config_file()), "--lock", str(self.lock)]
        all_names = preflight_module.names
        with self.monkeypatch.context() as patch:
            if not whole:
                patch.setattr(preflight_module, "names", lambda: [name for name in all_names() if name not in SLOW])
            code = main([*arguments, "--output", str(self.output), *options])
        self.printed, self.error = self.capture.readouterr()
        self.report = json.loads(self.output.read_text())
        return code

    def status(self) -> dict[str, str]:
        return {check["name"]: check["status"] for check in self.report["checks"]}

    def check(self, name: str) -> dict[str, Any]:
        return next(check for check in self.report["checks"] if check["name"] == name)

    def detail(self, name: str) -> str:
        return str(self.check(name)["detail"])

    def bad(self) -> list[str]:
        """Names of the checks that did not pass."""
        return [name for name, status in self.status().items() if status != "pass"]


@pytest.fixture
def installed_lock(tmp_path: Path) -> Path:
    """The lock file of the tests' environment."""
    path = tmp_path / "installed.lock"
    # local_aws is installed from its folder and not pinned.
    path.write_text((ROOT / "requirements.lock").read_text() + "local-aws==0.1.0\n")
    return path


@pytest.fixture
def preflight(
    config_file: Callable[[], Path],
    installed_lock: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Preflight:
    return Preflight(config_file, tmp_path / "preflight.json", capsys, monkeypatch, installed_lock)


@dataclass
class Training:
    """Runs the command, and keeps its result and errors."""

    config_file: Callable[[], Path]
    folder: Path
    capture: pytest.CaptureFixture[str]
    result: Any = None
    error: str = ""

    def __call__(self, bucket: str, *options: str, run_date: str = RUN_DATE, run_id: str = "run-7") -> int:
        output = self.folder / "training.json"
        arguments = ["train", "--data-bucket", bucket, "--run-date", run_date, "--config", str(self.config_file())]
        arguments += ["--output", str(output), "--progress", str(self.folder / "progress.jsonl"), "--run-id", run_id]
        code = main([*arguments, *options])
        self.error = self.capture.readouterr().err
        self.result = json.loads(output.read_text())
        return code

    def progress(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.folder / "progress.jsonl").read_text().splitlines()]


@pytest.fixture
def training(config_file: Callable[[], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Training:
    return Training(config_file, tmp_path, capsys)


@pytest.fixture
def momentum(bucket: Bucket, frames: Any, walks: Any) -> Bucket:
    """A bucket with synthetic prices in which momentum pays, so that the model is promoted."""
    bucket.write("universe", frames(walks(620, 12, seed=3, drift=0.003), END))
    return bucket


@pytest.fixture
def at_stage(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, Callable[[], Any]], None]:
    """Call a function when a stage of a training begins."""

    def arrange(stage: str, action: Callable[[], Any]) -> None:
        original = Progress._write

        def write(self: Progress, name: str, *arguments: Any, **options: Any) -> None:
            original(self, name, *arguments, **options)
            if name == stage:
                action()

        monkeypatch.setattr(Progress, "_write", write)

    return arrange


@pytest.fixture
def before_put(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[str], Any]], None]:
    """Call a function with each key before it is written."""

    def arrange(action: Callable[[str], Any]) -> None:
        original = aws.s3_client

        def s3_client() -> Any:
            client = original()
            put = client.put_object

            def put_object(**arguments: Any) -> Any:
                action(arguments["Key"])
                return put(**arguments)

            client.put_object = put_object
            return client

        monkeypatch.setattr(aws, "s3_client", s3_client)

    return arrange
