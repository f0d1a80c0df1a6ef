"""Another training project, with its own repository, lock file, package, commands and data, by variables alone."""

from __future__ import annotations

import base64
import functools
import gzip
import json
import random
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e.runs.conftest import NO_LEAKS, Account, Run, keys
from tests.integration.termination.conftest import account_without_prices
from tests.support.account import DATA_BUCKET, ROOT

GUEST = Path(__file__).resolve().parent / "guest"
USER, PASSWORD = "reader", "s3cr3t-pass"
#: Of the predictor's lock file, what the guest installs.
LOCKED = (
    *(
        "boto3",
        "botocore",
        "cloudpickle",
        "flit-core",
        "jmespath",
        "joblib",
        "narwhals",
        "numpy",
        "python-dateutil",
        "s3transfer",
    ),
    *("scikit-learn", "scipy", "six", "threadpoolctl", "urllib3"),
)


@dataclass
class Repository:
    """A git repository that is served over HTTP to whoever has the password."""

    folder: Path
    commit: str
    port: int

    @property
    def url(self) -> str:
        return f"http://{USER}:{PASSWORD}@127.0.0.1:{self.port}/.git"


class Handler(SimpleHTTPRequestHandler):
    """A web server for files, which asks for the password."""

    def do_GET(self) -> None:
        wanted = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        if self.headers.get("Authorization") == wanted:
            super().do_GET()
            return
        self.send_response(401)
        self.send_header("WWW-Authenticate", 'Basic realm="git"')
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


def git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), "-c", "user.name=Guest", "-c", "user.email=guest@example.org", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def lock() -> str:
    """The guest's lock file."""
    text = (ROOT / "files" / "predictor" / "requirements.lock").read_text()
    blocks = re.split(r"\n(?=[a-z])", text)
    return "\n".join(block for block in blocks if re.split(r"==", block)[0] in LOCKED) + "\n"


def days() -> str:
    """Sales of two years: warm days and Sundays sell."""
    chance = random.Random(7)
    lines = ["day,temperature,sold"]
    for number in range(730):
        day = date(2022, 6, 30) + timedelta(days=number + 1)
        temperature = 12 + 10 * chance.random() + (8 if 4 < day.month < 10 else 0)
        sold = 20 + 9 * temperature + (80 if day.weekday() == 6 else 0) + chance.gauss(0, 12)
        lines.append(f"{day},{temperature:.1f},{sold:.0f}")
    return "\n".join(lines) + "\n"


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Repository]:
    folder = tmp_path_factory.mktemp("guest") / "icecream"
    shutil.copytree(GUEST / "project", folder, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "requirements.lock").write_text(lock())
    git(folder, "init", "--quiet", "--initial-branch", "main")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "--message", "Sell ice cream")
    wanted = git(folder, "rev-parse", "HEAD")
    git(folder, "update-server-info")
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield Repository(folder, wanted, server.server_port)
    server.shutdown()
    thread.join()
    server.server_close()


