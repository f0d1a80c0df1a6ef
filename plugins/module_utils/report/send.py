# Copyright: spot-train contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Sends messages by SMTP, SES or SNS. A failure becomes an entry with the reason, never an error."""

from __future__ import annotations

import contextlib
import smtplib
import ssl
from collections.abc import Callable, Sequence
from email.message import EmailMessage
from email.policy import SMTP
from typing import Any

from .notify import Settings

#: Timeout: a server that does not answer must not delay the end of a run.
SECONDS = 20

Entry = dict[str, Any]
"""``{channel, to, sent, error}`` as in the receipt."""


def attempt(channel: str, to: Sequence[str], send: Callable[[], dict[str, str]]) -> list[Entry]:
    """Send once, to all recipients; return one entry per recipient.

    ``channel`` is ``smtp``, ``ses`` or ``sns``; ``send`` returns the reason for each recipient that was refused if
    others were not.
    """
    try:
        refused = send()
    except Exception as error:  # smtplib, ssl, botocore and email raise a dozen types; none may fail the run
        reason = one_line(error)
        return [{"channel": channel, "to": one, "sent": False, "error": reason} for one in to]
    return [{"channel": channel, "to": one, "sent": one not in refused, "error": refused.get(one)} for one in to]


def by_smtp(settings: Settings, message: EmailMessage) -> dict[str, str]:
    """Send by SMTP, never unencrypted if encryption is required; return reasons by refused recipient.

    Raises:
        OSError: Connection, encryption or login failed, or every recipient was refused.
        ValueError: The message or the password cannot be encoded.
    """
    host, port, security = settings.smtp_host, settings.smtp_port, settings.smtp_security
    trust = ssl.create_default_context(cafile=settings.smtp_ca_file or None) if security != "none" else None
    client = (
        smtplib.SMTP_SSL(host, port, timeout=SECONDS, context=trust)
        if security == "tls"
        else smtplib.SMTP(host, port, timeout=SECONDS)
    )
    try:
        if security == "starttls":
            client.starttls(context=trust)
        if settings.smtp_user:
            client.login(settings.smtp_user, settings.smtp_password)
        refused = client.send_message(message)
    finally:
        # The message has been accepted or not: a failing QUIT changes nothing.
        with contextlib.suppress(OSError):
            client.quit()
    return {address: _reply(*answer) for address, answer in refused.items()}


def by_ses(client: Any, settings: Settings, message: EmailMessage) -> dict[str, str]:
    """Send by SES; raise ClientError if it refuses, BotoCoreError if it cannot be reached."""
    client.send_raw_email(
        Source=settings.email_from,
        Destinations=list(settings.email_to),
        RawMessage={"Data": message.as_bytes(policy=SMTP)},
    )
    return {}


def by_sns(client: Any, topic: str, subject: str, text: str) -> dict[str, str]:
    """Publish to a topic; raise ClientError if SNS refuses, BotoCoreError if it cannot be reached."""
    client.publish(TopicArn=topic, Subject=subject, Message=text)
    return {}


def one_line(error: Exception) -> str:
    """Format an error in one line."""
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        return "; ".join(f"{address}: {_reply(*answer)}" for address, answer in error.recipients.items())
    if isinstance(error, smtplib.SMTPResponseException):
        return f"{type(error).__name__}: {_reply(error.smtp_code, error.smtp_error)}"
    message = " ".join(str(error).split())
    return f"{type(error).__name__}: {message}" if message else type(error).__name__


def _reply(code: int, text: bytes | str) -> str:
    """Format a server's reply in one line."""
    message = text.decode("utf-8", "replace") if isinstance(text, bytes) else str(text)
    return f"{code} {' '.join(message.split())}"
