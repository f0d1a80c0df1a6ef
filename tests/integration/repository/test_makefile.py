"""The Makefile and the scripts behind its targets."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

TARGETS = {
    "help",
    "setup",
    "train",
    "preflight",
    "runs",
    "test",
    "test-all",
    "bench-preflight",
    "bench-train",
    "drill",
    "soak",
    "soak-training",
    "policies",
    "awx-check",
    "lint",
    "lock",
    "docs",
    "docs-roles",
    "changelog",
    "stop",
    "clean",
}


def make(folder: Path, environ: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run make; its exit code and output are the caller's to judge."""
    return subprocess.run(["make", *arguments], cwd=folder, env=environ, capture_output=True, text=True, check=False)


SECTIONS = ["NAME", "SYNOPSIS", "TARGETS", "VARIABLES", "EXAMPLES", "FILES", "ENVIRONMENT", "EXIT STATUS", "SEE ALSO"]


def section(manual: str, name: str) -> list[str]:
    """The lines of one section of the manual."""
    return re.split(r"^[A-Z][A-Z -]+\n", manual.partition(f"\n{name}\n")[2], flags=re.MULTILINE)[0].splitlines()


def test_help_is_the_default_and_lists_every_target_on_an_aligned_line(
    root: Path, clean_environ: dict[str, str]
) -> None:
    answer = make(root, clean_environ)
    assert (answer.returncode, answer.stderr) == (0, "")
    listed = [re.match(r"    make ([a-z-]+) +(?=\S)", line) for line in section(answer.stdout, "TARGETS")]
    assert {match[1] for match in listed if match} == TARGETS
    assert len({len(match[0]) for match in listed if match}) == 1


def test_help_is_a_manual_that_fits_a_terminal(root: Path, clean_environ: dict[str, str]) -> None:
    manual = make(root, clean_environ, "help").stdout
    assert re.findall(r"^[A-Z][A-Z ]+$", manual, re.MULTILINE) == SECTIONS
    assert all(section(manual, name) for name in SECTIONS)
    assert [line for line in manual.splitlines() if len(line) > 80] == []


def test_help_names_the_groups_and_every_variable_with_its_default(root: Path, clean_environ: dict[str, str]) -> None:
    manual = make(root, clean_environ, "help").stdout
    text = (root / "Makefile").read_text(encoding="utf-8")
    groups = re.findall(r"^##@ (.+)$", text, re.MULTILINE)
    assert [line.strip() for line in section(manual, "TARGETS") if re.match(r"  \S", line)] == groups
    variables = " ".join(line.strip() for line in section(manual, "VARIABLES"))
    for name in re.findall(r"^([A-Z]+) \?=", text, re.MULTILINE):
        assert re.search(rf"\b{name} [^=]*?Default: [^.]+\.", variables), name


def test_help_shows_a_target_that_is_added_with_its_text_alone_and_wraps_it(
    bare_clone: Path, clean_environ: dict[str, str]
) -> None:
    with (bare_clone / "Makefile").open("a", encoding="utf-8") as makefile:
        makefile.write("\n##@ New\n.PHONY: added\nadded: setup stop ## " + "many words " * 12 + "\n\t@true\n")
    lines = section(make(bare_clone, clean_environ).stdout, "TARGETS")
    place = lines.index("  New")
    assert re.fullmatch(r"    make added +many words .*", lines[place + 1])
    assert " ".join(" ".join(lines[place + 1 :]).split()) == "make added " + "many words " * 11 + "many words"


def test_the_examples_of_help_are_commands_that_make_understands(root: Path, clean_environ: dict[str, str]) -> None:
    examples = [line.strip() for line in section(make(root, clean_environ).stdout, "EXAMPLES") if "make " in line]
    assert len(examples) > 4
    for example in examples:
        command = shlex.split(example)
        answer = make(root, clean_environ, "-n", *command[1:])
        assert answer.returncode == 0, example
        given = [word.partition("=")[2] for word in command if re.match(r"ARGS=", word)]
        assert [value for value in given if value not in answer.stdout] == [], example


def test_every_target_is_phony_so_that_no_file_of_its_name_stops_it(root: Path) -> None:
    text = (root / "Makefile").read_text(encoding="utf-8")
    assert set(re.findall(r"^\.PHONY: (\S+)$", text, re.MULTILINE)) == TARGETS


