"""The output of the follower for files on the instance."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

FOLD = {"stage": "walk_forward", "fold": 0, "folds": 60, "ic": 0.0412, "resumed": False, "saved": 1, "elapsed": 61.2,
        "remaining": 3600, "rss_mb": 512.3}  # fmt: skip
NOTICE = {"kind": "spot", "noticed_at": "2026-11-24T14:58:02Z", "reclaim_at": "2026-11-24T15:00:00Z"}
REBALANCE = {"kind": "rebalance", "noticed_at": "2026-11-24T14:58:02Z", "reclaim_at": None}


@pytest.fixture(scope="module")
def module() -> ModuleType:
    return importlib.import_module("ansible_collections.spot_train.core.plugins.action.follow_training")


@pytest.mark.parametrize(
    ("facts", "says"),
    [
        (FOLD, "fold 0 of 60, IC +0.0412, 1:01 elapsed, 60:00 left, 512 MB"),
        ({**FOLD, "resumed": True, "remaining": None}, "fold 0 of 60, resumed, IC +0.0412, 1:01 elapsed, 512 MB"),
        ({"stage": "read", "fold": None, "folds": None, "elapsed": 0.4}, "read, 0:00 elapsed"),
        ({}, ""),
    ],
)
def test_progress_is_one_line(facts: dict[str, Any], says: str, module: ModuleType) -> None:
    assert module.describe(facts) == says


@pytest.mark.parametrize(
    ("facts", "says"),
    [
        ({"stage": "gates", "ic": None, "rss_mb": 400}, "gates, fold 7 of 9, last IC +0.0500, 400 MB"),
        ({"stage": "walk_forward", "fold": 8, "ic": None}, "fold 8 of 9, last IC +0.0500"),
        ({"stage": "walk_forward", "fold": 8, "ic": -0.01}, "fold 8 of 9, IC -0.0100"),
        ({"stage": "mine", "ic": "n/a", "elapsed": "long", "rss_mb": True}, "mine, fold 7 of 9"),
    ],
)
def test_last_known_ic_stays_until_a_new_one(facts: dict[str, Any], says: str, module: ModuleType) -> None:
    assert module.describe(facts, {"fold": 7, "folds": 9, "ic": 0.05}) == says


def test_ic_between_two_checks_is_kept(module: ModuleType) -> None:
    look = module.Look()
    lines = [FOLD, {**FOLD, "fold": 1, "ic": None}, {"stage": "gates", "fold": None, "ic": None, "elapsed": 70}]

    look.read("\n".join(json.dumps(line) for line in lines))

    assert module.describe(look.progress, look.lasting) == "gates, fold 1 of 60, last IC +0.0412, 1:10 elapsed"


class Clock:
    """Time as the follower sees it."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def watch(module: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Check these progress lines every five seconds; return the output of each check."""
    clock = Clock()
    monkeypatch.setattr(module.time, "monotonic", clock)

    def run(*lines: dict[str, Any] | None) -> list[str]:
        shown: list[str] = []
        terminal, look = module.Terminal(lambda text: shown.append(text.strip()), 5), module.Look()
        at_each = []
        for line in lines:
            look.read(json.dumps(line) if line else "")
            terminal.show(look)
            at_each.append(", ".join(shown))
            shown.clear()
            clock.now += 5
        return at_each

    return run


def test_long_fold_is_shown_every_half_minute(watch: Any) -> None:
    beats = [{**FOLD, "beat": True, "elapsed": 61 + 5 * look, "rss_mb": 600 + look} for look in range(1, 13)]

    shown = watch(FOLD, *beats)

    assert [look for look, text in enumerate(shown) if text] == [0, 6, 12]
    assert shown[6] == "fold 0 of 60, IC +0.0412, 1:31 elapsed, 60:00 left, 606 MB"


def test_silent_training_is_shown_with_its_time(watch: Any) -> None:
    said = {"stage": "mine", "ic": 0.05, "rss_mb": 900, "remaining": 5}

    shown = watch(*[None] * 7, said, *[None] * 7)

    assert {look: text for look, text in enumerate(shown) if text} == {
        6: "training, 0:30 elapsed",
        7: "mine, IC +0.0500, 0:05 left, 900 MB",
        13: "mine, IC +0.0500, 1:05 elapsed",
    }


