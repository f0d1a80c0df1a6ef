"""A real SMTP server on loopback (aiosmtpd) with TLS and users, which keeps its messages."""

from __future__ import annotations

import ssl
from asyncio import Server
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

USER, PASSWORD = "trainer", "correct horse"
REFUSED = "gone@example.org"


@dataclass
class Mailbox:
    """Handles recipients and messages."""

    messages: list[EmailMessage] = field(default_factory=list)
    encrypted: list[bool] = field(default_factory=list)
    users: list[str | None] = field(default_factory=list)

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, rcpt_options: list[str]) -> str:
        if address == REFUSED:
            return "550 5.1.1 nobody of that name here"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        message = message_from_bytes(envelope.content, policy=default)
        assert isinstance(message, EmailMessage)
        self.messages.append(message)
        self.encrypted.append(server.transport.get_extra_info("ssl_object") is not None)
        self.users.append(session.auth_data)
        return "250 OK"

    @staticmethod
    def authenticate(server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
        """Accept one user."""
        right = isinstance(data, LoginPassword) and (data.login, data.password) == (USER.encode(), PASSWORD.encode())
        return AuthResult(success=right, handled=False, auth_data=USER if right else None)


class _OnAnyPort(Controller):
    """A controller that supports port 0; aiosmtpd's tries to connect to port 0."""

    def _trigger_server(self) -> None:
        assert isinstance(self.server, Server)
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()  # type: ignore[no-untyped-call]  # aiosmtpd is not typed


@dataclass
class MailServer:
    """A running server."""

    controller: Controller
    mailbox: Mailbox

    @property
    def port(self) -> int:
        """Its port."""
        return int(self.controller.port)


def start(certificate: Path | None = None, implicit: bool = False, users: bool = False) -> MailServer:
    """Start a server on a free port of 127.0.0.1.

    Args:
        certificate: From `make_certificate`; without it, the server offers no encryption.
        implicit: TLS from the first byte instead of STARTTLS.
        users: Whether it requires a login.
    """
    context = None
    if certificate is not None:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate)
    mailbox = Mailbox()
    options: dict[str, Any] = {"authenticator": Mailbox.authenticate, "auth_required": True} if users else {}
    if context is not None and not implicit:
        options["tls_context"] = context
    if implicit and users:
        options["auth_require_tls"] = False  # aiosmtpd only recognises STARTTLS
    options["ssl_context"] = context if implicit else None
    controller = _OnAnyPort(mailbox, hostname="127.0.0.1", port=0, ready_timeout=60, **options)
    controller.start()
    return MailServer(controller, mailbox)


def make_certificate(folder: Path) -> Path:
    """Write a key and a self-signed certificate for 127.0.0.1 into one PEM file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mail server of the tests")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=30))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / "server.pem"
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    return path