def put_as_shown(account: Account, data: str) -> None:
    """Put the guest's data into its bucket with the commands of docs/bring-your-own.md."""
    page = (ROOT / "docs" / "bring-your-own.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"## Put your data there\n.*?```sh\n(.*?)```", page, re.DOTALL)
    _activate, _start, *commands = block.splitlines()  # it runs already, in another home
    (account.folder / "days.csv").write_text(data)
    shell = ["bash", "-euc", "\n".join(commands)]
    subprocess.run(shell, cwd=account.folder, env={**account.variables(), "PYTHONPATH": str(ROOT)}, check=True)


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    """An account whose instances may read sales/ and write icecream/, which only its description says."""
    account = Account(tmp_path_factory.mktemp("e2e-guest"))
    description = account_without_prices(account.folder, data_prefixes=["sales/"], artefact_prefixes=["icecream/"])
    account.local_aws("start", "--boot-delay", "0.5", "--seed", str(description))
    put_as_shown(account, days())
    assert account.client("s3").head_object(Bucket=DATA_BUCKET, Key="sales/days.csv")["ContentLength"] == len(days())
    yield account
    account.stop()


@pytest.fixture(scope="module")
def inventory(account: Account, repository: Repository) -> list[str]:
    """The options that name the guest's inventory, and the day after its data ends."""
    folder = account.folder / "inventory"
    (folder / "group_vars").mkdir(parents=True)
    shutil.copy(account.folder / "account.yml", folder / "account.yml")
    (folder / "local_aws.yml").write_text(
        yaml.safe_dump({"plugin": "spot_train.core.local_aws", "account": "account.yml"})
    )
    variables = yaml.safe_load((GUEST / "source.yml").read_text())
    variables["training_source"]["git"] = repository.url
    (folder / "group_vars" / "local.yml").write_text(yaml.safe_dump(variables))
    return ["-i", str(folder), "-e", "run_date=2024-06-30"]


@pytest.fixture(scope="module")
def preflight(account: Account, inventory: list[str]) -> Run:
    """The guest's preflight."""
    return account.train(*inventory, "-e", "preflight_only=true")


@pytest.fixture(scope="module")
def training(account: Account, inventory: list[str], preflight: Run) -> Run:
    """The guest's training, smoke and full, after its preflight."""
    assert preflight.code == 0, preflight.output
    return account.train(*inventory, "-vv")


def test_guest_preflight_passes_and_writes_nothing(preflight: Run, account: Account, repository: Repository) -> None:
    assert preflight.code == 0, preflight.output
    receipt = preflight.receipt
    assert (receipt["mode"], receipt["outcome"], receipt["training"]) == ("preflight", "passed", None)
    probe, imports = preflight.check("probe"), preflight.check("imports")
    assert (probe["status"], probe["detail"]) == ("pass", "730 days, the last one 1 days old")
    assert (imports["status"], imports["detail"]) == ("pass", "icecream.fit, sklearn.linear_model")
    assert (receipt["writes"]["data_bucket"], receipt["writes"]["denied"]) == (0, 0)
    assert receipt["writes"]["digest"]["equal"] is True
    assert receipt["writes"]["digest"]["prefixes"] == ["sales/", "icecream/"]
    assert receipt["run"]["revision"] == repository.commit
    assert receipt["notes"] == []
    assert receipt["leaks"] == NO_LEAKS
    account.assert_nothing_left()


def test_its_training_is_promoted_with_its_own_figures(training: Run, account: Account, repository: Repository) -> None:
    assert training.code == 0, training.output
    receipt = training.receipt
    assert (receipt["mode"], receipt["outcome"]) == ("both", "passed")
    result, smoke = receipt["training"], receipt["smoke"]
    assert (result["promoted"], result["folds"], result["median_ic"]) == (True, None, None)
    assert set(result["metrics"]) == {"r2", "mean_absolute_error"} and result["metrics"]["r2"] > 0.5
    assert [(gate["name"], gate["passed"]) for gate in result["gates"]] == [("r2", True)]
    assert (smoke["dry_run"], smoke["written"]) == (True, [])
    assert "fitting" in training.output
    assert receipt["run"]["revision"] == receipt["run"]["training_source"]["revision"] == repository.commit
    assert receipt["leaks"] == NO_LEAKS
    account.assert_nothing_left()
    written = {f"icecream/models/{receipt['run_id']}.json", "icecream/manifest.json"}
    assert set(result["written"]) == written
    assert {key for key in keys(account) if not key.startswith("sales/")} == written
    manifest = account.client("s3").get_object(Bucket=DATA_BUCKET, Key="icecream/manifest.json")["Body"].read()
    assert json.loads(manifest) == {"model": f"icecream/models/{receipt['run_id']}.json", "commit": repository.commit}


def test_its_page_speaks_of_its_figures_and_of_no_folds(training: Run) -> None:
    page = training.page
    assert "r2" in page and "mean_absolute_error" in page
    assert "fold" not in page.partition("</style>")[2].lower()
    assert "median IC" not in page
    assert re.search(r"training   r2 0\.\d+, mean_absolute_error \d+\.\d+, promoted", training.output)


def test_repository_password_is_stored_nowhere(training: Run, preflight: Run) -> None:
    for run in (training, preflight):
        assert run.folder is not None
        assert PASSWORD not in run.output
        for path in run.folder.rglob("*"):
            if path.is_file():
                data = path.read_bytes()
                content = gzip.decompress(data) if path.suffix == ".gz" else data
                assert PASSWORD.encode() not in content, path
        assert run.receipt["run"]["training_source"]["git"].startswith("http://127.0.0.1:")


@pytest.fixture(scope="module")
def dirty(account: Account, inventory: list[str], repository: Repository) -> Run:
    """A preflight of the folder itself, with an uncommitted change and a missing module."""
    (repository.folder / "icecream" / "extra.py").write_text("")
    source = yaml.safe_load((GUEST / "source.yml").read_text())["training_source"]
    source = {**source, "path": str(repository.folder), "ref": "", "imports": ["icecream.fit", "icecream.cones"]}
    return account.train(*inventory, "-e", "preflight_only=true", "-e", json.dumps({"training_source": source}))


def test_failed_import_is_named_with_its_reason(account: Account, dirty: Run) -> None:
    words = "1 of 2 cannot be imported: icecream.cones (ModuleNotFoundError: No module named 'icecream.cones')"
    assert dirty.code == 2
    assert dirty.check("imports")["detail"] == words
    assert (dirty.receipt["outcome"], dirty.receipt["failed_step"]) == ("failed", "preflight")
    assert words in dirty.receipt["error"]
    assert [check["name"] for check in dirty.receipt["preflight"]["checks"] if check["tier"] == "instance"] == [
        "imports"
    ]
    assert (dirty.receipt["leaks"], dirty.receipt["writes"]["data_bucket"]) == (NO_LEAKS, 0)
    account.assert_nothing_left()


def test_uncommitted_changes_are_in_output_and_receipt(dirty: Run, repository: Repository) -> None:
    words = f"training source {repository.folder} is dirty: 1 file differs from its commit {repository.commit[:12]}"
    assert f"[WARNING]: The {words} (icecream/extra.py)." in dirty.output
    assert [note for note in dirty.receipt["notes"] if words in note] != []
    source = dirty.receipt["run"]["training_source"]
    assert (source["revision"], source["dirty"], source["unpushed"]) == (repository.commit, True, None)
