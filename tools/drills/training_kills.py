"""`python -m tools.drills.training_kills`: trainings killed at moments that chance decides, then run again.

Each must end with the same bytes as one that was left alone, and somebody who reads the live set through its manifest
all the while must never see files that are not what it says. The trainings are the default project's own, on the real
prices of an embedded AWS, with fewer and larger folds than it has by default and with a gate that everything passes.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from local_aws.state import reserve

from tests.support.account import DATA_BUCKET, ROOT, EmbeddedAccount

PREDICTOR = ROOT / "files" / "predictor"
PYTHON = ROOT / ".venv" / "bin" / "python"
RUN_DATE = "2022-12-29"
MANIFEST = "predictor/weights/meta/manifest.json"
LOOK_SECONDS = 0.02
#: Between two readings of the live set, so that the reader leaves the trainings some of the machine.
READ_SECONDS = 0.05
LONGEST_SECONDS = 600.0
SMALL = {"walk_forward": {"test_days": 756}, "lightgbm": {"trees": 20}, "gates": {"median_ic": {"threshold": -1.0}}}

Weights = Mapping[str, str]
"""SHA-256 by file name."""


@dataclass(frozen=True)
class Kill:
    """When one training is killed.

    Attributes:
        number: Of the kill.
        in_writing: Whether the moment is counted from the start of its writing, which is short and matters most.
        share: The moment, as a share of what an undisturbed training takes for that.
    """

    number: int
    in_writing: bool
    share: float


def plan(count: int, seed: int) -> list[Kill]:
    """The kills; the same for the same seed, whatever `count` is beyond them. Every second one is in the writing."""
    chance = random.Random(seed)
    return [Kill(k, k % 2 == 0, round(chance.uniform(0, 1), 3)) for k in range(1, count + 1)]


class Training:
    """One `predictor train` in a process of its own."""

    def __init__(self, folder: Path, environment: Mapping[str, str], config: Path, name: str) -> None:
        """Start it.

        Args:
            folder: Gets what it leaves.
            environment: With the keys and the address of the embedded AWS.
            config: Its configuration.
            name: Its run id, and where it keeps its folds; the same again goes on with them.
        """
        self._result, self._progress = folder / f"{name}.json", folder / f"{name}.jsonl"
        self._result.unlink(missing_ok=True)
        self._progress.unlink(missing_ok=True)
        self._started = time.monotonic()
        self._log = folder / f"{name}.log"
        options = ["--data-bucket", DATA_BUCKET, "--run-date", RUN_DATE, "--config", str(config), "--run-id", name]
        options += ["--output", str(self._result), "--progress", str(self._progress), "--state-prefix", f"runs/{name}"]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [PYTHON, "-m", "predictor", "train", *options],
                env={**environment, "PYTHONPATH": str(PREDICTOR / "src")},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def stage(self) -> str:
        """The stage it is in, and the last fold it has done."""
        lines = self._progress.read_text().splitlines() if self._progress.exists() else []
        try:
            last = json.loads(lines[-1]) if lines else {}
        except ValueError:
            last = {}
        fold = last.get("fold")
        return str(last.get("stage", "start")) + (f" (fold {fold})" if fold is not None else "")

    def wait(self, until: Callable[[], bool]) -> None:
        """Wait until something holds, or the training has ended."""
        deadline = time.monotonic() + LONGEST_SECONDS
        while not until() and self._process.poll() is None and time.monotonic() < deadline:
            time.sleep(LOOK_SECONDS)

    def seconds(self) -> float:
        """How long it has run."""
        return time.monotonic() - self._started

    def kill(self) -> bool:
        """Kill it; whether it was still there to be killed."""
        alive = self._process.poll() is None
        if alive:
            self._process.send_signal(signal.SIGKILL)
        self._process.wait()
        return alive

    def result(self) -> dict[str, Any]:
        """Its result once it has ended.

        Raises:
            AssertionError: It failed.
        """
        code = self._process.wait(LONGEST_SECONDS)
        assert code == 0, f"exit code {code}: {self._log.read_text()[-2000:]}"
        result: dict[str, Any] = json.loads(self._result.read_text())
        return result


class Reader(threading.Thread):
    """Reads the live set over and over, as inference does: the manifest, then what it names."""

    def __init__(self, client: Any) -> None:
        """Not started yet; `client` is a boto3 S3 client.

        `sets` counts how often each version was read whole, `torn` says what was wrong with a set each time.
        """
        super().__init__(daemon=True)
        self._client = client
        self._told_to_end = threading.Event()
        self.sets: dict[str, int] = {}
        self.torn: list[str] = []

    def run(self) -> None:
        """Read until told to stop."""
        while not self._told_to_end.is_set():
            try:
                version = self.read_once()
            except Exception as error:  # whatever it is, a reader could not read
                self.torn.append(f"{type(error).__name__}: {error}")
            else:
                self.sets[version] = self.sets.get(version, 0) + 1
            self._told_to_end.wait(READ_SECONDS)

    def read_once(self) -> str:
        """Read the live set once; its version.

        Raises:
            ValueError: A file is not what the manifest says.
            ClientError: A file is not there.
        """
        manifest = json.loads(self._body(MANIFEST))
        for name, described in manifest["files"].items():
            if hashlib.sha256(self._body(described["key"])).hexdigest() != described["sha256"]:
                raise ValueError(f"{name} of version {manifest['version']} is another's")
        return str(manifest["version"])

    def weights(self) -> Weights:
        """What is live, by the manifest."""
        return {name: described["sha256"] for name, described in json.loads(self._body(MANIFEST))["files"].items()}

    def stop(self) -> None:
        """Stop, and wait for it."""
        self._told_to_end.set()
        self.join()

    def _body(self, key: str) -> bytes:
        body: bytes = self._client.get_object(Bucket=DATA_BUCKET, Key=key)["Body"].read()
        return body


@dataclass(frozen=True)
class Undisturbed:
    """What a training that was left alone took and made."""

    seconds: float
    writing_seconds: float
    weights: Weights


def leave_alone(start: Callable[[str], Training], reader: Reader) -> Undisturbed:
    """Train once without a kill; what it promotes is the first incumbent."""
    training = start("undisturbed")
    training.wait(lambda: False)
    seconds = training.seconds()
    result = training.result()
    assert result["promoted"], f"the undisturbed training was not promoted: {result['gates']}"
    return Undisturbed(seconds, result["stages"]["write"], reader.weights())


def strike(kill: Kill, start: Callable[[str], Training], reader: Reader, known: Undisturbed) -> list[str]:
    """Kill one training and run it again; what was wrong."""
    name = f"killed-{kill.number}"
    training = start(name)
    if kill.in_writing:
        training.wait(lambda: training.stage().startswith("write"))
        moment = training.seconds() + kill.share * known.writing_seconds
    else:
        moment = kill.share * known.seconds
    training.wait(lambda: training.seconds() >= moment)
    stage = training.stage()
    killed = training.kill()
    result = start(name).result() if killed else training.result()
    problems = [] if result["promoted"] else [f"not promoted: {result['gates']}"]
    if reader.weights() != known.weights:
        problems.append("other bytes than the undisturbed training's")
    problems += reader.torn
    reader.torn.clear()
    print(
        f"{kill.number:4}  {'killed' if killed else 'over'} after {moment:5.1f} s  in {stage:24}"
        f" {result['resumed_folds']:2} of {result['folds'] + len(result['skipped_folds'])} folds resumed"
        f"  {'; '.join(problems) or 'the same bytes'}",
        flush=True,
    )
    return problems


def main() -> int:
    """Kill trainings; 1 if one ended otherwise than it should have, or a torn set was seen."""
    options = _parser().parse_args()
    # So that the embedded AWS is stopped.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with tempfile.TemporaryDirectory(prefix="training-kills-") as scratch:
        folder = Path(scratch)
        account = EmbeddedAccount(folder)
        try:
            account.start()
            return _kill_all(folder, account, plan(options.runs, options.seed), options.seed)
        finally:
            account.local_aws("stop")


def _kill_all(folder: Path, account: EmbeddedAccount, kills: list[Kill], seed: int) -> int:
    config, environment = _config(folder), _environment(account)
    reader = Reader(account.client("s3"))

    def start(name: str) -> Training:
        return Training(folder, environment, config, name)

    known = leave_alone(start, reader)
    print(f"undisturbed: {known.seconds:.1f} s, of which {known.writing_seconds:.1f} s writing", flush=True)
    reader.start()
    try:
        failed = sum(bool(strike(kill, start, reader, known)) for kill in kills)
    finally:
        reader.stop()
    failed += bool(reader.torn)
    print(
        f"{len(kills) - failed} of {len(kills)} trainings ended with the same bytes; the live set was read"
        f" {sum(reader.sets.values())} times in {len(reader.sets)} versions and was whole each time (seed {seed})"
        if not failed
        else f"{failed} of {len(kills)} trainings did not end as they should (seed {seed})"
    )
    return 1 if failed else 0


def _config(folder: Path) -> Path:
    settings = yaml.safe_load((PREDICTOR / "config" / "default.yaml").read_text())
    _merge(settings, SMALL)
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(settings))
    return path


def _merge(settings: dict[str, Any], changes: Mapping[str, Any]) -> None:
    for name, value in changes.items():
        if isinstance(value, Mapping):
            _merge(settings[name], value)
        else:
            settings[name] = value


def _environment(account: EmbeddedAccount) -> dict[str, str]:
    """The environment of a training: the account owner's keys, and the embedded AWS's address."""
    reservation = reserve(account.folder / "aws")
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    return {
        **kept,
        "AWS_ENDPOINT_URL": reservation.endpoint,
        "AWS_REGION": reservation.region,
        "AWS_ACCESS_KEY_ID": reservation.operator.access_key_id,
        "AWS_SECRET_ACCESS_KEY": reservation.operator.secret_access_key,
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tools.drills.training_kills", description=__doc__, allow_abbrev=False
    )
    parser.add_argument("--runs", type=int, default=20, metavar="N", help="so many trainings (20)")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="decides the moments (1)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
