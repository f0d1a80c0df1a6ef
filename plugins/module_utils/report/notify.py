# Copyright: spot-train contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Notification of a run's outcome: its settings and messages. `send.py` sends them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from .summary import summary_lines

#: Ten times the page of 20,000 symbols. SES accepts messages of up to 10 MB, encoding included.
LARGEST_PAGE = 7 * 1000 * 1000
#: SNS accepts ASCII subjects of fewer than 100 characters.
LONGEST_SUBJECT = 99
#: HTML Living Standard, "valid email address".
_ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*")
_TOPIC = re.compile(r"arn:aws[a-z-]*:sns:([a-z0-9-]+):\d{12}:[A-Za-z0-9_-]+(\.fifo)?")


@dataclass(frozen=True)
class Settings:
    """Recipients, channels and conditions: the inputs of the role, without their prefix."""

    notify_on: str
    email_to: Sequence[str]
    email_from: str
    email_via: str
    smtp_host: str
    smtp_port: int
    smtp_security: str
    smtp_user: str
    smtp_password: str
    smtp_ca_file: str
    sns_topic_arn: str
    link_base: str

    @classmethod
    def of(cls, parameters: Mapping[str, Any]) -> Settings:
        """Extract the settings from a module's parameters."""
        return cls(**{field.name: parameters[field.name] for field in fields(cls)})

    @property
    def topic_region(self) -> str | None:
        """The region of the SNS topic, None if its ARN is invalid."""
        found = _TOPIC.fullmatch(self.sns_topic_arn)
        return found[1] if found else None

    def applies(self, outcome: Any) -> bool:
        """Return whether to notify of this outcome."""
        return self.notify_on == "always" or outcome != "passed"


def problems(settings: Settings) -> list[str]:
    """Return the errors in the settings, one clause per input."""
    found = []
    for name, addresses in (("email_to", settings.email_to), ("email_from", [settings.email_from])):
        found += [
            f"run_report_{name}: expected an e-mail address, got {address!r}"
            for address in addresses
            if (address or name == "email_to") and not _ADDRESS.fullmatch(address)
        ]
    if settings.email_to and not settings.email_from:
        found.append("run_report_email_from: required with run_report_email_to")
    if settings.email_to and settings.email_via == "smtp":
        found += _smtp_problems(settings)
    if settings.sns_topic_arn and settings.topic_region is None:
        found.append(f"run_report_sns_topic_arn: expected the ARN of an SNS topic, got {settings.sns_topic_arn!r}")
    address = urlsplit(settings.link_base)
    if settings.link_base and (address.scheme not in ("http", "https") or not address.netloc):
        found.append(f"run_report_link_base: expected an http or https URL, got {settings.link_base!r}")
    return found


def _smtp_problems(settings: Settings) -> list[str]:
    found = []
    if not settings.smtp_host:
        found.append("run_report_smtp_host: required with run_report_email_via=smtp")
    if not 0 < settings.smtp_port < 65536:
        found.append(f"run_report_smtp_port: expected 1 to 65535, got {settings.smtp_port}")
    if bool(settings.smtp_user) != bool(settings.smtp_password):
        given, missing = ("user", "password") if settings.smtp_user else ("password", "user")
        found.append(f"run_report_smtp_{missing}: required with run_report_smtp_{given}")
    if settings.smtp_password and settings.smtp_security == "none":
        found.append(
            "run_report_smtp_security: none would send run_report_smtp_password unencrypted; use starttls or tls"
        )
    if settings.smtp_ca_file and not Path(settings.smtp_ca_file).is_file():
        found.append(f"run_report_smtp_ca_file: expected a file, got {settings.smtp_ca_file}")
    return found


def subject(receipt: Mapping[str, Any]) -> str:
    """Return the outcome of a run in one line of ASCII."""
    training = receipt.get("training") or {}
    promotion: dict[Any, str] = {True: ", promoted", False: ", not promoted"}
    outcome = str(receipt.get("outcome")).replace("_", " ").upper()
    weights = "" if training.get("dry_run") or training.get("error") else promotion.get(training.get("promoted"), "")
    line = f"spot-train {outcome}: {receipt.get('mode') or 'run'} {receipt.get('run_id')}{weights}"
    return "".join(letter if " " <= letter <= "~" else "?" for letter in line)[:LONGEST_SUBJECT]


def link(receipt: Mapping[str, Any], settings: Settings) -> str:
    """Return the URL of the page; empty without `link_base`."""
    if not settings.link_base:
        return ""
    return f"{settings.link_base.rstrip('/')}/{quote(str(receipt.get('run_id')))}/report.html"


def text(receipt: Mapping[str, Any], page: Path, settings: Settings) -> str:
    """Return the terminal's summary, with a link to the page instead of its path if there is one."""
    return "\n".join(summary_lines(receipt, link(receipt, settings) or str(page))) + "\n"


def email(receipt: Mapping[str, Any], page: Path, settings: Settings) -> EmailMessage:
    """Compose the message: the summary as text, and the page attached unless the text links to it.

    If the page cannot be read or is too large, the text says so.
    """
    message = EmailMessage()
    message["Subject"] = subject(receipt)
    message["From"] = settings.email_from
    message["To"] = ", ".join(settings.email_to)
    message["Date"] = formatdate()
    message["Message-ID"] = make_msgid(domain=settings.email_from.rpartition("@")[2])
    message["Auto-Submitted"] = "auto-generated"
    body, attached = text(receipt, page, settings), None
    if not settings.link_base:
        try:
            attached = page.read_bytes()
        except OSError as error:
            body += f"\nThe report page is not attached because it cannot be read: {error.strerror}\n"
        if attached is not None and len(attached) > LARGEST_PAGE:
            body += f"\nThe report page is not attached because it is larger than {LARGEST_PAGE // 1000**2} MB.\n"
            attached = None
    message.set_content(body)
    if attached is not None:
        message.add_attachment(attached, maintype="text", subtype="html", filename=f"{receipt.get('run_id')}.html")
    return message
