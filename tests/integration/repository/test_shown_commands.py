"""Every shell command that the pages show is run by a test, or marked as needing a real account."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.repository import judges, shown
from tests.integration.repository.shown import REAL_ACCOUNT, RUN_BY, Block
from tests.integration.termination.conftest import account_without_prices
from tests.support.account import ROOT, EmbeddedAccount
from tests.support.cloud import Cloud

pytestmark = pytest.mark.slow

INSTANCE = "i-0123456789abcdef0"
#: What finds the one instance that runs.
THE_ONE = "/ running /"
#: README, what is linked from there, and all of docs/. READMEs of parts speak for those.
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "changelog.d/README.md", *sorted(ROOT.glob("docs/*.md"))]
BLOCKS = shown.blocks(ROOT, PAGES)
INLINE = sorted({(page, shlex.join(words)) for page, words in shown.inline(ROOT, PAGES)})


def run_here(text: str) -> bool:
    """Whether a piece of shell is run as it stands: nothing in it takes long."""
    try:
        found = [words for command in shown.commands(text) for words in shown.resolved(ROOT, command)]
    except shown.UnknownTargetError:
        return False  # and another test fails for it
    return all(shown.is_cheap(words) for words in found)


def why_not_run(command: list[str]) -> str | None:
    """Why no test runs a command, so far as that is known; None where one does, or will."""
    for words in shown.resolved(ROOT, command):
        if shown.is_for_a_real_account(words):
            return "it needs a real account: say so before the block, <!-- test: real-account -->"
        if shown.is_cheap(words) or shown.essence(words) in RUN_BY:
            continue
        return "no test runs it: name one before the block, <!-- test: tests/file.py::test -->, or see shown.py"
    return None


@pytest.mark.parametrize("block", BLOCKS, ids=[block.name for block in BLOCKS])
def test_a_block_of_commands_is_run_or_says_who_runs_it(block: Block) -> None:
    assert block.language == "sh", "blocks of commands are marked sh"
    assert block.commands, "a block without a command"
    if block.marker == REAL_ACCOUNT:
        every = [words for command in block.commands for words in shown.resolved(ROOT, command)]
        assert any(shown.is_for_a_real_account(words) for words in every), "nothing in it goes to a real account"
        return
    if block.marker:
        assert lacking(block.marker, ()) == []
        return
    wrong = {shlex.join(command): why for command in block.commands if (why := why_not_run(command))}
    assert wrong == {}
    if not run_here(block.text):
        # Otherwise, cheap ones next to one that takes long would never run.
        alone = [
            shlex.join(command)
            for command in block.commands
            for words in shown.resolved(ROOT, command)
            if shown.is_cheap(words) and words[0] not in shown.SHELL_WORDS and shown.essence(words) not in RUN_BY
        ]
        assert alone == [], "give these a block of their own, so that they are run"


@pytest.mark.parametrize(("page", "command"), INLINE, ids=[f"{page}: {command}" for page, command in INLINE])
def test_a_command_in_a_line_of_text_is_run_somewhere_and_understood(page: str, command: str) -> None:
    words = shlex.split(command)
    judged = [judges.complaint(ROOT, each) for each in shown.resolved(ROOT, words)]
    assert [complaint for complaint in judged if complaint] == []
    if not any(shown.is_for_a_real_account(each) for each in shown.resolved(ROOT, words)):
        assert why_not_run(words) is None


@pytest.mark.parametrize("block", BLOCKS, ids=[block.name for block in BLOCKS])
def test_the_programs_take_what_a_block_gives_them(block: Block) -> None:
    judged = [judges.complaint(ROOT, words) for command in block.commands for words in shown.resolved(ROOT, command)]
    assert [complaint for complaint in judged if complaint] == []


@pytest.mark.parametrize("key", RUN_BY)
def test_what_is_said_to_run_a_command_is_there_and_has_its_words(key: str) -> None:
    test, words = RUN_BY[key]
    assert lacking(test, words) == []


def test_nothing_is_said_to_be_run_that_is_not_shown() -> None:
    every = [words for block in BLOCKS for words in block.commands] + [shlex.split(command) for _, command in INLINE]
    shown_ones = {shown.essence(words) for command in every for words in shown.resolved(ROOT, command)}
    assert RUN_BY.keys() - shown_ones == set()


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ("make trian", "No rule to make target 'trian'"),
        ("make preflight ARGS=--preflight-onyl", "unrecognized arguments: --preflight-onyl"),
        ("make soak N=ten", "invalid int value: 'ten'"),
        ("make drill ARGS=--lots", "unrecognized arguments: --lots"),
        ("make bench-train ARGS='--sizes 500'", "argument --sizes"),
        ("make test ARGS=--kk", "unrecognized arguments: --kk"),
        ("make lock ARGS=--newest", "does not take --newest"),
        ("ansible-playbook playbooks/trian.yml", "there is no playbooks/trian.yml"),
        (".venv/bin/python -m local_aws log --wirtes", "unrecognized arguments: --wirtes"),
        ("python -m local_aws fault capacity typ=c5.large", "fault capacity does not take typ=c5.large"),
        ("python -m local_aws fault capacitor", "fault capacitor does not take"),
        (".venv/bin/python tools/inputs_doc.py --chek", "inputs_doc.py does not take --chek"),
        ("molecule test -s bootstarp", "there is no scenario bootstarp"),
        ("molecule tset", "molecule has no command tset"),
        ("pkill -KILL -f 'ansible-playbook trian.yml'", "pkill finds no ansible-playbook trian.yml"),
        (".venv/bin/towncrier build --drfat", "towncrier does not take --drfat"),
    ],
)
def test_a_mistake_in_a_shown_command_is_seen(command: str, says: str) -> None:
    try:
        judged = [judges.complaint(ROOT, words) for words in shown.resolved(ROOT, shlex.split(command))]
    except shown.UnknownTargetError as error:
        judged = [str(error)]
    assert says in " ".join(complaint for complaint in judged if complaint)


def test_a_page_may_name_one_test_for_all_of_its_blocks(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    blocks = "```sh\nmake a\n```\n\n<!-- test: real-account -->\n```sh\nmake b\n```\n"
    page.write_text(f"# Page\n\n<!-- test of all commands: tests/x.py::test_y -->\n\n{blocks}", encoding="utf-8")
    assert [(block.name, block.marker) for block in shown.blocks(tmp_path, [page])] == [
        ("page.md:6", "tests/x.py::test_y"),
        ("page.md:11", "real-account"),
    ]


def test_commands_are_found_in_loops_pipes_and_behind_assignments() -> None:
    text = """\
