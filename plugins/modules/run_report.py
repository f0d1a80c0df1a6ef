#!/usr/bin/python
# Copyright: spot-train contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Module that writes the receipt and the report page of a run."""

from __future__ import annotations

DOCUMENTATION = r"""
module: run_report
short_description: Write the receipt and the report page of a training run
description:
  - Writes C(receipt.json) and C(report.html) to the run's folder, from its options and from the files in that folder
    (C(events.jsonl), C(preflight-controller.json), C(preflight.json), C(training-smoke.json), C(training-full.json) and
    C(logs/*.log)). In the parent folder, it points the link C(latest) at the run and refreshes C(index.html), the page
    of all runs. An error with that page is a warning.
  - Runs on the control node. A missing part is null in the receipt and named on the page; a damaged file becomes a
    note. A failed run gets both files too.
  - The outcome follows from the evidence. A run has passed only if no step failed, nothing is left over, no check
    failed, and, in a preflight, nothing was written.
  - The module succeeds if it wrote the report, also of a failed run; let the playbook fail on RV(outcome).
options:
  run_dir:
    description: The run's folder, which is created if missing.
    type: path
    required: true
  template:
    description: The page's Jinja template, normally C({{ role_path }}/templates/report.html.j2).
    type: path
    required: true
  run:
    description:
      - The run. C(run_id) is required; C(mode) (C(preflight), C(smoke), C(full) or C(both)) and C(started_at) are
        recommended.
      - C(finished_at), C(run_date), C(region), C(data_bucket), C(inventory), C(training_source), C(revision),
        C(controller), C(ansible_version) and C(amazon_aws_version) are optional. Other keys are ignored.
    type: dict
    required: true
  instance:
    description:
      - The instance as in the receipt, C({id, type, az, market, requested_at, online_at, terminated_at, attempts}).
        Without it, none was launched. Without C(id), none was obtained.
      - If C(running_at) is given, billing starts then.
    type: dict
  attempts:
    description:
      - The attempts of the run, in order, each C({number, instance, cells, ended_by, interruption, resumed_folds}).
        O(instance) completes the instance of the last one.
      - By default, they are read from C(attempts.json) in the run's folder; without that file, O(instance) is the only
        one.
    type: list
    elements: dict
  outcome:
    description:
      - The outcome according to the playbook. V(interrupted) is kept, and so is V(no_capacity), unless an earlier
        attempt had an instance, in which case the run was interrupted. The evidence overrides V(passed).
      - Without it, a run without recorded events has failed.
    type: str
    choices: [passed, failed, interrupted, no_capacity]
  error:
    description:
      - The error in one sentence. A failure of the work in C(events.jsonl) takes precedence, and this becomes a note.
    type: str
  leaks:
    description:
      - Leftovers, as counts or lists of C(instances), C(volumes), C(spot_requests), C(launch_templates), C(schedules)
        and C(transport_keys).
    type: dict
  writes:
    description:
      - C(data_bucket), a count (or a list) of writes, and C(evidence), the source of the count.
      - C(denied), the number of refused writes, which must be 0 in a preflight.
      - C(digest), C({before, after, equal, prefixes, changed, changed_count}), where C(before) and C(after) are
        C({sha256, objects, bytes, seconds}). In a preflight the two must be equal; then no count is needed.
    type: dict
  api_calls:
    description: Number of AWS requests by C(service.action).
    type: dict
  cost:
    description: C(market_price_usd_hour) and C(on_demand_price_usd_hour); without a price the cost is unknown.
    type: dict
attributes:
  check_mode:
    support: full
    description: The receipt is returned and nothing is written.
requirements:
  - jinja2
"""

EXAMPLES = r"""
- name: Write the receipt and the report
  spot_train.core.run_report:
    run_dir: "{{ run.run_dir }}"
    template: "{{ role_path }}/templates/report.html.j2"
    run: "{{ run }}"
    instance: "{{ run_instance | default(omit, true) }}"
    leaks: {instances: 0, volumes: 0, spot_requests: 0, launch_templates: 0, schedules: 0, transport_keys: 0}
    writes: {data_bucket: 0, evidence: ledger.jsonl}
    cost: {market_price_usd_hour: 0.0372, on_demand_price_usd_hour: 0.085}
  register: run_report_result
  delegate_to: localhost

- name: Show the summary
  ansible.builtin.debug:
    msg: "{{ run_report_result.summary }}"
"""

RETURN = r"""
outcome:
  description: The outcome, C(passed), C(failed), C(interrupted) or C(no_capacity).
  returned: always
  type: str
error:
  description: The error in one sentence; null for a run that passed.
  returned: always
  type: str
receipt:
  description: The receipt, as in C(receipt.json).
  returned: always
  type: dict
receipt_path:
  description: Path of the receipt.
  returned: always
  type: str
report_path:
  description: Path of the page.
  returned: always
  type: str
published:
  description: The parts of the receipt that are published to workflows, see docs/receipt.md.
  returned: always
  type: dict
summary:
  description: The run in at most 12 short lines, for a terminal.
  returned: always
  type: list
  elements: str
"""