def test_what_it_starts_may_keep_compiled_code(root: Path, clean_environ: dict[str, str], tmp_path: Path) -> None:
    extra = tmp_path / "extra.mk"
    extra.write_text("shown:\n\t@env\n")
    environ = {**clean_environ, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONUTF8": "1"}
    shown = make(root, environ, "-f", "Makefile", "-f", str(extra), "shown").stdout.splitlines()
    assert "PYTHONUTF8=1" in shown
    assert not [line for line in shown if line.startswith("PYTHONDONTWRITEBYTECODE=")]


def test_preflight_is_the_training_playbook_with_one_variable_more(root: Path, clean_environ: dict[str, str]) -> None:
    train = make(root, clean_environ, "-n", "train", "ARGS=-e training_mode=smoke").stdout
    preflight = make(root, clean_environ, "-n", "preflight", "ARGS=-e training_mode=smoke").stdout
    assert "ansible-playbook train.yml -e training_mode=smoke" in train
    assert preflight == train.replace("train.yml", "train.yml -e preflight_only=true")


def test_stop_does_nothing_where_nothing_was_started(bare_clone: Path, clean_environ: dict[str, str]) -> None:
    before = sorted(bare_clone.rglob("*"))
    answer = make(bare_clone, clean_environ, "stop")
    assert (answer.returncode, answer.stdout, answer.stderr) == (0, "", "")
    assert sorted(bare_clone.rglob("*")) == before


def test_stop_finds_the_embedded_aws_where_its_variable_says(
    bare_clone: Path, clean_environ: dict[str, str], tmp_path: Path
) -> None:
    executable(bare_clone / ".venv/bin/python", '#!/bin/sh\necho "$@ in $LOCAL_AWS_HOME"\n')
    elsewhere = tmp_path / "elsewhere"
    environ = {**clean_environ, "LOCAL_AWS_HOME": str(elsewhere)}
    assert make(bare_clone, environ, "stop").stdout == ""
    elsewhere.mkdir()
    assert make(bare_clone, environ, "stop").stdout == f"-m local_aws stop in {elsewhere}\n"


def test_clean_removes_what_was_made_and_keeps_the_runs(bare_clone: Path, clean_environ: dict[str, str]) -> None:
    for name in (
        ".venv/bin/x",
        ".venv-2.21/x",
        ".mypy_cache/x",
        "tools/__pycache__/x",
        "runs/1/receipt.json",
    ):
        (bare_clone / name).parent.mkdir(parents=True, exist_ok=True)
        (bare_clone / name).touch()
    assert make(bare_clone, clean_environ, "clean").returncode == 0
    assert sorted(path.name for path in bare_clone.iterdir()) == ["Makefile", "runs", "tools"]
    assert (bare_clone / "runs/1/receipt.json").exists()
    assert not (bare_clone / "tools/__pycache__").exists()


def test_clean_keeps_everything_when_the_embedded_aws_does_not_stop(
    bare_clone: Path, clean_environ: dict[str, str]
) -> None:
    (bare_clone / ".local_aws").mkdir()
    executable(bare_clone / ".venv/bin/python", "#!/bin/sh\nexit 1\n")
    assert make(bare_clone, clean_environ, "clean").returncode != 0
    assert (bare_clone / ".local_aws").exists()


PASSES = "def test_it() -> None:\n    assert True\n"
FAILS = "def test_it() -> None:\n    assert False\n"


@pytest.mark.parametrize(
    ("lint", "integration", "unit", "passes"),
    [(0, PASSES, PASSES, True), (1, PASSES, PASSES, False), (0, FAILS, PASSES, False), (0, PASSES, FAILS, False)],
    ids=["all pass", "lint", "an integration test", "a unit test"],
)
def test_make_test_fails_if_anything_fails_and_ends_with_the_summary(
    bare_clone: Path, clean_environ: dict[str, str], lint: int, integration: str, unit: str, passes: bool
) -> None:
    prepare_tests(bare_clone, lint, integration, unit)
    answer = make(bare_clone, clean_environ, "test")
    assert (answer.returncode == 0) is passes, answer.stdout + answer.stderr
    summary = "1 passed" if integration == PASSES else "1 failed"
    assert re.search(rf"{summary} in [0-9.]+s", answer.stdout.splitlines()[-1])


def test_make_test_with_chosen_tests_runs_these_alone(bare_clone: Path, clean_environ: dict[str, str]) -> None:
    prepare_tests(bare_clone, lint=1, integration=PASSES, unit=FAILS)
    answer = make(bare_clone, clean_environ, "test", "TESTS=tests/integration", "ARGS=-k test_it")
    assert answer.returncode == 0, answer.stdout + answer.stderr
    answer = make(bare_clone, clean_environ, "test", "TESTS=tests/unit")
    assert answer.returncode != 0


def test_make_test_fails_when_there_is_no_test(bare_clone: Path, clean_environ: dict[str, str]) -> None:
    prepare_tests(bare_clone, lint=0, integration="", unit=PASSES)
    assert make(bare_clone, clean_environ, "test").returncode != 0


def prepare_tests(clone: Path, lint: int, integration: str, unit: str) -> None:
    """Give a clone tests of two layers, a linter with a given exit code, and this interpreter as its environment."""
    executable(clone / ".venv/bin/python", f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    executable(clone / "tools/setup.sh", "#!/bin/sh\n")
    executable(clone / "tools/lint.sh", f"#!/bin/sh\nexit {lint}\n")
    (clone / "packages/local_aws/tests").mkdir(parents=True)
    texts = {"integration/test_one.py": integration, "unit/test_two.py": unit, "e2e/runs/test_runs.py": ""}
    for name, text in texts.items():
        path = clone / "tests" / name
        path.parent.mkdir(parents=True)
        path.write_text(text, encoding="utf-8")


def executable(path: Path, text: str) -> None:
    """Write a program."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    path.chmod(0o755)
