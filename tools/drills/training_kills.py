"""`python -m tools.drills.training_kills`: kill trainings at random moments, then run them again.

Each must end with the same bytes as an undisturbed one, and a concurrent reader of the live set must never see files
that do not match the manifest. The trainings run the default project with fewer, larger folds and a gate that always
passes.
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

from local_aws.state import reserve

from tests.support.account import DATA_BUCKET, ROOT, EmbeddedAccount, project_copy
from tools.signals import stop_on

PYTHON = ROOT / ".venv" / "bin" / "python"
RUN_DATE = "2022-12-29"
MANIFEST = "predictor/weights/meta/manifest.json"
LOOK_SECONDS = 0.02
#: Pause between two readings of the live set, to leave processor time to the trainings.
READ_SECONDS = 0.05
LONGEST_SECONDS = 600.0
#: Changes of the default configuration: fewer folds, fewer trees, and a gate that always passes.
SMALL = {"test_days: 126": "test_days: 756", "trees: 60": "trees: 20", "threshold: 0.02": "threshold: -1.0"}

Weights = Mapping[str, str]
"""SHA-256 by file name."""


@dataclass(frozen=True)
class Kill:
    """When one training is killed: at a share of an undisturbed training's duration.

    With `in_writing` the time counts from the start of writing, which is short and matters most.
    """

    number: int
    in_writing: bool
    share: float


def plan(count: int, seed: int) -> list[Kill]:
    """The kills, every second one during writing; a seed always gives the same sequence."""
    chance = random.Random(seed)
    return [Kill(k, k % 2 == 0, round(chance.uniform(0, 1), 3)) for k in range(1, count + 1)]


class Training:
    """One `predictor train` process."""

    def __init__(self, folder: Path, environment: Mapping[str, str], config: Path, name: str) -> None:
        """Start it; `name` is its run id and the prefix of its folds, which a training with the same name resumes."""
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
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def stage(self) -> str:
        """The current stage and the last completed fold."""
        lines = self._progress.read_text().splitlines() if self._progress.exists() else []
        try:
            last = json.loads(lines[-1]) if lines else {}
        except ValueError:
            last = {}
        fold = last.get("fold")
        return str(last.get("stage", "start")) + (f" (fold {fold})" if fold is not None else "")

    def wait(self, until: Callable[[], bool]) -> None:
        """Wait until a condition holds or the training has ended."""
        deadline = time.monotonic() + LONGEST_SECONDS
        while not until() and self._process.poll() is None and time.monotonic() < deadline:
            time.sleep(LOOK_SECONDS)

    def seconds(self) -> float:
        """How long it has run."""
        return time.monotonic() - self._started

    def kill(self) -> bool:
        """Kill it; return whether it still ran."""
        alive = self._process.poll() is None
        if alive:
            self._process.send_signal(signal.SIGKILL)
        self._process.wait()
        return alive

    def result(self) -> dict[str, Any]:
        """Wait for its result.

        Raises:
            AssertionError: It failed.
        """
        code = self._process.wait(LONGEST_SECONDS)
        assert code == 0, f"exit code {code}: {self._log.read_text()[-2000:]}"
        result: dict[str, Any] = json.loads(self._result.read_text())
        return result


class Reader(threading.Thread):
    """Reads the live set repeatedly, as inference does: the manifest, then the files in it.

    Attributes:
        sets: How often each version was read completely.
        torn: The errors of all other reads.
    """

    def __init__(self, client: Any) -> None:
        """Read with a boto3 S3 client."""
        super().__init__(daemon=True)
        self._client = client
        self._stopping = threading.Event()
        self.sets: dict[str, int] = {}
        self.torn: list[str] = []

    def run(self) -> None:
        """Read until `stop`."""
        while not self._stopping.is_set():
            try:
                version = self.read_once()
            except Exception as error:  # any error fails a reader
                self.torn.append(f"{type(error).__name__}: {error}")
            else:
                self.sets[version] = self.sets.get(version, 0) + 1
            self._stopping.wait(READ_SECONDS)

    def read_once(self) -> str:
        """Read the live set once; return its version.

        Raises:
            ValueError: A file does not match the manifest.
            ClientError: A file is missing.
        """
        manifest = json.loads(self._body(MANIFEST))
        for name, described in manifest["files"].items():
            if hashlib.sha256(self._body(described["key"])).hexdigest() != described["sha256"]:
                raise ValueError(f"{name} of version {manifest['version']} does not match the manifest")
        return str(manifest["version"])

    def weights(self) -> Weights:
        """The live set according to the manifest."""
        return {name: described["sha256"] for name, described in json.loads(self._body(MANIFEST))["files"].items()}

    def stop(self) -> None:
        """Stop and wait for the thread."""
        self._stopping.set()
        self.join()

    def _body(self, key: str) -> bytes:
        body: bytes = self._client.get_object(Bucket=DATA_BUCKET, Key=key)["Body"].read()
        return body


@dataclass(frozen=True)
class Undisturbed:
    """Duration and result of a training without a kill."""

    seconds: float
    writing_seconds: float
    weights: Weights


def undisturbed(start: Callable[[str], Training], reader: Reader) -> Undisturbed:
    """Train once without a kill; its set becomes the first incumbent."""
    training = start("undisturbed")
    training.wait(lambda: False)
    seconds = training.seconds()
    result = training.result()
    assert result["promoted"], f"the undisturbed training was not promoted: {result['gates']}"
    return Undisturbed(seconds, result["stages"]["write"], reader.weights())


def strike(kill: Kill, start: Callable[[str], Training], reader: Reader, known: Undisturbed) -> list[str]:
    """Kill one training and run it again; return the problems."""
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
        problems.append("the bytes differ from the undisturbed training's")
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
    """Kill trainings; 1 if a result or a read of the live set was wrong."""
    options = _parser().parse_args()
    stop_on()
    with tempfile.TemporaryDirectory(prefix="training-kills-") as scratch:
        folder = Path(scratch)
        account = EmbeddedAccount(folder)
        try:
            account.start()
            return _kill_all(folder, account, plan(options.runs, options.seed), options.seed)
        finally:
            account.local_aws("stop")


def _kill_all(folder: Path, account: EmbeddedAccount, kills: list[Kill], seed: int) -> int:
    project = project_copy(folder / "predictor", SMALL)
    config, environment = project / "config" / "default.yaml", _environment(account, project)
    reader = Reader(account.client("s3"))

    def start(name: str) -> Training:
        return Training(folder, environment, config, name)

    known = undisturbed(start, reader)
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
        else f"{failed} of {len(kills)} trainings failed (seed {seed})"
    )
    return 1 if failed else 0


def _environment(account: EmbeddedAccount, project: Path) -> dict[str, str]:
    """The environment of a training: its project, the account owner's keys, and the embedded AWS's address."""
    reservation = reserve(account.folder / "aws")
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    keys = reservation.client_environment(reservation.operator)
    return {**kept, **keys, "PYTHONPATH": str(project / "src")}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tools.drills.training_kills", description=__doc__, allow_abbrev=False
    )
    parser.add_argument("--runs", type=int, default=20, metavar="N", help="number of trainings (20)")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="seed for the times (1)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
