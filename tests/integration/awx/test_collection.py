"""The collection awx.awx, extracted from the wheel that the lock file pins."""

from __future__ import annotations

import concurrent.futures
import json
import time
import zipfile
from pathlib import Path

import pytest

from tests.integration.awx.conftest import PROJECT
from tools import awx_collection

MANIFEST = f"{awx_collection.FOLDER}MANIFEST.json"


def wheel(folder: Path, *names: str) -> Path:
    path = folder / "ansible-12.0.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, json.dumps({"name": name}))
    return path


def test_pin_keeps_the_hashes_without_the_marker() -> None:
    pin = awx_collection.pin((PROJECT / "requirements.lock").read_text())
    assert pin.startswith("ansible==12.")
    assert "--hash=sha256:" in pin
    assert ";" not in pin
    assert "ansible==14" not in pin


def test_lock_file_without_ansible_12_is_an_error() -> None:
    with pytest.raises(awx_collection.CollectionError, match="does not pin ansible 12"):
        awx_collection.pin("ansible==14.5.0 \\\n    --hash=sha256:aa\n")


def test_unpacking_replaces_an_older_collection(tmp_path: Path) -> None:
    source = wheel(tmp_path, MANIFEST, "ansible_collections/other/other/MANIFEST.json", "ansible/x.py")
    target = tmp_path / "home" / "collections"
    old = target / awx_collection.FOLDER / "old"
    old.parent.mkdir(parents=True)
    old.touch()

    awx_collection.unpack(source, target)

    assert [str(path.relative_to(target)) for path in target.rglob("*") if path.is_file()] == [MANIFEST]
    assert [path.name for path in target.parent.iterdir()] == ["collections"]


def test_wheel_without_the_collection_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(awx_collection.CollectionError, match="has no ansible_collections/awx/awx"):
        awx_collection.unpack(wheel(tmp_path, "ansible/x.py"), tmp_path / "collections")


def test_concurrent_installs_download_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fetched = []

    def fetch(root: Path) -> None:
        fetched.append(root)
        time.sleep(0.5)
        manifest = awx_collection.place(root) / MANIFEST
        manifest.parent.mkdir(parents=True)
        manifest.touch()

    monkeypatch.setattr(awx_collection, "fetch", fetch)
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with concurrent.futures.ThreadPoolExecutor() as threads:
        codes = list(threads.map(lambda _: awx_collection.main([], tmp_path), range(2)))

    assert (codes, fetched) == ([0, 0], [tmp_path])


def test_installed_collection_is_not_downloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = awx_collection.place(tmp_path) / MANIFEST
    manifest.parent.mkdir(parents=True)
    manifest.touch()
    monkeypatch.setattr(awx_collection, "fetch", lambda root: pytest.fail("downloaded again"))
    assert awx_collection.main([], tmp_path) == 0


def test_failed_download_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "requirements.lock").write_text((PROJECT / "requirements.lock").read_text())
    monkeypatch.setattr(awx_collection, "present", lambda root: False)
    # Use an empty folder as the package index.
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")

    assert awx_collection.main([], tmp_path) == 1

    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("awx_collection: cannot download ansible==12.")
