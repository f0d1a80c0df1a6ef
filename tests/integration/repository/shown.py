"""The shell commands that the pages show: where they are, what they come down to, and which test runs each."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

REAL_ACCOUNT = "real-account"
#: What an outer make tells its children, these tests among them, and is not meant for the commands.
OUTER = ("ARGS", "MAKEFLAGS", "MAKELEVEL", "MAKEOVERRIDES", "MFLAGS", "TESTS")
#: A page whose commands, all of them in order, are run by one test says so once.
WHOLE_PAGE = re.compile(r"^<!-- test of all commands: (.+?) -->$", re.MULTILINE)
FENCE = re.compile(r"^(?:<!-- test: (?P<marker>.+?) -->\n)?^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.M | re.S)
SHELLS = ("sh", "bash", "shell", "console", "zsh")
#: A piece of code in a line of text is a command if it begins with one of these and says what to do.
PROGRAM = re.compile(
    r"(?:\. \.venv/bin/activate && )?"
    r"(?:make|ansible-(?:playbook|builder|galaxy|runner|navigator|vault)|molecule|towncrier|(?:\.venv/bin/)?python|"
    r"\.venv/bin/\w+|tools/\w+\.sh)(?= )|make$"
)
#: Words of the shell itself, and programs that need no judge: what they are given is read where it is run.
SHELL_WORDS = {
    *(".", "cd", "echo", "eval", "export", "false", "source", "test", "true", "unset"),
    *("awk", "cat", "cp", "grep", "head", "ls", "mkdir", "mktemp", "mv", "rm", "sort", "tail", "wc"),
}
SUBSTITUTION = re.compile(r"\$\(([^()]+)\)")
KEYWORDS = {"do", "then", "else", "if", "elif", "while", "!", "{", "time"}

#: What takes long is run by a test of its own: the command as it comes down to, and the test, or the file of several.
#: It, its module or what that imports holds each of the words.
RUN_BY: dict[str, tuple[str, tuple[str, ...]]] = {
    "ansible-playbook train.yml": (
        "tests/e2e/runs/test_training_run.py::test_training_promotes_only_a_passing_model",
        ("ansible-playbook", "train.yml"),
    ),
    "ansible-playbook train.yml -e preflight_only=true": (
        "tests/e2e/runs/test_runs.py::test_preflight_passes",
        ("ansible-playbook", "train.yml", "preflight_only=true"),
    ),
    "ansible-playbook train.yml --check": (
        "tests/e2e/runs/test_input.py::test_check_mode_looks_and_launches_nothing",
        ("ansible-playbook", "train.yml", "--check"),
    ),
    "ansible-playbook playbooks/terminate.yml": (
        "tests/integration/termination/test_playbooks.py::test_killed_run_is_terminated_and_reported_once",
        ("ansible-playbook", "playbooks/{name}.yml", '"terminate"'),
    ),
    "ansible-playbook playbooks/reap.yml": (
        "tests/integration/termination/test_playbooks.py::test_reap_lists_what_it_removes",
        ("ansible-playbook", "playbooks/{name}.yml", '"reap"'),
    ),
    "ansible-playbook playbooks/rollback.yml": (
        "tests/integration/termination/test_rollback.py::test_archived_set_is_restored_once_and_can_be_replaced",
        ("ansible-playbook", "playbooks/rollback.yml"),
    ),
    "python -m tools.drills": ("tests/e2e/drills/test_fast_drills.py::test_drill_holds", ("all_drills", "perform")),
    "python -m tools.drills.soak": (
        "tests/e2e/drills/test_soaks.py::test_killed_preflight_leaves_nothing",
        ("make", "soak"),
    ),
    "python -m tools.drills.training_kills": (
        "tests/e2e/drills/test_soaks.py::test_killed_training_ends_with_the_same_bytes",
        ("make", "soak-training"),
    ),
    "python -m tools.benchmarks.preflight_scan": (
        "tests/e2e/benchmarks/test_bench_preflight.py::test_report_has_all_ways_and_ratios_of_each_point",
        ("-m", "tools.benchmarks.preflight_scan"),
    ),
    "python -m tools.benchmarks.train_scale": (
        "tests/e2e/benchmarks/test_bench_train.py::test_all_ways_use_the_same_rows_and_folds",
        ("-m", "tools.benchmarks.train_scale"),
    ),
    "aar-doc": ("tests/integration/repository/test_role_readmes.py::test_every_readme_lists_the_inputs", ("aar-doc",)),
    "sphinx-build": (
        "tests/integration/repository/test_site.py::test_site_builds_without_a_warning",
        ("sphinx-build",),
    ),
    "tools/test.sh": (".ci/run", ("make test-all",)),
    "tools/lint.sh": ("tools/test.sh", ("tools/lint.sh",)),
    "tools/setup.sh": ("tools/test.sh", ("tools/setup.sh",)),
    "tools/lock.sh": (
        "tests/integration/repository/test_setup.py::test_lock_pins_hashes_and_upgrades_on_request",
        ("tools/lock.sh",),
    ),
    "tools/clean.sh": (
        "tests/integration/repository/test_makefile.py::test_clean_removes_what_was_made_and_keeps_the_runs",
        ("make", '"clean"'),
    ),
    "tools/stop.sh": (
        "tests/integration/repository/test_makefile.py::test_stop_finds_the_embedded_aws_where_its_variable_says",
        ("make", '"stop"'),
    ),
    "ansible-playbook playbooks/awx.yml": (
        "tests/integration/awx/test_check.py::test_second_application_changes_nothing",
        ("checked.first.code", "checked.second.changed"),
    ),
    "ansible-builder create": (
        "tests/e2e/runner/test_execution_environment.py::test_the_build_context_holds_what_the_steps_copy",
        ("ansible-builder", '"create"', "-f"),
    ),
    "python -m tools.awx_check": (
        "tests/integration/awx/test_check.py::test_friday_and_saturday_pass_and_leave_nothing",
        ("awx_check.check", "Check("),
    ),
    "python -m tools.policies": (
        "tests/integration/policies/test_statements.py::test_removing_the_statement_breaks_something",
        ("tools.policies",),
    ),
    "python tools/runs.py": (
        "tests/unit/terminal/test_runs.py::test_mode_and_count_limit_the_list",
        ("tools", "runs"),
    ),
    "molecule destroy": (
        "tests/e2e/molecule/test_scenarios.py::test_single_scenario_prepares_itself_and_keeps_its_instance",
        ("molecule", '"destroy"'),
    ),
    "molecule test": ("tests/e2e/molecule/test_scenarios.py", ('"molecule"', '"test"')),
}

#: What takes no long time: a block of nothing else is run as it stands.
CHEAP = (
    r"python -m local_aws (status|log|console|fault|env|stop|start)\b",
    r"python -m local_aws\.substitutions\b",
    r"python -m tools.drills --list$",
    r"python -c ",
    r"python tools/(inputs_doc|awx_surveys)\.py( --check)?$",
    r"tools/help\.sh$",
    r"towncrier build --draft$",
)


class UnknownTargetError(Exception):
    """A page shows a target that the Makefile does not have."""


@dataclass(frozen=True)
class Block:
    """A fenced block of commands.

    Attributes:
        page: Path of its page in the project.
        line: Number of its first line there.
        language: What its fence says.
        marker: What the comment before it says, or that of the whole page, if there is one.
        text: The commands.
    """

    page: str
    line: int
    language: str
    marker: str
    text: str

    @property
    def name(self) -> str:
        """Where it is."""
        return f"{self.page}:{self.line}"

    @property
    def commands(self) -> list[list[str]]:
        """Its commands, each as words."""
        return list(commands(self.text))


def blocks(root: Path, pages: list[Path]) -> list[Block]:
    """Every block of commands in some pages, in their order."""
    return [
        Block(
            page.relative_to(root).as_posix(),
            text.count("\n", 0, match.start("text")) + 1,
            match["language"],
            match["marker"] or whole,
            match["text"],
        )
        for page in pages
        for text in [page.read_text(encoding="utf-8")]
        for whole in ["".join(WHOLE_PAGE.findall(text))]
        for match in FENCE.finditer(text)
        if match["language"] in SHELLS
    ]


def inline(root: Path, pages: list[Path]) -> list[tuple[str, list[str]]]:
    """The commands in the lines of some pages, with the page of each."""
    found = []
    for page in pages:
        text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
        for code in re.findall(r"(?<!`)`([^`\n]+)`", text):
            if PROGRAM.match(code) and not re.match(r"make [a-z-]+:", code):
                found += [(page.relative_to(root).as_posix(), words) for words in commands(code)]
    return found


def commands(text: str) -> Iterator[list[str]]:
    """The simple commands of a piece of shell: no keywords, assignments, redirections and comments."""
    assigned: dict[str, str] = {}
    text = re.sub(r"<([a-z][\w.-]*)>", r"PLACEHOLDER", text.replace("\\\n", " "))
    for inside in SUBSTITUTION.findall(text):
        yield from commands(inside)
    text = SUBSTITUTION.sub("SUBSTITUTED", text)
    open_quote = ""
    for line in text.splitlines():
        lexer = shlex.shlex(open_quote + line, posix=True, punctuation_chars=";|&<>")
        lexer.whitespace_split = True
        lexer.commenters = "#"
        try:
            found = [*lexer, ";"]
        except ValueError:  # a quotation that another line closes
            open_quote += f"{line}\n"
            continue
        open_quote = ""
        words: list[str] = []
        tokens = iter(found)
        for token in tokens:
            if re.fullmatch(r"[<>]+&?", token):
                next(tokens)
            elif not re.fullmatch(r"[;|&]+", token):
                words += [token] if token != "…" else []
            else:
                while words and (words[0] in KEYWORDS or re.match(r"\w+=", words[0])):
                    name, _, value = words.pop(0).partition("=")
                    assigned[name] = value
                if words and words[0] not in ("for", "done", "fi"):
                    yield [part for word in words for part in _expanded(word, assigned)]
                words = []


def _expanded(word: str, assigned: dict[str, str]) -> list[str]:
    """A word; a variable that the text set before it is as many words as it holds."""
    name = word.removeprefix("$")
    return shlex.split(assigned[name]) if word.startswith("$") and name in assigned else [word]


def resolved(root: Path, words: list[str]) -> list[list[str]]:
    """What a command comes down to: the recipe behind a target of make, the program behind a script.

    Raises:
        UnknownTargetError: make does not know the target.
    """
    program, *rest = words
    program = program.removeprefix(".venv/bin/").replace("python3", "python")
    if program == "make":
        environ = {name: value for name, value in os.environ.items() if name not in OUTER}
        dry = ["make", "--no-print-directory", "--dry-run", *rest]
        answer = subprocess.run(dry, cwd=root, env=environ, capture_output=True, text=True, check=False)
        if answer.returncode != 0:
            raise UnknownTargetError(f"{shlex.join(words)}: {answer.stderr.strip()}")
        recipe = [found for line in answer.stdout.splitlines() for found in commands(line)]
        # What a target stands on is set up by every one of them.
        wanted = [found for found in recipe if found != ["tools/setup.sh"]] or recipe
        return [found for each in wanted for found in resolved(root, each)]
    if program == "tools/drill.sh":
        return [["python", "-m", *rest]]
    if re.fullmatch(r"tools/bench_\w+\.sh", program):
        module = re.findall(r"-m (\S+)", (root / program).read_text(encoding="utf-8"))[-1]
        return [["python", "-m", module, *rest]]
    return [[program, *rest]]


def essence(words: list[str]) -> str:
    """A command without what makes no other command of it: its key in `RUN_BY`."""
    program, *rest = words
    if program == "ansible-playbook":
        kept = [word for word in rest if re.fullmatch(r"(playbooks/)?\w+\.yml", word)][:1]
        kept += [word for word in rest if word == "--check"]
        kept += ["-e preflight_only=true" for word in rest if word == "preflight_only=true"]
        return " ".join([program, *kept])
    if program == "python":
        return " ".join([program, *rest[: 2 if rest[:1] == ["-m"] else 1]])
    return " ".join([program, *rest[:1]]) if program in ("molecule", "ansible-builder") else program


def is_cheap(words: list[str]) -> bool:
    """Whether a command that it came down to may be run where it is shown."""
    text = shlex.join(words)
    return words[0] in SHELL_WORDS or any(re.match(pattern, text) for pattern in CHEAP)


def is_for_a_real_account(words: list[str]) -> bool:
    """Whether a command says that it goes to a real account."""
    return "inventory/aws" in words or words[0] == "aws"
