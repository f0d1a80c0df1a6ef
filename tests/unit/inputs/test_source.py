"""The checks of a training source that need neither a folder nor a repository."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.spot_train.core.plugins.module_utils.inputs import source as run_source
from ansible_collections.spot_train.core.plugins.module_utils.inputs.source import SourceError

SOURCE: dict[str, Any] = {
    "path": "model",
    "lock": "requirements.lock",
    "imports": [],
    "preflight_command": ["model", "check", "{output}"],
    "train_command": ["model", "fit", "{progress}"],
    "smoke_arguments": [],
    "full_arguments": ["{state_prefix}"],
    "artefact_prefixes": ["model/"],
}


def refusal(**parts: Any) -> str:
    """Return the error about a source with these parts."""
    with pytest.raises(SourceError) as caught:
        run_source.check_parts({**SOURCE, **parts})
    assert "\n" not in str(caught.value)
    return str(caught.value).removeprefix("training_source")


def test_valid_source_is_accepted() -> None:
    run_source.check_parts(SOURCE)
    run_source.check_parts({**SOURCE, "config": "a/b.toml", "python": "3.12", "imports": ["model", "sklearn.svm"]})


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ({"train_command": []}, ".train_command: expected at least one entry, got none"),
        ({"artefact_prefixes": []}, ".artefact_prefixes: expected at least one entry, got none"),
        ({"artefact_prefixes": ["model"]}, ".artefact_prefixes: expected key prefixes ('mine/'), got 'model'"),
        ({"artefact_prefixes": ["/model/"]}, ".artefact_prefixes: expected key prefixes ('mine/'), got '/model/'"),
        ({"lock": "/etc/passwd"}, ".lock: expected a path relative to the project, got '/etc/passwd'"),
        ({"config": "../other.toml"}, ".config: expected a path relative to the project, got '../other.toml'"),
        ({"python": "three"}, ".python: expected a version ('3.12'), got 'three'"),
        ({"imports": ["os; exit()"]}, ".imports: expected module names, got 'os; exit()'"),
    ],
)
def test_invalid_part_is_one_line(parts: dict[str, Any], words: str) -> None:
    assert refusal(**parts) == words


@pytest.mark.parametrize(
    ("name", "argument", "placeholder"),
    [
        ("preflight_command", "--bucket={bucket}", "bucket"),
        ("preflight_command", "{progress}", "progress"),
        ("train_command", "{config}", "config"),
        ("smoke_arguments", "{dry_run}", "dry_run"),
        ("full_arguments", "{Data_Bucket}", "Data_Bucket"),
    ],
)
def test_unknown_placeholder_in_source_is_one_line(name: str, argument: str, placeholder: str) -> None:
    said = refusal(**{name: ["model", argument]})

    assert said.startswith(f".{name}: unknown placeholder {{{placeholder}}} (expected one of arctic_prefix, ")


@pytest.mark.parametrize(
    ("origin", "words"),
    [
        ("model", "expected a mapping"),
        ({}, "expected either 'path'.*, got neither"),
        ({"git": "", "ref": "main"}, "expected either 'path'.*, got neither"),
        ({"git": "https://example.org/x.git", "path": "x", "ref": "main"}, "got both"),
        (
            {"git": "https://u:s3cr3t@example.org/x.git"},
            "ref: expected a branch, tag or commit of 'https://example.org/x.git', got none",
        ),
        ({"git": "https://example.org/x.git", "ref": ""}, "ref: expected a branch, tag or commit"),
    ],
)
def test_source_has_one_origin(origin: Any, words: str) -> None:
    with pytest.raises(SourceError, match=words) as caught:
        run_source.check_origin(origin)
    assert "s3cr3t" not in str(caught.value)