def test_each_fold_is_shown_at_once(watch: Any) -> None:
    shown = watch(*({**FOLD, "fold": fold, "elapsed": fold} for fold in range(3)))

    assert [text.split(",")[0] for text in shown] == ["fold 0 of 60", "fold 1 of 60", "fold 2 of 60"]


def test_check_reads_both_files(module: ModuleType) -> None:
    look = module.Look()

    look.read(f"{json.dumps(FOLD)}\r\n\r\nnotice:\r\n{json.dumps({**NOTICE, 'more': 1})}\r\n")

    assert (look.progress, look.notice, look.end) == (FOLD, NOTICE, NOTICE)


@pytest.mark.parametrize(
    "text", ["", "\nnotice:\n", '{"stage": "wal\nnotice:\n', "notice:\n[1]", '{"kind": 1}\nnotice:']
)
def test_missing_or_truncated_lines_change_nothing(text: str, module: ModuleType) -> None:
    look = module.Look(progress={"kind": 1}, notice=REBALANCE)

    look.read(text)

    assert (look.progress, look.notice, look.end) == ({"kind": 1}, REBALANCE, None)


@pytest.mark.parametrize(
    ("notice", "progress", "says"),
    [
        (
            NOTICE,
            {"saved": 24, "folds": 60},
            " at 2026-11-24T15:00:00Z (noticed 118 s before); 24 of 60 folds are saved",
        ),
        (NOTICE, {"stage": "mine"}, " at 2026-11-24T15:00:00Z (noticed 118 s before)"),
        ({**NOTICE, "reclaim_at": None}, {}, " at an unknown time"),
        ({**NOTICE, "noticed_at": "yesterday"}, {}, " at 2026-11-24T15:00:00Z"),
    ],
)
def test_interruption_is_one_clear_line(
    notice: dict[str, Any], progress: dict[str, Any], says: str, module: ModuleType
) -> None:
    assert module.interrupted(notice, progress) == f"interrupted: EC2 takes the instance back{says}"


class Connection:
    """The instance as the plugin reaches it: answers each look, until it is gone."""

    def __init__(self, *looks: str) -> None:
        self.looks = list(looks)

    def execute(self, command: str) -> dict[str, str]:
        if not self.looks:
            raise RuntimeError("TargetNotConnected: i-1 is not connected")
        return {"stdout": self.looks.pop(0)}


@pytest.fixture
def follow(module: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Run the plugin over a connection for an endless job; return its result and output."""

    def run(connection: Connection) -> tuple[dict[str, Any], list[str]]:
        shown: list[str] = []
        plugin = module.ActionModule.__new__(module.ActionModule)
        names = {name: str(tmp_path / name) for name in ("progress", "notice", "result", "dest")}
        plugin._task = type("Task", (), {"args": {"jid": "1", "limit": 60, "every": 0, **names}})()
        plugin._display = type("Display", (), {"display": staticmethod(shown.append)})()
        monkeypatch.setattr(module.ActionBase, "run", lambda *_: {})
        monkeypatch.setattr(plugin, "_low_level_execute_command", connection.execute)
        monkeypatch.setattr(plugin, "_job", lambda *_: {})
        return plugin.run(), shown

    return run


def test_instance_gone_after_a_notice_was_interrupted(follow: Any) -> None:
    seen = f"{json.dumps(FOLD)}\nnotice:\n{json.dumps(NOTICE)}\n"

    result, shown = follow(Connection(seen, seen))

    assert shown == [
        "    fold 0 of 60, IC +0.0412, 1:01 elapsed, 60:00 left, 512 MB",
        "    EC2 takes the instance back at 2026-11-24T15:00:00Z (noticed 118 s before)",
    ]
    assert (result["failed"], result["interruption"]) == (True, NOTICE)
    assert result["msg"] == (
        "interrupted: EC2 takes the instance back at 2026-11-24T15:00:00Z (noticed 118 s before); 1 of 60 folds are "
        "saved; the instance no longer answers (TargetNotConnected: i-1 is not connected)"
    )


@pytest.mark.parametrize("notice", ["", json.dumps(REBALANCE)])
def test_instance_gone_without_notice_is_a_connection_error(notice: str, follow: Any) -> None:
    with pytest.raises(RuntimeError, match="TargetNotConnected"):
        follow(Connection(f"\nnotice:\n{notice}\n"))
