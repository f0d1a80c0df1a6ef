"""The training source of a run: checks, and the commit that it resolves to."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from .credentials import without_credentials
from .placeholders import COMMON, TRAINING, unknown
from .values import describe

GIT_SECONDS = 60
#: A commit written in full: SHA-1 or SHA-256.
COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
PYTHON = re.compile(r"\d+\.\d+")
MODULE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")
PREFIX = re.compile(r"([\w!.*'()-]+/)+", re.ASCII)
#: The commands and their additional arguments, each with its allowed placeholders.
COMMANDS = {
    "preflight_command": COMMON.keys(),
    "train_command": COMMON.keys() | TRAINING.keys(),
    "smoke_arguments": COMMON.keys() | TRAINING.keys(),
    "full_arguments": COMMON.keys() | TRAINING.keys(),
}
NAMED_IN_NOTES = 3


class SourceError(ValueError):
    """The training source is refused; one line says why."""


def check_origin(source: Any) -> None:
    """Check where the source comes from: a folder, or a git URL with a ref."""
    if not isinstance(source, Mapping):
        raise SourceError(
            f"training_source: expected a mapping, got {describe(source)}: use JSON or a file (-e @inputs.yml)"
        )
    folder, url = source.get("path"), source.get("git")
    if bool(folder) == bool(url):
        got = "both" if url else "neither"
        raise SourceError(f"training_source: expected either 'path' (a folder) or 'git' (a URL) with 'ref', got {got}")
    if url and not source.get("ref"):
        raise SourceError(
            f"training_source.ref: expected a branch, tag or commit of {without_credentials(str(url))!r}, got none"
        )


def check_parts(source: Mapping[str, Any]) -> None:
    """Check the parts of a source, which are converted, and their placeholders."""
    for name in ("preflight_command", "train_command", "artefact_prefixes"):
        if not source[name]:
            raise SourceError(f"training_source.{name}: expected at least one entry, got none")
    for name in ("lock", "config"):
        path = PurePosixPath(source.get(name) or "")
        if path.is_absolute() or ".." in path.parts:
            raise SourceError(f"training_source.{name}: expected a path relative to the project, got {source[name]!r}")
    if source.get("python") and not PYTHON.fullmatch(source["python"]):
        raise SourceError(f"training_source.python: expected a version ('3.12'), got {source['python']!r}")
    for name in source["imports"]:
        if not MODULE.fullmatch(name):
            raise SourceError(f"training_source.imports: expected module names, got {name!r}")
    for prefix in source["artefact_prefixes"]:
        if not PREFIX.fullmatch(prefix):
            raise SourceError(f"training_source.artefact_prefixes: expected key prefixes ('mine/'), got {prefix!r}")
    for name, known in COMMANDS.items():
        there = known if source.get("config") else known - {"config"}
        if missing := unknown(source[name], there):
            text = f"unknown placeholder {{{missing[0]}}} (expected one of {', '.join(sorted(there))})"
            raise SourceError(f"training_source.{name}: {text}")


def check_folder(source: Mapping[str, Any]) -> None:
    """Check that folder, lock file and configuration exist."""
    for name in ("", source["lock"], source.get("config") or ""):
        path = Path(str(source["path"])) / name
        if not path.exists():
            raise SourceError(f"training_source: {path} does not exist")


def resolve(url: str, ref: str) -> str:
    """Resolve a branch, a tag or a whole commit, which is returned unchanged, to a commit of a repository."""
    shown = f"training_source.git={without_credentials(url)!r}"
    names = [ref] if ref.startswith("refs/") else [f"refs/heads/{ref}", f"refs/tags/{ref}"]
    whole = COMMIT.fullmatch(ref) is not None
    # For an annotated tag, ^{} is the commit. For a whole commit, HEAD shows that the repository can be read.
    patterns = ["HEAD"] if whole else [pattern for name in names for pattern in (name, f"{name}^{{}}")]
    try:
        listed = _git("ls-remote", "--", url, *patterns)
    except SourceError as error:
        raise SourceError(f"{shown} cannot be read: {error}") from error
    if whole:
        return ref
    there = {name: commit for commit, _, name in (line.partition("\t") for line in listed.splitlines())}
    commits = {name: there.get(f"{name}^{{}}", there[name]) for name in names if name in there}
    if not commits:
        raise SourceError(f"{shown} has no branch and no tag {ref!r}; write a commit with all of its 40 digits")
    if len(set(commits.values())) > 1:
        raise SourceError(f"{shown} has a branch and a tag {ref!r}: write {' or '.join(commits)}")
    return next(iter(commits.values()))


def look_at(folder: Path) -> tuple[dict[str, Any], list[str]]:
    """Read the git state of a folder.

    That is `revision`, the commit that is checked out, `dirty`, whether the folder differs from it, and `unpushed`,
    whether no remote branch has it; and a note for each of the last two that is true. For a folder outside a repository
    only `revision`, which is None; without a remote `unpushed` is None.
    """
    try:
        if not _git("-C", str(folder), "ls-files", "--", "."):
            return {"revision": None}, []
        revision = _git("-C", str(folder), "rev-parse", "--verify", "HEAD")
        differing = _git("-C", str(folder), "status", "--porcelain", "--no-renames", "--", ".").splitlines()
        unpushed = None
        if _git("-C", str(folder), "remote"):
            unpushed = not _git("-C", str(folder), "branch", "--remotes", "--contains", revision)
    except SourceError:
        return {"revision": None}, []  # no repository, another user's, or no git
    notes = []
    if differing:
        files = [line[3:] for line in differing]
        named = ", ".join(files[:NAMED_IN_NOTES]) + (", …" if len(files) > NAMED_IN_NOTES else "")
        count = f"{len(files)} files differ" if len(files) > 1 else "1 file differs"
        notes.append(f"the training source {folder} is dirty: {count} from its commit {revision[:12]} ({named})")
    if unpushed:
        notes.append(
            f"the commit {revision[:12]} of the training source {folder} is not pushed: no remote branch has it"
        )
    return {"revision": revision, "dirty": bool(differing), "unpushed": unpushed}, notes


def _git(*arguments: str) -> str:
    """Run a git command and return its output, or raise SourceError with its message."""
    # No prompts for passwords. Variables of a git hook would select another repository.
    hook = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE")
    kept = {name: value for name, value in os.environ.items() if name not in hook}
    quiet = {"GIT_TERMINAL_PROMPT": "0", "GIT_SSH_COMMAND": "ssh -o BatchMode=yes -o ConnectTimeout=20", "LC_ALL": "C"}
    try:
        answer = subprocess.run(
            ["git", *arguments],
            env={**quiet, **kept, "LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=GIT_SECONDS,
        )
    except FileNotFoundError as error:
        raise SourceError("git is not installed on the control node") from error
    except subprocess.TimeoutExpired as error:
        raise SourceError(f"no response within {GIT_SECONDS} s") from error
    if answer.returncode != 0:
        raise SourceError(_words(answer.stderr.splitlines()) or f"git failed with exit code {answer.returncode}")
    return answer.stdout.rstrip("\n")


def _words(lines: Sequence[str]) -> str:
    """Return the first error in the output of git; later lines are advice."""
    messages = [line.strip() for line in lines if line.strip()] or [""]
    complaint = next((line for line in messages if line.startswith(("fatal:", "error:", "remote:"))), messages[-1])
    return str(without_credentials(complaint.partition(": ")[2] or complaint))
