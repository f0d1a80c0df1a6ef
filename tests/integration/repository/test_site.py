"""The documentation site: what `make docs` builds and rejects."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[3]
SECTIONS = ["Start", "Run", "A real account", "Operate", "Reference", "Project"]
# What a browser loads without a click: attributes of tags, and addresses in style sheets.
LOADED = re.compile(
    r"""<(?:script|img|link|iframe)\b[^>]*(?:src|href)="((?:https?:)?//[^"]+)|url\(['"]?((?:https?:)?//.+?)\)"""
)


def build(sources: Path, site: Path, venv: str = ".venv") -> tuple[int, str]:
    """Build a site as `make docs` does; return the exit code and the warnings."""
    command = [f"{ROOT}/{venv}/bin/sphinx-build", "-q", "-W", "-E", "-c", f"{ROOT}/docs", str(sources), str(site)]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    return answer.returncode, answer.stderr


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project's site."""
    folder = tmp_path_factory.mktemp("docs")
    assert build(ROOT, folder) == (0, "")
    return folder


def test_site_builds_without_a_warning(site: Path) -> None:
    for page in ("docs/quick-start", "roles/spot_instance/README", "packages/local_aws/README", "CONTRIBUTING"):
        assert (site / f"{page}.html").is_file(), page
    assert "url=docs/index.html" in (site / "index.html").read_text(encoding="utf-8")


def test_newest_python_builds_the_site(tmp_path: Path) -> None:
    if not (ROOT / ".venv-2.21").exists():
        pytest.skip("needs .venv-2.21, which make test-all makes with Python 3.12 or 3.13")
    assert build(ROOT, tmp_path, ".venv-2.21") == (0, "")


def test_navigation_is_that_of_the_index(site: Path) -> None:
    text = (site / "docs/index.html").read_text(encoding="utf-8")
    assert re.findall(r'<p class="caption"[^>]*><span class="caption-text">([^<]+)', text) == SECTIONS
    assert 'href="../roles/spot_instance/README.html"' in text


def test_linked_files_and_folders_are_shown(site: Path) -> None:
    page = (site / "docs/security-model.html").read_text(encoding="utf-8")
    assert 'href="../source/files/iam/expiry.json.html"' in page
    assert "StartTheOneRunbook" in (site / "source/files/iam/expiry.json.html").read_text(encoding="utf-8")
    assert 'href="../source/files/iam/index.html"' in page
    assert 'href="expiry.json.html"' in (site / "source/files/iam/index.html").read_text(encoding="utf-8")
    assert (site / "_images/run.svg").is_file()


def test_site_loads_nothing_from_other_hosts(site: Path) -> None:
    assert LOADED.search('<script src="//example.org/x.js">') and LOADED.search("url(https://example.org/f.woff)")
    for path in [*site.rglob("*.html"), *site.rglob("*.css")]:
        assert LOADED.findall(path.read_text(encoding="utf-8")) == [], path


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with an index, a page, and a README."""
    (tmp_path / "docs").mkdir()
    (tmp_path / "README.md").write_text("# Readme\n", encoding="utf-8")
    (tmp_path / "docs/index.md").write_text("# Top\n\n## Start\n\n| [One](one.md) | x |\n", encoding="utf-8")
    (tmp_path / "docs/one.md").write_text("# One\n\n[readme](../README.md#readme)\n", encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize(
    "target",
    ["gone.md", "../gone.json", "../../outside.md", "../README.md#gone", "#gone", "htps://example.org", "http://a.org"],
)
def test_broken_link_fails_the_build(project: Path, target: str) -> None:
    assert build(project, project / "site") == (0, "")
    with (project / "docs/one.md").open("a", encoding="utf-8") as page:
        page.write(f"\n[link]({target})\n")
    code, warnings = build(project, project / "site")
    assert code == 1
    assert re.search(rf"docs/one\.md:5: WARNING: .*{target.partition('#')[2] or Path(target).stem}", warnings), warnings


def test_page_missing_from_the_index_fails_the_build(project: Path) -> None:
    (project / "docs/two.md").write_text("# Two\n", encoding="utf-8")
    code, warnings = build(project, project / "site")
    assert code == 1
    assert "docs/two.md: WARNING: document isn't included in any toctree" in warnings
