"""A training project with everything wrong that software can have wrong, and one whose preflight tries to write.

Both run through the whole playbook. What is wrong is wrong on the machine: the environment is changed after it was
installed, by the project itself.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import NO_LEAKS, ROOT, Account, Run, keys, start

TAMPERED = '''"""Change the installed environment, then run the preflight as the project's own command."""

from __future__ import annotations

import os
import shutil
from importlib.metadata import distribution
from pathlib import Path

from predictor.cli import main as predictor


def set_version(name: str, version: str) -> None:
    """Have a package say that it is another version."""
    metadata = Path(str(distribution(name).locate_file(""))) / f"{name}-{distribution(name).version}.dist-info/METADATA"
    lines = metadata.read_text().splitlines(keepends=True)
    metadata.write_text("".join(f"Version: {version}\\n" if x.startswith("Version:") else x for x in lines))


def main() -> int:
    """Run."""
    site = Path(str(distribution("six").locate_file("")))
    set_version("six", "1.0")
    set_version("toolz", "99.0")
    for path in site.glob("pytz*"):
        shutil.rmtree(path)
    extra = site / "stowaway-1.0.dist-info"
    extra.mkdir(exist_ok=True)
    (extra / "METADATA").write_text("Metadata-Version: 2.1\\nName: stowaway\\nVersion: 1.0\\n")
    (extra / "RECORD").write_text("stowaway-1.0.dist-info/METADATA,,\\n")
    (site / "packaging" / "tags.py").open("a").write("# changed\\n")
    del os.environ["AWS_REGION"]
    return predictor()
'''

WRITE_PROBE = '''"""A probe that writes, as no check may."""

from __future__ import annotations

from predictor import aws
from predictor.checks.base import Context, Finding

GROUP = "data"
REMEDY = "Take the writes out of the probe."


def run(context: Context) -> Finding:
    """Try every way to write there is."""
    import arcticdb
    import pandas as pd
    from predictor import store

    s3, bucket = aws.s3_client(), context.data_bucket
    uri = store.arctic_uri(bucket, aws.region(), context.arctic_prefix, aws.endpoint())
    frame = pd.DataFrame({"close": [1.0]}, index=pd.date_range("2022-01-03", periods=1))
    attempts = {
        "put": lambda: s3.put_object(Bucket=bucket, Key="predictor/probe", Body=b"x"),
        "delete": lambda: s3.delete_object(Bucket=bucket, Key="predictor/probe"),
        "multipart": lambda: s3.create_multipart_upload(Bucket=bucket, Key="predictor/probe"),
        "arcticdb": lambda: arcticdb.Arctic(uri)["universe"].write("PROBE", frame),
    }
    said = []
    for name, attempt in attempts.items():
        try:
            attempt()
            said.append(f"{name} went through")
        except Exception as error:
            text = str(error)
            said.append(f"{name} {'denied' if 'AccessDenied' in text or 'PERMISSION' in text else text}")
    return Finding("fail", "; ".join(said), said)
