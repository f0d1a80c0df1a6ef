"""The whole preflight step by step: the predictor's checks over a universe, and one run of the playbook."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from local_aws import control

from tools.benchmarks import embedded
from tools.benchmarks.embedded import Embedded
from tools.benchmarks.scans import LOCK, ROOT, RUN_DATE, BenchmarkError

BIN = ROOT / ".venv/bin"
PREDICTOR = ROOT / ".venv/bin/predictor"
BOOT = "request"
"""The step that requests and boots the instance; reported separately because it is not part of the preflight."""

PATIENCE_SECONDS = 90


def checks(server: Embedded, config: Path, output: Path) -> dict[str, Any]:
    """Run `predictor preflight` over the universe in the bucket; it may pass or fail.

    Returns:
        `exit_code`, `seconds`, and `checks` with the name, status and seconds of each.

    Raises:
        BenchmarkError: It wrote no report.
    """
    command = [str(PREDICTOR), "preflight", "--data-bucket", embedded.BUCKET, "--arctic-prefix", embedded.PREFIX]
    command += ["--run-date", RUN_DATE.isoformat(), "--config", str(config), "--lock", str(LOCK)]
    output.unlink(missing_ok=True)
    done = subprocess.run(
        [*command, "--output", str(output)],
        cwd=ROOT,
        env=server.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    if not output.exists():
        raise BenchmarkError(f"predictor preflight wrote no report: {_last(done.stderr)}")
    report = json.loads(output.read_text(encoding="utf-8"))
    shown = [{name: check[name] for name in ("name", "status", "seconds")} for check in report["checks"]]
    return {"exit_code": done.returncode, "seconds": report["seconds"], "checks": shown}


def playbook(folder: Path) -> dict[str, Any]:
    """Run the playbook's preflight once, in its own embedded AWS.

    Args:
        folder: For its state and its report.

    Returns:
        `outcome`, `steps` of the receipt, `boot_seconds` and `seconds_without_boot`.

    Raises:
        BenchmarkError: It wrote no receipt.
    """
    home, runs = folder / "aws", folder / "runs"
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "ANSIBLE_"))}
    environment = {
        **kept,
        "PATH": f"{BIN}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
        "LOCAL_AWS_HOME": str(home),
        "LOCAL_AWS_CACHE": str(ROOT / ".cache/packages"),
    }
    command = [str(BIN / "ansible-playbook"), "train.yml", "-e", "preflight_only=true", "-e", f"runs_dir={runs}"]
    try:
        output = _run(command, environment)
    finally:
        with embedded.uninterrupted():
            if (home / "reservation.json").exists():
                control.stop(home)
    receipts = list(runs.glob("2*/receipt.json"))
    if not receipts:
        raise BenchmarkError(f"the playbook wrote no receipt: {_last(output)}")
    receipt = json.loads(receipts[0].read_text(encoding="utf-8"))
    steps = [{name: step[name] for name in ("name", "status", "seconds")} for step in receipt["steps"]]
    boot = sum(step["seconds"] or 0 for step in steps if step["name"] == BOOT)
    total = sum(step["seconds"] or 0 for step in steps)
    return {
        "outcome": receipt["outcome"],
        "steps": steps,
        "boot_seconds": round(boot, 1),
        "seconds_without_boot": round(total - boot, 1),
    }


def _run(command: Sequence[str], environment: dict[str, str]) -> str:
    """Run a command to its end; if interrupted, send it SIGINT as Ctrl-C does, so that it cleans up."""
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            return process.communicate()[0]
        except BaseException:
            process.send_signal(signal.SIGINT)
            try:
                process.communicate(timeout=PATIENCE_SECONDS)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
            raise


def configuration(folder: Path) -> Path:
    """The default configuration with the only macro series of the synthetic prices."""
    import yaml

    content = yaml.safe_load((ROOT / "files/predictor/config/default.yaml").read_text(encoding="utf-8"))
    content["data"]["macro"] = {"SPX": "fresh"}
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return path


def _last(text: str) -> str:
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "no output")
