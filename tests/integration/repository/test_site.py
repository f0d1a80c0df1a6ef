"""The documentation as a site: what `make docs` builds, and what it refuses."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tools.documentation import __main__ as build_docs
from tools.documentation import check as docs_check
from tools.documentation.source import BrokenLinkError, Layout, links, turn

ROOT = Path(__file__).resolve().parents[3]
SECTIONS = ["Start", "Run", "A real account", "Operate", "Reference", "Project"]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """The site, and what was said while it was built."""
    site = tmp_path_factory.mktemp("docs") / "site"
    command = [sys.executable, "-m", "tools.documentation", "--output", str(site), "--external"]
    # Nothing may be asked of anyone: a proxy that is not there answers whoever tries.
    proxies = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9")
    environ = {**os.environ, **proxies}
    answer = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    yield site, answer.stdout + answer.stderr


def test_the_site_is_built_without_a_warning(built: tuple[Path, str]) -> None:
    site, said = built
    assert "WARNING" not in said
    for page in ("index", "quick-start", "security-model", "roles/spot_instance", "packages/local_aws", "contributing"):
        assert (site / f"{page}.html").is_file(), page
    assert f"{site}/index.html" in said


def test_the_packages_for_the_newest_python_build_it_too(tmp_path: Path) -> None:
    python = ROOT / ".venv-2.21/bin/python"
    if not python.exists():
        pytest.skip("no environment with ansible-core 2.21: it takes Python 3.12 or 3.13, and neither is here")
    command = [str(python), "-m", "tools.documentation", "--output", str(tmp_path / "site")]
    answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (answer.returncode, answer.stderr) == (0, "")


def test_the_navigation_is_that_of_the_index(built: tuple[Path, str]) -> None:
    text = (built[0] / "index.html").read_text(encoding="utf-8")
    captions = re.findall(r'<p class="caption"[^>]*><span class="caption-text">([^<]+)', text)
    assert [caption for caption in captions if caption != "More"] == SECTIONS
    tree = re.search(r'<div class="sidebar-tree">(.*?)</div>', text, re.DOTALL)
    assert tree is not None
    assert len(re.findall(r'<a class="reference internal"', tree[1])) > 25


def test_a_file_that_a_page_links_to_is_shown_in_the_site(built: tuple[Path, str]) -> None:
    site, _ = built
    assert "StartTheOneRunbook" in (site / "source/files/iam/expiry.json.html").read_text(encoding="utf-8")
    page = (site / "security-model.html").read_text(encoding="utf-8")
    assert 'href="source/files/iam/expiry.json.html"' in page
    assert (site / "_images/run.svg").is_file()


def test_links_that_lead_out_are_listed_with_their_pages(built: tuple[Path, str]) -> None:
    listed = [line for line in built[1].splitlines() if line.startswith("https://")]
    assert any("skypilot" in line and "docs/comparison.md" in line for line in listed)
    assert f"{len(listed)} links to other sites" in built[1]


def test_what_is_wrong_in_a_finished_site_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text('<h1 id="top"></h1><a href="b.html#there">b</a><a href="c.html">c</a>')
    (tmp_path / "b.html").write_text('<script src="https://elsewhere.example/x.js"></script><a href="a.html#top">a</a>')
    (tmp_path / "c.css").write_text("@font-face { src: url(//fonts.example/f.woff) }")
    assert docs_check.problems(tmp_path) == [
        "a.html: b.html#there names no anchor of its page",
        "a.html: c.html leads nowhere",
        "b.html: https://elsewhere.example/x.js is fetched from elsewhere",
        "c.css: //fonts.example/f.woff is fetched from elsewhere",
    ]


@pytest.mark.parametrize(
    ("address", "good"),
    [
        ("https://docs.example.org/a/b.html#c", True),
        ("mailto:someone@example.org", True),
        ("http://example.org/", False),
        ("https://example/", False),
        ("https://exa mple.org/", False),
        ("https://127.0.0.1:8000/", False),
        ("htps://example.org/", False),
        ("https://[example.org/", False),
        ("mailto:someone", False),
    ],
)
def test_an_address_is_judged_by_how_it_is_written(address: str, good: bool) -> None:
    assert docs_check.bad_addresses([address]) == ([] if good else [address])


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with an index of one section, a page that it does not name, a README of a part, and a file."""
    for name, text in {
        "docs/index.md": "# Top\n\n## Start\n\n- [One](one.md)\n- [Part](../part/README.md)\n",
        "docs/one.md": "# One\n\n[file](../part/x.json), [folder](../part), [home](../README.md), `[no](link.md)`\n",
        "docs/other.md": "# Other\n\n[one](one.md#one)\n\n```text\n[not](a-link.md)\n```\n",
        "part/README.md": "# Part\n\n[one](../docs/one.md)\n",
        "part/x.json": '{"a": "```"}\n',
        "README.md": "# Readme\n",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


def test_a_page_that_the_index_does_not_name_is_in_the_site_all_the_same(project: Path) -> None:
    layout = Layout(project)
    assert layout.sections() == {"Start": ["one", "part"], "More": ["other"]}
    assert ":caption: More\n\nother\n" in layout.pages["index"]


def test_links_lead_to_where_their_targets_are_in_the_site(project: Path) -> None:
    layout = Layout(project)
    assert links(layout.pages["one"]) == ["source/part/x.json.md", "source/part/index.md", "readme.md"]
    assert links(layout.pages["part"]) == ["one.md"]
    assert links(layout.pages["other"]) == ["one.md#one"]
    assert "`[no](link.md)`" in layout.pages["one"]
    # A fence that the file itself does not end.
    assert '````json\n{"a": "```"}\n````' in layout.pages["source/part/x.json"]
    assert links(layout.pages["source/part/index"]) == ["../../part.md", "x.json.md"]


@pytest.mark.parametrize("target", ["gone.md", "../part/gone.json", "../../outside.md"])
def test_a_link_that_leads_nowhere_is_named_and_nothing_is_built(
    project: Path, target: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with (project / "docs/one.md").open("a", encoding="utf-8") as page:
        page.write(f"[gone]({target})\n")
    with pytest.raises(BrokenLinkError):
        Layout(project)
    assert build_docs.main(["--output", str(project / "site")], project) == 1
    assert f"docs/one.md: {target} leads nowhere" in capsys.readouterr().err
    assert not (project / "site").exists()


def test_an_address_that_cannot_be_right_fails_before_anything_is_built(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "docs/one.md").write_text("# One\n\n[x](htps://example.org)\n", encoding="utf-8")
    assert build_docs.main(["--output", str(project / "site")], project) == 1
    assert "docs/one.md: htps://example.org is no address" in capsys.readouterr().err


@pytest.mark.parametrize("colour", ["CI", "FORCE_COLOR"])
def test_a_broken_anchor_fails_the_build_and_is_named_where_it_was_written(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, colour: str
) -> None:
    monkeypatch.setenv(colour, "1")  # either has Sphinx write in colour where there is no terminal
    (project / "docs/other.md").write_text("# Other\n\n[one](one.md#two)\n", encoding="utf-8")
    # In no navigation: it is linked from a page alone.
    (project / "part/more.md").write_text("# More\n\n[one](../docs/one.md#three)\n", encoding="utf-8")
    (project / "part/README.md").write_text("# Part\n\n[more](more.md)\n", encoding="utf-8")
    assert build_docs.main(["--output", str(project / "site")], project) == 1
    said = capsys.readouterr().err
    assert re.search(r"^docs/other\.md:3: WARNING: .*'two'", said, re.MULTILINE), said
    assert re.search(r"^part/more\.md:3: WARNING: .*'three'", said, re.MULTILINE), said


def test_a_second_build_begins_anew_and_spares_what_is_no_site(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site = project / "site"
    assert build_docs.main(["--output", str(site)], project) == 0
    (project / "docs/other.md").unlink()
    assert build_docs.main(["--output", str(site)], project) == 0
    assert not (site / "other.html").exists()
    assert "Other" not in (site / "one.html").read_text(encoding="utf-8")

    assert build_docs.main(["--output", str(project / "part")], project) == 1
    assert "holds something else than a site" in capsys.readouterr().err
    assert (project / "part/x.json").is_file()


def test_a_turned_page_keeps_everything_but_its_links() -> None:
    text = "a [b](c.md) `[d](e.md)` ![f](g.png)\n\n```\n[h](i.md)\n```\n"
    assert turn(text, str.upper) == text.replace("c.md", "C.MD").replace("g.png", "G.PNG")
