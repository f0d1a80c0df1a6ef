"""The whole preflight step by step: the predictor's checks over a universe, and one run of the playbook."""

from __future__ import annotations

import json
import signal
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Any

from local_aws import control

from tests.support.account import EmbeddedAccount
from tests.support.playbook import Playbook, Stuck
from tools.benchmarks import embedded
from tools.benchmarks.embedded import Embedded
from tools.benchmarks.measuring import ROOT, BenchmarkError, last_line
from tools.benchmarks.scans import LOCK, RUN_DATE

PREDICTOR = ROOT / ".venv/bin/predictor"
BOOT = "request"
"""The step that requests and boots the instance; reported separately because it is not part of the preflight."""

#: The first preflight on a machine downloads hundreds of megabytes.
LONGEST_SECONDS = 3600
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
        raise BenchmarkError(f"predictor preflight wrote no report: {last_line(done.stderr)}")
    report = json.loads(output.read_text(encoding="utf-8"))
    shown = [{name: check[name] for name in ("name", "status", "seconds")} for check in report["checks"]]
    return {"exit_code": done.returncode, "seconds": report["seconds"], "checks": shown}


def playbook(folder: Path) -> dict[str, Any]:
    """Run the playbook's preflight once, in its own embedded AWS; `folder` receives all files.

    Returns:
        `outcome`, `steps` of the receipt, `boot_seconds` and `seconds_without_boot`.

    Raises:
        BenchmarkError: It does not end, or wrote no receipt.
    """
    account = EmbeddedAccount(folder)
    run = Playbook(account, folder / "runs", folder / "output.txt", "-e", "preflight_only=true")
    try:
        run.wait(LONGEST_SECONDS)
    except Stuck as error:
        raise BenchmarkError(str(error)) from error
    except BaseException:
        # As Ctrl-C does, so that it cleans up.
        run.kill(signal.SIGINT)
        with suppress(Stuck):
            run.wait(PATIENCE_SECONDS)
        raise
    finally:
        with embedded.uninterrupted():
            if (folder / "aws/reservation.json").exists():
                control.stop(folder / "aws")
    receipt = run.receipt()
    if not receipt:
        raise BenchmarkError(f"the playbook wrote no receipt: {last_line(run.output)}")
    steps = [{name: step[name] for name in ("name", "status", "seconds")} for step in receipt["steps"]]
    boot = sum(step["seconds"] or 0 for step in steps if step["name"] == BOOT)
    total = sum(step["seconds"] or 0 for step in steps)
    return {
        "outcome": receipt["outcome"],
        "steps": steps,
        "boot_seconds": round(boot, 1),
        "seconds_without_boot": round(total - boot, 1),
    }


def configuration(folder: Path) -> Path:
    """The default configuration with the only macro series of the synthetic prices."""
    import yaml

    content = yaml.safe_load((ROOT / "files/predictor/config/default.yaml").read_text(encoding="utf-8"))
    content["data"]["macro"] = {"SPX": "fresh"}
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return path
