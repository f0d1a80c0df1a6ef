# Copyright: spot-train contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Telling people how a run went: what the settings mean, and the message.

Sending is in `run_report_send.py`. Nothing here is sent unless somebody is named as recipient.
"""

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

#: The page of a universe of 20,000 symbols is a tenth of this. SES takes messages of up to 10 MB, encoding included.
LARGEST_PAGE = 7 * 1000 * 1000
#: SNS takes no longer subject, and no letters but ASCII.
LONGEST_SUBJECT = 99
#: What browsers take for an address (HTML Living Standard, "valid email address").
_ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*")
_TOPIC = re.compile(r"arn:aws[a-z-]*:sns:([a-z0-9-]+):\d{12}:[A-Za-z0-9_-]+(\.fifo)?")


@dataclass(frozen=True)
class Settings:
    """Who is told, when, and by which way: the inputs of the role, without their prefix."""

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
        """Take the settings out of a module's parameters."""
        return cls(**{field.name: parameters[field.name] for field in fields(cls)})

    @property
    def topic_region(self) -> str | None:
        """The region that the topic is in."""
        found = _TOPIC.fullmatch(self.sns_topic_arn)
        return found[1] if found else None

    def wanted(self, outcome: Any) -> bool:
        """Whether a run that ended so is to be told."""
        return self.notify_on == "always" or outcome != "passed"


def problems(settings: Settings) -> list[str]:
    """Find what can never work, each in one clause that names the input."""
    found = []
    for name, addresses in (("email_to", settings.email_to), ("email_from", [settings.email_from])):
        found += [
            f"run_report_{name}: {address!r} is no e-mail address"
            for address in addresses
            if (address or name == "email_to") and not _ADDRESS.fullmatch(address)
        ]
    if settings.email_to and not settings.email_from:
        found.append("run_report_email_to names a recipient, and run_report_email_from no sender")
    if settings.email_to and settings.email_via == "smtp":
        found += _smtp_problems(settings)
    if settings.sns_topic_arn and settings.topic_region is None:
        found.append(f"run_report_sns_topic_arn: {settings.sns_topic_arn!r} is no ARN of an SNS topic")
    address = urlsplit(settings.link_base)
    if settings.link_base and (address.scheme not in ("http", "https") or not address.netloc):
        found.append(f"run_report_link_base: {settings.link_base!r} is no http or https address")
    return found


def _smtp_problems(settings: Settings) -> list[str]:
    found = []
    if not settings.smtp_host:
        found.append("run_report_email_via is smtp, and run_report_smtp_host names no server")
    if not 0 < settings.smtp_port < 65536:
        found.append(f"run_report_smtp_port: {settings.smtp_port} is no port")
    if bool(settings.smtp_user) != bool(settings.smtp_password):
        given, lacking = ("user", "password") if settings.smtp_user else ("password", "user")
        found.append(f"run_report_smtp_{given} is set, and run_report_smtp_{lacking} is not")
    if settings.smtp_password and settings.smtp_security == "none":
        found.append("run_report_smtp_security is none, which would send run_report_smtp_password readable by all")
    if settings.smtp_ca_file and not Path(settings.smtp_ca_file).is_file():
        found.append(f"run_report_smtp_ca_file: {settings.smtp_ca_file} is no file")
    return found


def subject(receipt: Mapping[str, Any]) -> str:
    """Say how a run ended, in one short line of ASCII."""
    training = receipt.get("training") or {}
    said: dict[Any, str] = {True: ", promoted", False: ", not promoted"}
    promoted = said.get(training.get("promoted"), "")
    outcome = str(receipt.get("outcome")).replace("_", " ").upper()
    weights = "" if training.get("dry_run") or training.get("error") else promoted
    line = f"spot-train {outcome}: {receipt.get('mode') or 'run'} {receipt.get('run_id')}{weights}"
    return "".join(letter if " " <= letter <= "~" else "?" for letter in line)[:LONGEST_SUBJECT]


def link(receipt: Mapping[str, Any], settings: Settings) -> str:
    """Return the address of the page; empty where nobody said where pages are."""
    if not settings.link_base:
        return ""
    return f"{settings.link_base.rstrip('/')}/{quote(str(receipt.get('run_id')))}/report.html"


def text(receipt: Mapping[str, Any], page: Path, settings: Settings) -> str:
    """Return the summary that a terminal shows, with the link to the page, if there is one, and not its path."""
    return "\n".join(summary_lines(receipt, link(receipt, settings) or str(page))) + "\n"


def email(receipt: Mapping[str, Any], page: Path, settings: Settings) -> EmailMessage:
    """Write the message: the summary as text, and the page attached unless the text links to it.

    Args:
        receipt: the receipt.
        page: the report page. Where it cannot be read or is too large, the text says so.
        settings: sender, recipients, link.

    Returns:
        The message.
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
            body += f"\nThe page is not attached, it cannot be read: {error.strerror}\n"
        if attached is not None and len(attached) > LARGEST_PAGE:
            body += f"\nThe page is not attached, it is larger than {LARGEST_PAGE // 1000**2} MB.\n"
            attached = None
    message.set_content(body)
    if attached is not None:
        message.add_attachment(attached, maintype="text", subtype="html", filename=f"{receipt.get('run_id')}.html")
    return message