options='-e a=1 -e b=2'
for name in one two; do
    .venv/bin/python -m tool x=1 \\
        y=2 < in/$name.json > out.json   # said
done
A=1 make x ARGS="-k 'a b'" && ls | head -3
ansible-playbook site.yml $options -e id=<id>
if eval "$(python -m tool env)"; then false; fi
python -c '
a = 1  # no comment of a shell
' >> log
"""
    assert list(shown.commands(text)) == [
        ["python", "-m", "tool", "env"],
        [".venv/bin/python", "-m", "tool", "x=1", "y=2"],
        ["make", "x", "ARGS=-k 'a b'"],
        ["ls"],
        ["head", "-3"],
        ["ansible-playbook", "site.yml", "-e", "a=1", "-e", "b=2", "-e", "id=PLACEHOLDER"],
        ["eval", "SUBSTITUTED"],
        ["false"],
        ["python", "-c", "\na = 1  # no comment of a shell\n"],
    ]


HERE = {block.name: block.text for block in BLOCKS if not block.marker and run_here(block.text)}
# Of the commands in lines of text those that no block shows, and that are whole.
SHOWN = {shlex.join(command) for text in HERE.values() for command in shown.commands(text)}
HERE |= {text: text for _, text in INLINE if text not in SHOWN and "…" not in text and run_here(text)}


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """The embedded AWS in which everything shown is run, one after the other."""
    account = EmbeddedAccount(tmp_path_factory.mktemp("shown"), prefix=["env", *(f"-u{name}" for name in shown.OUTER)])
    description = account_without_prices(account.folder)
    account.local_aws("start", "--boot-delay", "0", "--seed", str(description))
    yield Cloud(account)
    account.stop()


@pytest.mark.parametrize("text", HERE.values(), ids=HERE)
def test_what_is_shown_and_takes_no_long_time_runs(cloud: Cloud, text: str) -> None:
    instance = ""
    if INSTANCE in text or THE_ONE in text:
        instance = cloud.launch({}, request_tags={})
        cloud.wait_for(lambda: cloud.state(instance) == "running")
        text = text.replace(INSTANCE, instance)
    # As one types it: the first command that fails ends it.
    cloud.account.command("bash", "-euo", "pipefail", "-c", text)
    if instance:
        cloud.ec2.terminate_instances(InstanceIds=[instance])


def lacking(test: str, words: tuple[str, ...]) -> list[str]:
    """What is not to be found of a test (`path::name`, or a script), and of words that it or what it imports holds."""
    path, _, name = test.partition("::")
    if not (ROOT / path).is_file():
        return [path]
    text = (ROOT / path).read_text(encoding="utf-8")
    if name and not re.search(rf"^def {re.escape(name)}\(", text, re.MULTILINE):
        return [name]
    texts = [text] if not path.endswith(".py") else [each.read_text(encoding="utf-8") for each in closure(ROOT / path)]
    return [word for word in words if not any(word in each for each in texts)]


def closure(module: Path) -> set[Path]:
    """A module of the tests, what it takes from the project, and the fixtures next to and above it."""
    found: set[Path] = set()
    waiting = [module, *(folder / "conftest.py" for folder in module.parents)]
    while waiting:
        path = waiting.pop()
        if path in found or not path.is_file() or not path.is_relative_to(ROOT):
            continue
        found.add(path)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module:
                place = ROOT.joinpath(*node.module.split("."))
                waiting += [place.with_suffix(".py"), place / "__init__.py"]
    return found
