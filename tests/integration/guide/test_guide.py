"""Runs every command of docs/embedded-aws.md, in order, in one shell."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
GUIDE = ROOT / "docs" / "embedded-aws.md"
PROJECT = ROOT / "examples" / "ssm-role"
# Variables of a developer's shell.
FOREIGN = ("ANSIBLE_", "AWS_", "LOCAL_AWS_", "MOLECULE_", "PYTHONPATH", "VIRTUAL_ENV")
SECONDS = 600
FAULT = "python -m local_aws fault error service=s3 action=PutObject status=503 every=2 count=2"

pytestmark = pytest.mark.slow


def blocks(language: str) -> list[str]:
    """The guide's blocks of code in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", GUIDE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def test_guide_quotes_the_example_verbatim() -> None:
    sources = [path.read_text(encoding="utf-8") for path in PROJECT.rglob("*") if path.suffix in (".yml", ".py")]
    shown = blocks("yaml") + blocks("python")
    assert len(shown) == 4
    assert [block for block in shown if not any(block.rstrip() in source for source in sources)] == []


def test_commands_of_the_guide_work(tmp_path: Path) -> None:
    commands = blocks("sh")
    assert len(commands) > 10
    # Marks the end of each block's output.
    script = "".join(f"{block}printf 'END OF BLOCK {number}\\n'\n" for number, block in enumerate(commands))
    kept = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
    cache = ROOT / ".cache" / "packages"

    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=ROOT,
        env={**kept, "TMPDIR": str(tmp_path), "LOCAL_AWS_CACHE": str(cache), "HOME": str(tmp_path), "NO_COLOR": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=SECONDS,
        check=False,
    )

    assert done.returncode == 0, done.stdout
    output = dict(zip(commands, re.split(r"END OF BLOCK \d+\n", done.stdout), strict=False))
    said = {block.splitlines()[0]: text for block, text in output.items()}
    assert "DENIED" not in said["python -m local_aws log --denied"]
    assert "ssm:StartSession arn:aws:ec2:us-east-1:123456789012:instance/i-" in done.stdout
    assert said[FAULT].splitlines()[-2] == "2"
    assert "2 passed" in said["python -m pytest -q -p no:cacheprovider tests"]
    assert [path for path in tmp_path.iterdir() if path.name.startswith("tmp.")] == []