import json
import traceback
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule, missing_required_lib
from ansible_collections.spot_train.core.plugins.module_utils.report.evidence import read_preflight, read_training
from ansible_collections.spot_train.core.plugins.module_utils.report.published import published
from ansible_collections.spot_train.core.plugins.module_utils.report.receipt import Inputs, build_receipt
from ansible_collections.spot_train.core.plugins.module_utils.report.summary import summary_lines
from ansible_collections.spot_train.core.plugins.module_utils.runs.attempts import read_attempts
from ansible_collections.spot_train.core.plugins.module_utils.runs.events import read_events
from ansible_collections.spot_train.core.plugins.module_utils.runs.files import point_latest, write_atomically

try:
    from ansible_collections.spot_train.core.plugins.module_utils.report.index_page import write_index
    from ansible_collections.spot_train.core.plugins.module_utils.report.page import log_files, render_page
    from jinja2 import TemplateError
except ImportError:
    JINJA_ERROR: str | None = traceback.format_exc()
else:
    JINJA_ERROR = None


NOT_RECORDED = (
    "no events were recorded, so the steps are unknown and the outcome is the playbook's own: check that the callback "
    "spot_train.core.run is enabled and that the disk is not full"
)
NOT_DONE = "the run did not complete its work, and no events say why"


def argument_spec() -> dict[str, dict[str, Any]]:
    """Return the module's options."""
    return {
        "run_dir": {"type": "path", "required": True},
        "template": {"type": "path", "required": True},
        "run": {"type": "dict", "required": True},
        "instance": {"type": "dict"},
        "attempts": {"type": "list", "elements": "dict"},
        "outcome": {"type": "str", "choices": ["passed", "failed", "interrupted", "no_capacity"]},
        "error": {"type": "str"},
        "leaks": {"type": "dict"},
        "writes": {"type": "dict"},
        "api_calls": {"type": "dict"},
        "cost": {"type": "dict"},
    }


def gather(parameters: dict[str, Any], check_mode: bool) -> Inputs:
    """Collect the parts of the receipt from the parameters and from the run's folder.

    A run that run_open opened but that recorded no events passes only if the playbook says so; check mode records none.
    """
    folder = Path(parameters["run_dir"])
    events, notes = read_events(folder / "events.jsonl")
    recorded, attempt_notes = read_attempts(folder)
    preflight, preflight_notes = read_preflight(folder)
    smoke, smoke_notes = read_training(folder / "training-smoke.json")
    full, full_notes = read_training(folder / "training-full.json")
    if not events and (folder / "run.json").exists() and not check_mode:
        notes = [NOT_RECORDED]
        if not parameters["outcome"] and not parameters["error"]:
            parameters = {**parameters, "error": NOT_DONE}
    return Inputs(
        events=events,
        preflight=preflight,
        smoke=smoke,
        full=full,
        attempts=parameters["attempts"] or recorded,
        notes=[*notes, *attempt_notes, *preflight_notes, *smoke_notes, *full_notes],
        **{name: parameters[name] for name in argument_spec() if name not in ("run_dir", "template", "attempts")},
    )


def refresh_index(module: AnsibleModule, runs: Path, templates: Path) -> None:
    """Write the index page; an error is a warning, because the run has ended."""
    try:
        write_index(runs, templates)
    except (OSError, TemplateError) as error:
        module.warn(f"Cannot write the index page {runs / 'index.html'}: {error}")


def main() -> None:
    """Write the report of one run."""
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    if JINJA_ERROR is not None:
        module.fail_json(msg=missing_required_lib("jinja2"), exception=JINJA_ERROR)
    if not module.params["run"].get("run_id"):
        module.fail_json(msg="run.run_id: expected a run ID, got an empty value")
    folder = Path(module.params["run_dir"])
    template = Path(module.params["template"])
    if not template.is_file():
        module.fail_json(msg=f"template: expected a file, got {template}")
    receipt = build_receipt(gather(module.params, module.check_mode))
    page = render_page(receipt, log_files(folder), template)
    changed = False
    try:
        if not module.check_mode:
            folder.mkdir(parents=True, exist_ok=True)
            # The receipt comes first: it matters more if the disk is full.
            changed = write_atomically(
                folder / "receipt.json", json.dumps(receipt, indent=2, ensure_ascii=False) + "\n"
            )
            changed = write_atomically(folder / "report.html", page) or changed
            moved, note = point_latest(folder, receipt["started_at"])
            changed = moved or changed
            if note:
                module.warn(note)
            refresh_index(module, folder.parent, template.parent)
    except OSError as error:
        module.fail_json(msg=f"Cannot write the report: {error}", receipt=receipt)
    receipt_path, report_path = str(folder / "receipt.json"), str(folder / "report.html")
    module.exit_json(
        changed=changed,
        outcome=receipt["outcome"],
        error=receipt["error"],
        receipt=receipt,
        receipt_path=receipt_path,
        report_path=report_path,
        published=published(receipt, receipt_path, report_path),
        summary=summary_lines(receipt, report_path),
    )


if __name__ == "__main__":
    main()
