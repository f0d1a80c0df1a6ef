# Copyright: spot-train contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Sending a message by SMTP, SES or SNS. What cannot be sent is an entry with the reason, never an error."""

from __future__ import annotations

import contextlib
import smtplib
import ssl
from collections.abc import Callable, Sequence
from email.message import EmailMessage
from email.policy import SMTP
from typing import Any

from .notify import Settings

#: A server that does not answer must not keep a run from its end.
SECONDS = 20

Entry = dict[str, Any]
"""``{channel, to, sent, error}`` as in the receipt."""


def attempt(channel: str, to: Sequence[str], send: Callable[[], dict[str, str]]) -> list[Entry]:
    """Send once, to all recipients.

    Args:
        channel: ``smtp``, ``ses`` or ``sns``.
        to: the recipients.
        send: sends; returns the reason for each recipient that was refused while others were not.

    Returns:
        One entry a recipient.
    """
    try:
        refused = send()
    except Exception as error:  # smtplib, ssl, botocore, email: a dozen kinds, none of which may end the run
        reason = one_line(error)
        return [{"channel": channel, "to": one, "sent": False, "error": reason} for one in to]
    return [{"channel": channel, "to": one, "sent": one not in refused, "error": refused.get(one)} for one in to]


def by_smtp(settings: Settings, message: EmailMessage) -> dict[str, str]:
    """Send by SMTP; never unencrypted where encryption is asked for.

    Returns:
        Reasons by refused recipient.

    Raises:
        OSError: No connection, no encryption, no login, or every recipient is refused.
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
        # Once the message is taken, a server that does not say good-bye changes nothing.
        with contextlib.suppress(OSError):
            client.quit()
    return {address: _reply(*answer) for address, answer in refused.items()}


def by_ses(client: Any, settings: Settings, message: EmailMessage) -> dict[str, str]:
    """Send by SES.

    Raises:
        ClientError: SES refuses.
        BotoCoreError: SES cannot be reached.
    """
    client.send_raw_email(
        Source=settings.email_from,
        Destinations=list(settings.email_to),
        RawMessage={"Data": message.as_bytes(policy=SMTP)},
    )
    return {}


def by_sns(client: Any, topic: str, subject: str, text: str) -> dict[str, str]:
    """Publish to a topic.

    Raises:
        ClientError: SNS refuses.
        BotoCoreError: SNS cannot be reached.
    """
    client.publish(TopicArn=topic, Subject=subject, Message=text)
    return {}


def one_line(error: Exception) -> str:
    """Say what went wrong in one line."""
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        return "; ".join(f"{address}: {_reply(*answer)}" for address, answer in error.recipients.items())
    if isinstance(error, smtplib.SMTPResponseException):
        return f"{type(error).__name__}: {_reply(error.smtp_code, error.smtp_error)}"
    said = " ".join(str(error).split())
    return f"{type(error).__name__}: {said}" if said else type(error).__name__


def _reply(code: int, text: bytes | str) -> str:
    """A server's reply as one line."""
    said = text.decode("utf-8", "replace") if isinstance(text, bytes) else str(text)
    return f"{code} {' '.join(said.split())}"
