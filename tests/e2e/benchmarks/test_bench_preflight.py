"""`make bench-preflight`: its report and request counts, and that it leaves nothing. Times are not checked."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tools.benchmarks import verdict
from tools.benchmarks.preflight_scan import main

ROOT = Path(__file__).resolve().parents[3]
SIZE = 40


def start(tmp_path: Path, *arguments: str) -> subprocess.Popen[str]:
    """Start the benchmark with its folders below ``tmp_path``."""
    return subprocess.Popen(
        [
            sys.executable,
            "-m",
            "tools.benchmarks.preflight_scan",
            *arguments,
            "--output",
            str(tmp_path / "out/bench.json"),
        ],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def servers(tmp_path: Path) -> list[str]:
    """Command lines of the embedded AWS's processes for a folder."""
    lines = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue  # already ended
        if str(tmp_path) in line and "serve" in line:
            lines.append(line)
    return lines


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, dict[str, Any], Path]:
    """Output, report and folder of a run with a tiny size."""
    folder = tmp_path_factory.mktemp("bench")
    tiny = ("--sizes", str(SIZE), "--latencies", "0,5", "--repeats", "1", "--sample", "10")
    with start(folder, *tiny, "--parts", "scan,preflight") as process:
        output, errors = process.communicate(timeout=900)
    assert process.returncode == 0, errors
    return output, json.loads((folder / "out/bench.json").read_text(encoding="utf-8")), folder


def test_report_has_all_ways_and_ratios_of_each_point(
    finished: tuple[str, dict[str, Any], Path],
) -> None:
    _, report, _ = finished
    assert [(scan["symbols"], scan["latency_ms"]) for scan in report["scans"]] == [(SIZE, 0), (SIZE, 5)]
    for scan in report["scans"]:
        for way in ("ours", "origin", "floor"):
            assert scan[way]["seconds"] > 0 and scan[way]["peak_mib"] > 1 and len(scan[way]["all_seconds"]) == 1
        for way in ("origin", "floor"):
            ratio = scan["ours"]["seconds"] / scan[way]["seconds"]
            assert scan[f"ours_to_{way}"] == pytest.approx(ratio, abs=0.001)


def test_scan_sends_two_requests_per_symbol(finished: tuple[str, dict[str, Any], Path]) -> None:
    for scan in finished[1]["scans"]:
        ours, floor = scan["ours"], scan["floor"]
        assert ours["read"] == SIZE
        assert 2 * SIZE <= ours["requests"] <= 2 * SIZE + 10
        assert 2.0 <= ours["requests_per_symbol"] <= 2.25
        assert ours["requests"] - 2 <= floor["requests"] <= ours["requests"]
        assert floor["io_threads"] == ours["io_threads"] > 1


def test_table_and_report_mark_sampled_times(
    finished: tuple[str, dict[str, Any], Path],
) -> None:
    output, report, _ = finished
    for scan in report["scans"]:
        origin = scan["origin"]
        assert (origin["sampled"], origin["read"], origin["symbols"]) == (True, 10, SIZE)
        assert origin["seconds"] > origin["measured_seconds"]
        assert f"~{origin['seconds']:.2f}" in output
    assert "~ scaled: the origin's way read 10 symbols" in output


def test_report_lists_every_check_with_its_time(finished: tuple[str, dict[str, Any], Path]) -> None:
    output, report, _ = finished
    assert [one["latency_ms"] for one in report["preflight"]] == [0, 5]
    for one in report["preflight"]:
        assert {"freshness", "universe"} <= {check["name"] for check in one["checks"]}
        assert all(set(check) == {"name", "status", "seconds"} for check in one["checks"])
        assert all(f"  {check['name']} " in output for check in one["checks"])


def test_report_names_the_machine_and_no_verdict_elsewhere(
    finished: tuple[str, dict[str, Any], Path],
) -> None:
    output, report, _ = finished
    assert report["machine"]["cores"] >= 1
    assert {"arcticdb", "moto"} <= set(report["machine"]["versions"])
    assert report["scans"][0]["ours"]["versions"]["arcticdb"]
    assert report["required"]["met"] is None
    assert report["playbook"] is None
    assert "No requirement applies" in output


def test_run_leaves_nothing(finished: tuple[str, dict[str, Any], Path]) -> None:
    folder = finished[2]
    assert [path.name for path in folder.iterdir()] == ["out"]
    assert servers(folder) == []


def test_interrupted_run_leaves_nothing(tmp_path: Path) -> None:
    with start(tmp_path, "--sizes", "100000", "--parts", "scan") as process:
        deadline = time.monotonic() + 60
        while not servers(tmp_path):
            assert time.monotonic() < deadline and process.poll() is None
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=600)
    assert (process.returncode, errors.splitlines()[-1]) == (1, "bench-preflight: interrupted")
    assert list(tmp_path.iterdir()) == []
    assert servers(tmp_path) == []


def scan(ours: float, requests: float = 2.0) -> dict[str, Any]:
    """A scan at the required point, with an origin of 100 s and a floor of 5 s."""
    measured = {"ours": {"seconds": ours, "requests_per_symbol": requests}}
    measured |= {"origin": {"seconds": 100.0}, "floor": {"seconds": 5.0}}
    return {**verdict.REQUIRED.point, **measured, **verdict.ratios(measured)}


@pytest.mark.parametrize(
    ("measured", "failures"),
    [
        (scan(7.5), []),
        (scan(8.0), ["1.60 times the floor (at most 1.50)"]),
        (scan(11.0), ["0.11 of the origin's time (at most 0.10)", "2.20 times the floor (at most 1.50)"]),
        (scan(6.0, 2.01), ["2.01 requests a symbol (at most 2.00)"]),
    ],
)
def test_verdict_names_unmet_requirements(measured: dict[str, Any], failures: list[str]) -> None:
    judged = verdict.REQUIRED.judge([{**measured, "symbols": 500}, measured])
    assert (judged["failures"], judged["met"]) == (failures, not failures)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--size", "500"], "unrecognized arguments: --size"),
        (["--sizes", "500,none"], "expected a whole number above 0, got 'none'"),
        (["--sizes", "0"], "expected a whole number above 0, got '0'"),
        (["--latencies", "-1"], "argument --latencies"),
        (["--latencies", "nan"], "expected 0 to 60000 milliseconds, got 'nan'"),
        (["--parts", "scan,everything"], "unknown part 'everything'"),
    ],
)
def test_wrong_option_is_an_error(arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert says in capsys.readouterr().err