'''


def project(folder: Path) -> Path:
    """A copy of the default training project, to be spoilt."""
    shutil.copytree(ROOT / "files" / "predictor", folder, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    return folder


def source(folder: Path, command: str) -> list[str]:
    """The options that have the playbook take the training project from a folder."""
    training = {
        "path": str(folder),
        "lock": "requirements.lock",
        "config": "config/default.yaml",
        "preflight_command": [command, "preflight"],
        "train_command": ["predictor", "train"],
    }
    return ["-e", json.dumps({"training_source": training})]


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    account = Account(tmp_path_factory.mktemp("e2e-software"))
    start(account)
    yield account
    account.local_aws("stop")
    assert account.processes() == []


@pytest.fixture(scope="module")
def spoilt(account: Account, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A preflight of a project in which every piece of software is wrong."""
    folder = project(tmp_path_factory.mktemp("spoilt") / "project")
    package = folder / "src" / "predictor"
    (package / "tampered.py").write_text(TAMPERED)
    (package / "broken.py").write_text("import no_such_library\n")
    (package / "phones_home.py").write_text(
        "import socket\n\ntry:\n    socket.create_connection(('198.51.100.7', 80), 1)\nexcept OSError:\n    pass\n"
    )
    (folder / "config" / "default.yaml").write_text("# nothing\n")
    manifest = folder / "pyproject.toml"
    text = manifest.read_text()
    manifest.write_text(text.replace("[project.scripts]", '[project.scripts]\ntampered = "predictor.tampered:main"'))
    return account.train("-e", "preflight_only=true", *source(folder, "tampered"))


@pytest.fixture(scope="module")
def writing(account: Account, tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, dict[str, str]]:
    """A preflight with a probe that writes, on a day on which every symbol is stale; and the keys that were there."""
    folder = project(tmp_path_factory.mktemp("writing") / "project")
    (folder / "src" / "predictor" / "checks" / "c90_write_probe.py").write_text(WRITE_PROBE)
    before = keys(account)
    return account.train("-e", "preflight_only=true", "-e", "run_date=2023-02-01", *source(folder, "predictor")), before


def check(run: Run, name: str) -> dict[str, Any]:
    """One check of the receipt."""
    found: dict[str, Any] = next(entry for entry in run.receipt["preflight"]["checks"] if entry["name"] == name)
    return found


WRONG = {
    "pin_drift_down": ("pins", "six wanted 1.17.0, found 1.0 (older)"),
    "pin_drift_up": ("pins", "found 99.0 (newer)"),
    "package_missing": ("pins", "pytz wanted"),
    "package_extra": ("pins", "not in the lock file: stowaway 1.0"),
    "changed_file": ("installed_files", "packaging/tags.py differs"),
    "broken_import": (
        "package_imports",
        "predictor.broken (ModuleNotFoundError: No module named 'no_such_library')",
    ),
    "socket_on_import": (
        "package_imports",
        "predictor.phones_home (it must not do this on import: socket.getaddrinfo 198.51.100.7)",
    ),
    "no_region": ("environment", "AWS_REGION is not set"),
    "empty_configuration": ("config", "is empty: it would train nothing"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_with_the_software_is_said_the_same_everywhere(spoilt: Run, case: str) -> None:
    name, words = WRONG[case]
    found = check(spoilt, name)

    assert found["status"] == "fail"
    assert words in found["detail"]
    assert found["remedy"]
    # In the table of the terminal, and in the error that ends the run.
    assert f"  {found['detail']}\n" in spoilt.output
    assert found["remedy"] in spoilt.output
    assert found["detail"] in spoilt.receipt["error"]


def test_a_run_whose_software_is_wrong_fails_leaves_nothing_and_wrote_nothing(account: Account, spoilt: Run) -> None:
    assert spoilt.code != 0
    assert spoilt.receipt["outcome"] == "failed"
    assert spoilt.receipt["failed_step"] == "preflight"
    assert spoilt.receipt["leaks"] == NO_LEAKS
    assert (spoilt.receipt["writes"]["data_bucket"], spoilt.receipt["writes"]["denied"]) == (0, 0)
    assert spoilt.receipt["writes"]["digest"]["equal"] is True
    account.assert_nothing_left()


def test_a_probe_that_writes_is_denied_and_reported_and_in_the_ledger(
    account: Account, writing: tuple[Run, dict[str, str]]
) -> None:
    run, before = writing

    assert run.code != 0
    found = check(run, "write_probe")
    assert (found["status"], found["items"]) == (
        "fail",
        ["put denied", "delete denied", "multipart denied", "arcticdb denied"],
    )
    instance = run.receipt["instance"]["id"]
    denied = account.ledger("--source", instance, "--denied", "--writes")
    assert {"PutObject", "DeleteObject", "CreateMultipartUpload"} <= {entry["action"] for entry in denied}
    assert [entry for entry in account.ledger("--source", instance, "--writes") if entry["allowed"]] == []
    assert run.receipt["writes"]["data_bucket"] == 0
    assert run.receipt["writes"]["denied"] >= 4
    assert run.receipt["writes"]["digest"]["equal"] is True
    assert keys(account) == before
    assert run.receipt["leaks"] == NO_LEAKS
    account.assert_nothing_left()


def test_a_universe_that_is_stale_altogether_is_listed_altogether(writing: tuple[Run, dict[str, str]]) -> None:
    run, _ = writing

    found = check(run, "freshness")
    assert found["status"] == "fail"
    assert found["detail"].startswith("20 of 20 symbols are more than 3 trading days old: ")
    assert len(run.receipt["preflight"]["stale"]) == 20
    assert all(symbol in run.page for symbol in run.receipt["preflight"]["stale"])
