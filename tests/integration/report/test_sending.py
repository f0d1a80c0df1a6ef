"""Notifications with a real mail server, and the module run_notify in real playbooks."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.spot_train.core.plugins.module_utils.report.notify import Settings, email, subject
from ansible_collections.spot_train.core.plugins.module_utils.report.receipt import Inputs, build_receipt
from ansible_collections.spot_train.core.plugins.module_utils.report.send import attempt, by_smtp

from tests.support import mail_server
from tests.support.mail_server import PASSWORD, REFUSED, USER, MailServer

Server = Callable[..., MailServer]


def mailing(smtp_port: int, **changes: Any) -> Settings:
    """Return settings that send an e-mail to one recipient."""
    usual = {
        "notify_on": "always",
        "email_to": ["ops@example.org"],
        "email_from": "trainer@example.org",
        "email_via": "smtp",
        "smtp_host": "127.0.0.1",
        "smtp_security": "starttls",
        "smtp_user": "",
        "smtp_password": "",
        "smtp_ca_file": "",
        "sns_topic_arn": "",
        "link_base": "",
    }
    return Settings(smtp_port=smtp_port, **{**usual, **changes})


@pytest.fixture
def receipt() -> dict[str, Any]:
    run = {"run_id": "r1", "mode": "preflight", "started_at": "2026-05-23T09:00:00Z"}
    made: dict[str, Any] = build_receipt(Inputs(run=run, writes={"data_bucket": 0}))
    return made


@pytest.fixture
def page(tmp_path: Path) -> Path:
    path = tmp_path / "report.html"
    path.write_text("<!doctype html><title>Bericht: é</title>", encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return mail_server.make_certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture
def server() -> Iterator[Server]:
    started: list[MailServer] = []

    def start(**options: Any) -> MailServer:
        started.append(mail_server.start(**options))
        return started[-1]

    yield start
    for one in started:
        one.controller.stop()


def sent(settings: Settings, message: EmailMessage) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = attempt("smtp", settings.email_to, lambda: by_smtp(settings, message))
    return entries


def test_unencrypted_message_is_sent_if_allowed(server: Server, receipt: dict[str, Any], page: Path) -> None:
    there = server()
    settings = mailing(smtp_port=there.port, smtp_security="none")

    entries = sent(settings, email(receipt, page, settings))

    assert entries == [{"channel": "smtp", "to": "ops@example.org", "sent": True, "error": None}]
    (got,) = there.mailbox.messages
    assert got["Subject"] == subject(receipt)
    (attached,) = got.iter_attachments()
    assert attached.get_payload(decode=True) == page.read_bytes()


@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_message_is_sent_encrypted_and_authenticated(
    server: Server, certificate: Path, receipt: dict[str, Any], page: Path, security: str
) -> None:
    there = server(certificate=certificate, implicit=security == "tls", users=True)
    settings = mailing(
        smtp_port=there.port,
        smtp_security=security,
        smtp_user=USER,
        smtp_password=PASSWORD,
        smtp_ca_file=str(certificate),
    )

    (entry,) = sent(settings, email(receipt, page, settings))

    assert entry["sent"], entry
    assert there.mailbox.users == [USER]
    assert there.mailbox.encrypted == [True]


@pytest.mark.parametrize(
    ("offers", "changes", "words"),
    [
        ({}, {}, "STARTTLS extension not supported by server"),
        ({"tls": True}, {}, "certificate verify failed"),
        ({"tls": True, "users": True}, {"trust": True}, "530"),
        ({"tls": True, "users": True}, {"trust": True, "smtp_user": USER, "smtp_password": "wrong"}, "535"),
        ({}, {"smtp_security": "tls"}, "SSL"),
        ({}, {"smtp_security": "none", "email_to": [REFUSED]}, "550 5.1.1 nobody of that name here"),
    ],
)
def test_refusal_of_the_server_is_the_error(
    server: Server,
    certificate: Path,
    receipt: dict[str, Any],
    page: Path,
    offers: dict[str, Any],
    changes: dict[str, Any],
    words: str,
) -> None:
    there = server(certificate=certificate if offers.get("tls") else None, users=bool(offers.get("users")))
    changes = {name: value for name, value in changes.items() if name != "trust"} | (
        {"smtp_ca_file": str(certificate)} if changes.get("trust") else {}
    )
    settings = mailing(smtp_port=there.port, **changes)

    (entry,) = sent(settings, email(receipt, page, settings))

    assert (entry["to"], entry["sent"]) == (settings.email_to[0], False)
    assert words in entry["error"]
    assert "\n" not in entry["error"] and "wrong" not in entry["error"].replace("wrong version number", "")
    assert there.mailbox.messages == []


def test_other_recipients_receive_the_message(server: Server, receipt: dict[str, Any], page: Path) -> None:
    there = server()
    settings = mailing(smtp_port=there.port, smtp_security="none", email_to=["ops@example.org", REFUSED])

    entries = sent(settings, email(receipt, page, settings))

    assert [(entry["to"], entry["sent"]) for entry in entries] == [("ops@example.org", True), (REFUSED, False)]
    assert entries[1]["error"] == "550 5.1.1 nobody of that name here"
    assert len(there.mailbox.messages) == 1


def test_unreachable_server_is_an_entry(receipt: dict[str, Any], page: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        settings = mailing(smtp_port=free.getsockname()[1])

    (entry,) = sent(settings, email(receipt, page, settings))

    assert (entry["sent"], "ConnectionRefusedError" in entry["error"]) == (False, True)


def test_silent_server_times_out(receipt: dict[str, Any], page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ansible_collections.spot_train.core.plugins.module_utils.report.send.SECONDS", 0.2)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        settings = mailing(smtp_port=silent.getsockname()[1])

        (entry,) = sent(settings, email(receipt, page, settings))

    assert (entry["sent"], "timed out" in entry["error"]) == (False, True)


NOTIFY_PLAY = """
- hosts: localhost
  connection: local
  gather_facts: false
  tasks:
    - spot_train.core.run_notify:
        run_dir: "{{ playbook_dir }}/runs/r1"
        email_to: [ops@example.org]
        email_from: trainer@example.org
        smtp_host: 127.0.0.1
        smtp_port: "{{ port }}"
        smtp_security: "{{ security | default('none') }}"
        smtp_user: "{{ user | default('') }}"
        smtp_password: "{{ password | default('') }}"
        notify_on: "{{ when | default('always') }}"
  roles: [run_report]
