"""A module is imported in a separate interpreter, without network access or file writes."""

from __future__ import annotations

import errno
import subprocess
from pathlib import Path

import predictor
import pytest
from predictor import isolated_import


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of a module `candidate` that other interpreters find."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return tmp_path / "candidate.py"


def test_harmless_module_imports(module: Path) -> None:
    module.write_text("import json\nVALUE = json.dumps({})\n")

    assert isolated_import.attempt("candidate") == ""


def test_scratch_folder_may_be_written(module: Path, tmp_path: Path) -> None:
    module.write_text(
        "import os, pathlib, tempfile\n"
        "pathlib.Path(os.environ['HOME'], 'cache').write_text('x')\n"
        "open(os.devnull, 'w').close()\n"
        "tempfile.TemporaryFile().close()\n"
    )

    assert isolated_import.attempt("candidate") == ""


FAILING = {
    "raises": ("import no_such_module_here", "ModuleNotFoundError: No module named 'no_such_module_here'"),
    "exits": ("raise SystemExit('no')", "SystemExit: no"),
    "dies": ("import os; os.kill(os.getpid(), 9)", "its interpreter exited with -9"),
    "connects": ("import socket; socket.create_connection(('198.51.100.7', 80))", "198.51.100.7"),
    "looks_up": ("import socket; socket.gethostbyname('example.com')", "socket.gethostbyname example.com"),
    "sends": (
        "import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('198.51.100.7', 53))",
        "socket.sendto 198.51.100.7:53",
    ),
    "listens": ("import socket; socket.socket().bind(('127.0.0.1', 8080))", "socket.bind 127.0.0.1:8080"),
    "starts_a_program": ("import subprocess; subprocess.run(['true'])", "start a program (subprocess.Popen true)"),
    "forks": ("import os; os.fork() or os._exit(0)", "start a program (os.fork )"),
}


@pytest.mark.parametrize("case", FAILING)
def test_failing_or_forbidden_import_is_reported(module: Path, case: str) -> None:
    code, message = FAILING[case]
    module.write_text(code + "\n")

    assert message in isolated_import.attempt("candidate")


def test_swallowed_refusal_fails_the_module(module: Path) -> None:
    module.write_text(
        "import urllib.request\ntry:\n    urllib.request.urlopen('http://example.com/')\nexcept Exception:\n    pass\n"
    )

    assert "forbidden on import: " in isolated_import.attempt("candidate")


@pytest.mark.parametrize(
    "code",
    [
        "open({path!r}, 'w')",
        "import os; os.open({path!r}, os.O_RDWR | os.O_CREAT)",
        "import os; os.mkdir({path!r})",
        "import os; os.remove(__file__)",
        "import os; os.rename(__file__, {path!r})",
        "import os, pathlib; home = pathlib.Path(os.environ['HOME'], 'x'); home.touch(); os.rename(home, {path!r})",
        "import os; os.symlink('/', {path!r})",
        "import shutil; shutil.rmtree({folder!r})",
    ],
)
def test_files_outside_the_scratch_folder_cannot_change(module: Path, tmp_path: Path, code: str) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "kept").touch()
    module.write_text(code.format(path=str(tmp_path / "made"), folder=str(other)) + "\n")

    assert "forbidden on import: " in isolated_import.attempt("candidate")

    assert sorted(path.name for path in tmp_path.iterdir()) == ["candidate.py", "other"]
    assert (other / "kept").exists()


def test_probe_for_ipv6_is_permitted(module: Path) -> None:
    module.write_text("import urllib3.util.connection\n")

    assert isolated_import.attempt("candidate") == ""


def test_hanging_import_is_killed(module: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(isolated_import, "SECONDS", 1)
    module.write_text("import time; time.sleep(60)\n")

    assert isolated_import.attempt("candidate") == "its import takes more than 1 s"


def test_only_failing_modules_get_an_interpreter_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    for case, (code, _) in FAILING.items():
        (tmp_path / f"module_{case}.py").write_text(code + "\n")
    (tmp_path / "module_ends_well.py").write_text("import os; os._exit(0)\n")
    (tmp_path / "module_first.py").write_text(
        "import sys; assert 'module_second' not in sys.modules and 'json' in sys.modules\n"
    )
    (tmp_path / "module_second.py").write_text("import sys; assert 'module_first' not in sys.modules\n")
    names = sorted(path.stem for path in tmp_path.glob("*.py"))
    alone: list[str] = []
    attempt = isolated_import.attempt

    def record(name: str) -> str:
        alone.append(name)
        return attempt(name)

    monkeypatch.setattr(isolated_import, "attempt", record)

    found = isolated_import.attempt_all(names, ["json", "pandas"])

    assert list(found) == names
    assert [name for name, why in found.items() if not why] == ["module_first", "module_second"]
    assert all(message in found[f"module_{case}"] for case, (_, message) in FAILING.items())
    assert found["module_ends_well"] == "its interpreter exited with 0: no output"
    assert sorted(alone) == [name for name, why in found.items() if why]


@pytest.mark.parametrize("code", ["raise ImportError('gone')", "open('/written', 'w')", "import os; os._exit(0)"])
def test_failing_library_does_not_fail_other_modules(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (tmp_path / "a_library.py").write_text(code + "\n")
    (tmp_path / "uses_it.py").write_text("import a_library\n")
    (tmp_path / "does_not.py").write_text("import json\n")

    found = isolated_import.attempt_all(["does_not", "uses_it"], ["a_library"])

    assert found["does_not"] == ""
    assert found["uses_it"] != ""


def test_hanging_module_does_not_fail_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(isolated_import, "SECONDS", 3)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (tmp_path / "hangs.py").write_text("import time; time.sleep(60)\n")
    (tmp_path / "does_not.py").write_text("import json\n")

    found = isolated_import.attempt_all(["hangs", "does_not"], ["json"])

    assert found == {"hangs": "its import takes more than 3 s", "does_not": ""}


def test_every_module_is_found() -> None:
    names = isolated_import.modules_of(predictor)

    files = Path(predictor.__path__[0]).rglob("*.py")
    expected = {".".join(path.relative_to(Path(predictor.__path__[0]).parent).with_suffix("").parts) for path in files}
    assert set(names) == {name.removesuffix(".__init__") for name in expected} - {"predictor"}


def test_compiled_code_is_confined_by_namespaces(module: Path, tmp_path: Path) -> None:
    if subprocess.run(["unshare", "--net", "--mount", "--map-root-user", "true"], check=False).returncode != 0:
        pytest.skip("this user cannot create namespaces")
    module.write_text(
        "import ctypes, os\n"
        "libc = ctypes.CDLL(None, use_errno=True)\n"
        f"made = libc.creat({str(tmp_path / 'made')!r}.encode(), 0o600)\n"
        "made_errno = ctypes.get_errno()\n"
        "interfaces = open('/proc/self/net/dev').read().splitlines()[2:]\n"
        "raise ValueError(f'{made} {made_errno} {[line.split(chr(58))[0].strip() for line in interfaces]}')\n"
    )

    assert isolated_import.attempt("candidate") == f"ValueError: -1 {errno.EROFS} ['lo']"
    assert not (tmp_path / "made").exists()
