#!/usr/bin/python
# Copyright: spot-train contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Module that imports a project's modules and runs its preflight, in one call over a slow connection."""

from __future__ import annotations

DOCUMENTATION = r"""
module: preflight_probe
short_description: Import a project's modules, run its preflight, return the report
description:
  - Imports each module of O(imports) in a separate process. If one cannot be imported, does not run the preflight.
  - Runs the preflight, which may write its report to O(output), C({checks, …}). Otherwise makes a report of its exit
    code and its last line, with one check C(probe).
  - Writes the final report to O(output).
  - Does not fail if a check fails.
options:
  python:
    description: Python of the project's environment.
    type: path
    required: true
  imports:
    description: Names of modules.
    type: list
    elements: str
    default: []
  command:
    description: Program and arguments of the preflight.
    type: list
    elements: str
    required: true
  folder:
    description: Its working directory.
    type: path
    required: true
  input:
    description: Its standard input.
    type: str
    default: ""
  output:
    description: File for its report.
    type: path
    required: true
"""

RETURN = r"""
report:
  description: The report, as JSON text.
  returned: success
  type: str
exit_code:
  description: Exit code of the preflight; null if it was not run.
  returned: success
  type: int
stdout:
  description: Its standard output.
  returned: success
  type: str
stderr:
  description: Its standard error.
  returned: success
  type: str
"""

import contextlib
import json
import os
import subprocess
import time

from ansible.module_utils.basic import AnsibleModule

IMPORT = "import importlib, sys; importlib.import_module(sys.argv[1])"
IMPORTS_REMEDY = "Correct the lock file, the project's package or training_source.imports."
PROBE_REMEDY = "Read the output of the command in logs/preflight.log, and run it by hand to debug it."


def check(name: str, passed: bool, detail: str, remedy: str, seconds: float, **more: object) -> dict[str, object]:
    """The record of one check."""
    return {
        "name": name,
        "tier": "instance",
        "group": "software" if name == "imports" else "training",
        "status": "pass" if passed else "fail",
        "detail": detail,
        "remedy": "" if passed else remedy,
        "seconds": round(seconds, 3),
        **more,
    }


def last_line(*texts: str) -> str:
    """The last non-empty line of the first text that has one."""
    return next((line.strip() for text in texts for line in reversed(text.splitlines()) if line.strip()), "")


def import_failure(python: str, name: str) -> str:
    """Return why a module cannot be imported; empty if it can."""
    # Isolated from the working directory and environment variables.
    answer = subprocess.run(
        [python, "-I", "-c", IMPORT, name],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if answer.returncode == 0:
        return ""
    return last_line(answer.stderr, answer.stdout) or f"exit code {answer.returncode}"


def try_imports(python: str, names: list[str]) -> dict[str, object]:
    """The check `imports`."""
    started = time.monotonic()
    bad = [f"{name} ({reason})" for name in names if (reason := import_failure(python, name))]
    seconds = time.monotonic() - started
    if bad:
        detail = f"{len(bad)} of {len(names)} cannot be imported: {', '.join(bad)}"
        return check("imports", False, detail, IMPORTS_REMEDY, seconds, items=bad)
    return check("imports", True, ", ".join(names), "", seconds)


def read_report(path: str) -> tuple[dict[str, object] | None, str]:
    """Read the report of the preflight; None without a report, with the reason if it is malformed."""
    try:
        with open(path, encoding="utf-8") as handle:
            report = json.load(handle)
    except FileNotFoundError:
        return None, ""
    except (OSError, ValueError) as error:
        return None, f"cannot read its report {path}: {error}"
    if not isinstance(report, dict) or not isinstance(report.get("checks"), list):
        return None, f"its report {path} is not a JSON object with checks"
    return report, ""


def judge(
    report: dict[str, object] | None, damage: str, answer: subprocess.CompletedProcess[str], seconds: float
) -> dict[str, object]:
    """Return the report of the preflight, or one made of its exit code; ``damage``: why its report is malformed."""
    code = answer.returncode
    said = last_line(answer.stdout, answer.stderr) if code == 0 else last_line(answer.stderr, answer.stdout)
    ended = said or "no output" if code == 0 else ": ".join(filter(None, [f"exit code {code}", said]))
    if report is None:
        detail = "; ".join(filter(None, [ended, damage]))
        return {"checks": [check("probe", code == 0 and not damage, detail, PROBE_REMEDY, seconds)], "seconds": seconds}
    checks = report["checks"]
    assert isinstance(checks, list)
    failed = any(isinstance(entry, dict) and entry.get("status") == "fail" for entry in checks)
    if code != 0 and not failed:
        # Its checks do not explain the failure.
        return {**report, "checks": [*checks, check("probe", False, ended, PROBE_REMEDY, seconds)]}
    return report


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "python": {"type": "path", "required": True},
            "imports": {"type": "list", "elements": "str", "default": []},
            "command": {"type": "list", "elements": "str", "required": True},
            "folder": {"type": "path", "required": True},
            "input": {"type": "str", "default": ""},
            "output": {"type": "path", "required": True},
        }
    )
    python, command, output = (module.params[name] for name in ("python", "command", "output"))
    names = module.params["imports"]
    imports = [try_imports(python, names)] if names else []
    answer = subprocess.CompletedProcess(command, 0, "", "")
    code = None
    with contextlib.suppress(FileNotFoundError):
        os.unlink(output)  # of an earlier preflight on this machine
    if any(each["status"] == "fail" for each in imports):
        report: dict[str, object] = {"checks": imports}
    else:
        started = time.monotonic()
        try:
            answer = subprocess.run(
                command,
                cwd=module.params["folder"],
                input=module.params["input"],
                capture_output=True,
                text=True,
                errors="replace",
                check=False,
            )
        except OSError as error:
            answer = subprocess.CompletedProcess(command, 127, "", f"cannot start {command[0]}: {error.strerror}")
        code = answer.returncode
        report = judge(*read_report(output), answer, round(time.monotonic() - started, 3))
        checks = report["checks"]
        assert isinstance(checks, list)
        report = {**report, "checks": [*imports, *checks]}
    text = json.dumps(report) + "\n"
    with open(output, "w", encoding="utf-8") as handle:
        handle.write(text)
    module.exit_json(changed=False, report=text, exit_code=code, stdout=answer.stdout, stderr=answer.stderr)


if __name__ == "__main__":
    main()