"""


@pytest.fixture
def notified(project: Any, receipt: dict[str, Any]) -> Any:
    """A project with a run that has a receipt and a page."""
    project.write("roles/run_report/tasks/main.yml", "")
    project.write("play.yml", NOTIFY_PLAY)
    project.write("runs/r1/receipt.json", json.dumps(receipt))
    project.write("runs/r1/report.html", "<!doctype html>")
    return project


def notifications(project: Any) -> Any:
    return json.loads((project.runs / "r1" / "receipt.json").read_text(encoding="utf-8"))["notifications"]


def test_notification_is_recorded_in_the_receipt(notified: Any, server: Server, receipt: dict[str, Any]) -> None:
    there = server()

    done = notified.play("-e", f"port={there.port}")

    assert done.returncode == 0, done.stdout + done.stderr
    assert len(there.mailbox.messages) == 1
    after = json.loads((notified.runs / "r1" / "receipt.json").read_text(encoding="utf-8"))
    entry = {"channel": "smtp", "to": "ops@example.org", "sent": True, "error": None}
    assert after == {**receipt, "notifications": [entry]}


def test_unsent_message_is_a_warning_without_the_password(notified: Any, server: Server) -> None:
    there = server()
    secret = "not-for-the-log"

    done = notified.play("-vvv", "-e", f"port={there.port} security=starttls user=me password={secret}")

    assert done.returncode == 0, done.stdout + done.stderr
    output = done.stdout + done.stderr
    assert "NOT SENT to ops@example.org by smtp: SMTPNotSupportedError" in " ".join(output.split())
    assert secret not in output
    (entry,) = notifications(notified)
    assert (entry["sent"], "STARTTLS" in entry["error"]) == (False, True)


def test_check_mode_and_notify_on_failure_send_nothing(notified: Any, server: Server) -> None:
    there = server()

    for options in (["--check"], ["-e", "when=failure"]):
        assert notified.play("-e", f"port={there.port}", *options).returncode == 0

    assert there.mailbox.messages == []
    assert notifications(notified) == []


def test_missing_receipt_is_a_warning(notified: Any, server: Server) -> None:
    (notified.runs / "r1" / "receipt.json").unlink()

    done = notified.play("-e", f"port={server().port}")

    assert done.returncode == 0
    assert "cannot read the receipt" in " ".join((done.stdout + done.stderr).split())
