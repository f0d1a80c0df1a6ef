#!/usr/bin/python
# Copyright: spot-train contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Module that sends the outcome of a run."""

from __future__ import annotations

DOCUMENTATION = r"""
module: run_notify
short_description: Send the outcome of a run by e-mail and to an SNS topic
description:
  - Sends a summary of C(receipt.json) in the run's folder, with the page attached or linked, and records the recipients
    in the receipt under C(notifications).
  - A message that cannot be sent is a warning and an entry in the receipt, not a failure.
options:
  state:
    description: V(checked) only validates the settings. V(sent) sends.
    type: str
    choices: [checked, sent]
    default: sent
  run_dir:
    description: The run's folder, for O(state=sent).
    type: path
  notify_on:
    description: Whether to notify of every run, or only of one that did not pass.
    type: str
    choices: [always, failure]
    default: always
  email_to:
    description: Recipients. Without any, no e-mail is sent.
    type: list
    elements: str
    default: []
  email_from:
    description: The sender's address.
    type: str
    default: ""
  email_via:
    description: How to send e-mail.
    type: str
    choices: [smtp, ses]
    default: smtp
  smtp_host:
    description: Name or address of the mail server.
    type: str
    default: ""
  smtp_port:
    description: Port of the mail server.
    type: int
    default: 587
  smtp_security:
    description: V(starttls) and V(tls) never fall back to an unencrypted connection.
    type: str
    choices: [starttls, tls, none]
    default: starttls
  smtp_user:
    description: User, if the mail server requires authentication.
    type: str
    default: ""
  smtp_password:
    description: The user's password.
    type: str
    default: ""
  smtp_ca_file:
    description: PEM file of the certificate authorities to trust instead of the system's.
    type: path
    default: ""
  sns_topic_arn:
    description: ARN of the topic. Without it, nothing is published.
    type: str
    default: ""
  link_base:
    description: URL that serves the folder of the runs. With it, the page is linked instead of attached.
    type: str
    default: ""
attributes:
  check_mode:
    support: full
    description: Nothing is sent.
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
"""

EXAMPLES = r"""
- name: Send the outcome by e-mail
  spot_train.core.run_notify:
    run_dir: runs/20260105T090000Z-0a1b2c
    email_to: [ops@example.org]
    email_from: trainer@example.org
    smtp_host: mail.example.org
"""

RETURN = r"""
notifications:
  description: C(channel) (V(smtp), V(ses), V(sns)), C(to), C(sent) and C(error) (null if sent) of each message.
  returned: with O(state=sent)
  type: list
  elements: dict
"""

import json
from pathlib import Path
from typing import Any

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.spot_train.core.plugins.module_utils.report.notify import (
    Settings,
    email,
    problems,
    subject,
    text,
)
from ansible_collections.spot_train.core.plugins.module_utils.report.send import attempt, by_ses, by_smtp, by_sns
from ansible_collections.spot_train.core.plugins.module_utils.runs.files import write_atomically

TEXTS = ("email_from", "smtp_host", "smtp_user", "sns_topic_arn", "link_base")
ARGUMENTS: dict[str, dict[str, Any]] = {
    "state": {"type": "str", "choices": ["checked", "sent"], "default": "sent"},
    "run_dir": {"type": "path"},
    "notify_on": {"type": "str", "choices": ["always", "failure"], "default": "always"},
    "email_to": {"type": "list", "elements": "str", "default": []},
    "email_via": {"type": "str", "choices": ["smtp", "ses"], "default": "smtp"},
    "smtp_port": {"type": "int", "default": 587},
    "smtp_security": {"type": "str", "choices": ["starttls", "tls", "none"], "default": "starttls"},
    "smtp_password": {"type": "str", "default": "", "no_log": True},
    "smtp_ca_file": {"type": "path", "default": ""},
    **{name: {"type": "str", "default": ""} for name in TEXTS},
}


def send(module: Any, settings: Settings, receipt: dict[str, Any], page: Path) -> list[dict[str, Any]]:
    """Send by every configured channel; return one entry per recipient."""
    found: list[dict[str, Any]] = []

    def mail() -> dict[str, str]:
        message = email(receipt, page, settings)
        if settings.email_via == "smtp":
            return dict(by_smtp(settings, message))
        return dict(by_ses(module.client("ses"), settings, message))

    def publish() -> dict[str, str]:
        client = module.client("sns", region=settings.topic_region)
        return dict(by_sns(client, settings.sns_topic_arn, subject(receipt), text(receipt, page, settings)))

    if settings.email_to:
        found += attempt(settings.email_via, settings.email_to, mail)
    if settings.sns_topic_arn:
        found += attempt("sns", [settings.sns_topic_arn], publish)
    return found


def unsent(settings: Settings, error: str) -> list[dict[str, Any]]:
    """Return the entries of messages that were not attempted."""
    to = [(settings.email_via, one) for one in settings.email_to]
    to += [("sns", settings.sns_topic_arn)] if settings.sns_topic_arn else []
    return [{"channel": channel, "to": one, "sent": False, "error": error} for channel, one in to]


def main() -> None:
    """Run the module."""
    module = AnsibleAWSModule(
        argument_spec=ARGUMENTS,
        required_if=[("state", "sent", ["run_dir"])],
        supports_check_mode=True,
    )
    settings = Settings.of(module.params)
    wrong = "; ".join(problems(settings))
    if module.params["state"] == "checked":
        if wrong:
            module.fail_json(msg=f"{wrong}. Nothing was started.")
        module.exit_json(changed=False)
    folder = Path(module.params["run_dir"])
    try:
        receipt = json.loads((folder / "receipt.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        receipt, wrong = None, wrong or f"cannot read the receipt: {error}"
    if module.check_mode or (receipt is not None and not settings.applies(receipt["outcome"])):
        module.exit_json(changed=False, notifications=[])
    sent = unsent(settings, wrong) if wrong else send(module, settings, receipt, folder / "report.html")
    for entry in sent:
        if not entry["sent"]:
            module.warn(f"NOT SENT to {entry['to']} by {entry['channel']}: {entry['error']}")
    if receipt is not None:
        receipt["notifications"] = sent
        try:
            write_atomically(folder / "receipt.json", json.dumps(receipt, indent=2, ensure_ascii=False) + "\n")
        except OSError as error:
            module.warn(f"Cannot record the notifications in the receipt: {error}")
    module.exit_json(changed=any(entry["sent"] for entry in sent), notifications=sent)


if __name__ == "__main__":
    main()
