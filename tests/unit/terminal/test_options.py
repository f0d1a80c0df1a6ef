"""Tags and other command-line options: their parts of a run, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from ansible_collections.spot_train.core.plugins.action.run_inputs import leave_out
from ansible_collections.spot_train.core.plugins.module_utils.inputs.tags import PARTS, TagError, chosen_parts
from ansible_collections.spot_train.core.plugins.module_utils.inputs.values import InputError
from ansible_collections.spot_train.core.plugins.module_utils.runs.options import refusal

from tests.unit.terminal.conftest import ROOT

ALL = ("all",)
EVERY_PART = set(PARTS)


@pytest.mark.parametrize(
    ("run_tags", "skip_tags", "left"),
    [
        (ALL, (), EVERY_PART),
        (("preflight", "training"), (), EVERY_PART),
        (("preflight",), (), {"preflight"}),
        (ALL, ("training",), {"preflight"}),
        (("training",), (), {"training"}),
        (ALL, ("preflight",), {"training"}),
        (("all", "preflight"), (), EVERY_PART),
        (("preflight", "training"), ("training",), {"preflight"}),
    ],
)
def test_tags_choose_the_parts_of_a_run(run_tags: tuple[str, ...], skip_tags: tuple[str, ...], left: set[str]) -> None:
    assert chosen_parts(run_tags, skip_tags) == left


@pytest.mark.parametrize(
    ("run_tags", "skip_tags", "words"),
    [
        (("trainig",), (), "--tags trainig: unknown tag (did you mean 'training'?)"),
        (("x",), (), "x: unknown tag (expected preflight or training)"),
        (ALL, ("x",), "--skip-tags x: unknown tag"),
        (("always",), (), "--tags always: tasks tagged always include the termination"),
        (ALL, ("always",), "--skip-tags always"),
        (("tagged",), (), "all parts are tagged"),
        (ALL, ("all",), "--skip-tags all: nothing would be left to do"),
        (ALL, ("preflight", "training"), "--skip-tags preflight,training leaves nothing to do"),
        (("preflight",), ("preflight",), "--tags preflight --skip-tags preflight leaves nothing to do"),
    ],
)
def test_invalid_tags_are_refused(run_tags: tuple[str, ...], skip_tags: tuple[str, ...], words: str) -> None:
    with pytest.raises(TagError) as refusal:
        chosen_parts(run_tags, skip_tags)
    assert words in str(refusal.value)


def test_parts_are_the_tags_of_the_playbook() -> None:
    plays = yaml.safe_load((ROOT / "playbooks" / "attempt.yml").read_text())
    (work,) = [task for play in plays for task in play["tasks"] if task["name"] == "Work on the instance"]
    tags = [tag for task in work["block"] for tag in [task["tags"]] if tag != "always"]
    assert tuple(tags) == PARTS


def test_playbook_without_parts_accepts_no_tags() -> None:
    assert chosen_parts(ALL, (), ()) == set()
    with pytest.raises(TagError, match="has no tags"):
        chosen_parts(("preflight",), (), ())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"start_at_task": "Terminate"}, "--start-at-task would leave out"),
        ({"subset": "localhost"}, "--limit localhost would leave out"),
        ({"tags": ["foo"]}, "--tags foo"),
        ({"skip_tags": ["always"]}, "--skip-tags always"),
    ],
)
def test_options_for_a_partial_run_are_refused(options: dict[str, Any], words: str) -> None:
    assert words in str(refusal(options, PARTS))


@pytest.mark.parametrize("options", [{}, {"tags": ["all"]}, {"subset": "all"}, {"skip_tags": ["training"]}])
def test_options_for_a_whole_run_are_accepted(options: dict[str, Any]) -> None:
    assert refusal(options, PARTS) is None


def test_excluded_preflight_is_noted() -> None:
    assert leave_out({"preflight"}, False) == (["training"], [])
    left_out, (note,) = leave_out({"training"}, False)
    assert left_out == ["preflight"]
    assert "the tags skip the preflight on the instance" in note


def test_preflight_only_run_without_preflight_is_refused() -> None:
    with pytest.raises(InputError, match="nothing is left to do"):
        leave_out({"training"}, True)
