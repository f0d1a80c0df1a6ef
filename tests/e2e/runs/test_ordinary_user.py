"""The two commands of the README, typed by a user without root and without sudo, on a fresh copy of the project."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.runs.conftest import NO_LEAKS, Account, Run, practice_options
from tests.support.account import ROOT

pytestmark = pytest.mark.skipif(os.getuid() != 0, reason="only root can make an ordinary user")

USER = f"spot-train-{os.getpid()}"


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A folder that anyone may look into; pytest's own is root's alone."""
    folder = Path(tempfile.mkdtemp(prefix="spot-train-", dir="/var/tmp"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def user(folder: Path) -> Iterator[pwd.struct_passwd]:
    """An ordinary user with an empty home, made for these tests and removed after them."""
    home = ["--home-dir", str(folder / "home"), "--no-create-home"]
    subprocess.run(["useradd", "--system", "--user-group", *home, "--shell", "/bin/sh", USER], check=True)
    yield pwd.getpwnam(USER)
    subprocess.run(["userdel", USER], check=True)


@pytest.fixture(scope="module")
def account(user: pwd.struct_passwd, folder: Path) -> Iterator[Account]:
    """A fresh copy of the project in a folder of the user's."""
    project = folder / "project"
    files = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT, check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    for name in filter(None, files.split("\0")):
        source, target = ROOT / name, project / name
        if source.exists() or source.is_symlink():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target, follow_symlinks=False)
    (folder / "home").mkdir()
    subprocess.run(["chown", "-R", f"{user.pw_uid}:{user.pw_gid}", str(folder)], check=True)
    prefix = ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
    environment = {
        "HOME": str(folder / "home"),
        "LOGNAME": USER,
        "USER": USER,
        # Debian's own programs: root's may lie where no one else can read.
        "PATH": f"{project}/.venv/bin:/usr/local/bin:/usr/bin:/bin",
        "LOCAL_AWS_CACHE": "",
        "PYTHON": "",
    }
    account = Account(folder, project, project / ".venv" / "bin", prefix, environment)
    yield account
    if account.binaries.exists():
        account.command("make", "stop")
    account.assert_ended()


def test_make_preflight_passes_from_nothing_and_writes_nothing(account: Account) -> None:
    answer = account.command("make", "preflight", f"ARGS=-e runs_dir={account.folder}/runs", check=False)

    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert account.status()["isolation"] in ("user-namespace", "process-group")
    receipt = Run(0, answer.stdout, account.folder / "runs" / "latest").receipt
    assert (receipt["mode"], receipt["outcome"], receipt["writes"]["data_bucket"]) == ("preflight", "passed", 0)
    assert account.ledger("--source", "instance", "--writes") == []
    account.assert_nothing_left()


def test_a_training_passes(account: Account) -> None:
    # The practice project's, which is started and followed as any other.
    run = account.train(*practice_options(account.folder / "practice"))

    assert run.code == 0, run.output
    assert (run.receipt["mode"], run.receipt["outcome"]) == ("both", "passed")
    assert run.receipt["training"]["folds"] == 3
    assert run.receipt["leaks"] == NO_LEAKS
    account.assert_nothing_left()
