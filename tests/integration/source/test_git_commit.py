"""The module that checks out one commit on the instance."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

import pytest

from tests.integration.source.conftest import Repository


@pytest.fixture
def module() -> ModuleType:
    return importlib.import_module("ansible_collections.spot_train.core.plugins.modules.git_commit")


def test_exactly_that_commit_is_checked_out(module: ModuleType, repository: Repository, tmp_path: Path) -> None:
    wanted = repository.commit(text="wanted")
    repository.commit(text="later")
    dest = tmp_path / "source"
    (dest / "left").mkdir(parents=True)
    assert not module.holds(str(dest), wanted)

    module.check_out(repository.url, wanted, str(dest))

    assert [path.name for path in dest.iterdir() if path.name != ".git"] == ["a.txt"]
    assert (dest / "a.txt").read_text() == "wanted"
    assert module.holds(str(dest), wanted)
    # Neither its parent nor its child was fetched.
    assert module.git(str(dest), "rev-list", "--all", "--count") == "1"
    (dest / "a.txt").write_text("changed")
    assert not module.holds(str(dest), wanted)


def test_server_without_single_commits_is_supported(
    module: ModuleType, repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = repository.git("rev-parse", "HEAD")
    repository.commit(text="later")
    # Version 0 of the protocol does not serve arbitrary commits.
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "protocol.version")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", "0")

    module.check_out(repository.url, wanted, str(tmp_path / "source"))

    assert (tmp_path / "source" / "a.txt").read_text() == "a"


def test_url_is_not_stored(module: ModuleType, repository: Repository, tmp_path: Path) -> None:
    module.check_out(repository.url, repository.git("rev-parse", "HEAD"), str(tmp_path / "source"))

    written = [path for path in (tmp_path / "source").rglob("*") if path.is_file()]
    assert written
    assert [path for path in written if repository.url.encode() in path.read_bytes()] == []


def test_missing_commit_is_one_line(module: ModuleType, repository: Repository, tmp_path: Path) -> None:
    with pytest.raises(module.GitError) as caught:
        module.check_out(repository.url, "0" * 40, str(tmp_path / "source"))
    assert "\n" not in str(caught.value)


def test_error_omits_the_advice_of_git(module: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(module.GitError, match="does not appear to be a git repository"):
        module.check_out(str(tmp_path / "nothing"), "0" * 40, str(tmp_path / "source"))
