"""`python -m drills.policies`: take away each statement of files/iam in turn, see what fails, write the table."""

from __future__ import annotations

import argparse
import fnmatch
import tempfile
from pathlib import Path

from drills.account import ROOT
from drills.policies import replay, table, trials
from drills.policies.recording import record
from drills.policies.scene import Scene
from drills.policies.statements import statements

PAGE = ROOT / "docs" / "policies.md"


def main() -> int:
    """Print the table row by row; 1 if a statement is idle. The whole table is written into the page."""
    parser = argparse.ArgumentParser(prog="python -m drills.policies", description=__doc__, allow_abbrev=False)
    parser.add_argument("only", nargs="*", help="statements, as <policy>.<sid> with * and ?; all without any")
    only = parser.parse_args().only
    chosen = [
        each
        for each in statements()
        if not only or any(fnmatch.fnmatchcase(f"{each.policy}.{each.sid}", pattern) for pattern in only)
    ]
    if not chosen:
        parser.error(f"no statement is named {' or '.join(only)}")
    idle, rows = 0, []
    with tempfile.TemporaryDirectory(prefix="policies-") as folder, Scene(Path(folder)).running() as scene:
        print("recording the runs that use the policies …", flush=True)
        recording = record(scene)
        print(f"{len(recording.asked)} questions to the policies recorded\n", flush=True)
        for statement in chosen:
            row = table.Row(statement, replay.need(recording, statement), trials.fail(scene, statement))
            rows.append(row)
            print(" | ".join(row.cells()), flush=True)
            unused = replay.idle_parts(recording, statement)
            if not row.need.asked or row.failure is None or unused:
                idle += 1
                print(f"IDLE: {statement.policy}.{statement.sid} {' '.join(unused)}", flush=True)
    if not only and not idle:
        PAGE.write_text(table.put(PAGE.read_text(encoding="utf-8"), table.markdown(rows)), encoding="utf-8")
    print(f"\n{len(rows) - idle} of {len(rows)} statements are needed", flush=True)
    return 1 if idle else 0


if __name__ == "__main__":
    raise SystemExit(main())
