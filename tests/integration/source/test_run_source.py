"""The commit of a training source, and the git state of its folder."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from ansible_collections.spot_train.core.plugins.module_utils.inputs import source as run_source
from ansible_collections.spot_train.core.plugins.module_utils.inputs.source import SourceError

from tests.integration.source.conftest import Repository


def test_branch_and_tag_resolve_to_their_commit(repository: Repository) -> None:
    first = repository.git("rev-parse", "HEAD")
    repository.git("tag", "light")
    repository.git("tag", "--annotate", "--message", "Release", "v1")
    second = repository.commit("b.txt")
    repository.git("branch", "topic/one")

    found = {
        ref: run_source.resolve(repository.url, ref) for ref in ("main", "topic/one", "light", "v1", "refs/tags/v1")
    }

    assert found == {"main": second, "topic/one": second, "light": first, "v1": first, "refs/tags/v1": first}
    assert run_source.resolve(repository.url, first) == first


def test_missing_ref_is_one_line(repository: Repository) -> None:
    repository.git("branch", "topic/one")
    for ref in ("one", "v1", repository.git("rev-parse", "--short", "HEAD"), "*", "--upload-pack=touch x"):
        with pytest.raises(SourceError) as caught:
            run_source.resolve(repository.url, ref)
        assert str(caught.value) == (
            f"training_source.git={repository.url!r} has no branch and no tag {ref!r}; "
            "write a commit with all of its 40 digits"
        )


def test_ambiguous_ref_is_refused(repository: Repository) -> None:
    first = repository.git("rev-parse", "HEAD")
    repository.git("tag", "both")
    repository.git("branch", "both")
    assert run_source.resolve(repository.url, "both") == first
    repository.git("checkout", "--quiet", "refs/heads/both")
    repository.git("branch", "--force", "both", repository.commit("b.txt"))

    with pytest.raises(SourceError, match="a branch and a tag 'both': write refs/heads/both or refs/tags/both"):
        run_source.resolve(repository.url, "both")


@pytest.mark.parametrize("ref", ["main", "0" * 40])
def test_unreadable_repository_is_one_line_without_password(ref: str) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{closed.getsockname()[1]}"

        with pytest.raises(SourceError) as caught:
            run_source.resolve(f"http://user:s3@cr3t@{host}/x.git", ref)

    said = str(caught.value)
    assert said.startswith(f"training_source.git='http://{host}/x.git' cannot be read: ")
    assert "cr3t" not in said and "\n" not in said


def test_missing_repository_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"cannot be read: '.*nowhere' does not appear to be a git repository"):
        run_source.resolve(f"file://{tmp_path}/nowhere", "main")


def test_clean_folder_has_a_commit_and_no_note(repository: Repository) -> None:
    commit = repository.commit("model/lock")

    assert run_source.look_at(repository.folder / "model") == (
        {"revision": commit, "dirty": False, "unpushed": None},
        [],
    )


def test_dirty_folder_is_noted_with_its_files(repository: Repository) -> None:
    commit = repository.commit("model/lock")
    (repository.folder / "model" / "lock").write_text("changed")
    (repository.folder / "model" / "new").write_text("new")
    (repository.folder / "beside").write_text("of no concern")

    known, notes = run_source.look_at(repository.folder / "model")

    assert known == {"revision": commit, "dirty": True, "unpushed": None}
    assert notes == [
        f"the training source {repository.folder}/model is dirty: 2 files differ from its commit {commit[:12]} "
        "(model/lock, model/new)"
    ]


def test_unpushed_commit_is_noted(repository: Repository, tmp_path: Path) -> None:
    bare = tmp_path / "bare.git"
    repository.git("init", "--quiet", "--bare", str(bare))
    repository.git("remote", "add", "origin", str(bare))
    repository.git("push", "--quiet", "origin", "main")
    assert run_source.look_at(repository.folder)[0]["unpushed"] is False

    commit = repository.commit("b.txt")

    known, notes = run_source.look_at(repository.folder)
    assert known["unpushed"] is True
    assert notes == [
        f"the commit {commit[:12]} of the training source {repository.folder} is not pushed: no remote branch has it"
    ]


def test_folder_outside_git_has_no_revision(repository: Repository, tmp_path: Path) -> None:
    (repository.folder / ".gitignore").write_text("ignored/\n")
    ignored = repository.folder / "ignored"
    ignored.mkdir()
    (ignored / "file").write_text("x")

    assert run_source.look_at(ignored) == ({"revision": None}, [])
    assert run_source.look_at(tmp_path) == ({"revision": None}, [])
