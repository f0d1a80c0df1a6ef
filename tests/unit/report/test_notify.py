"""Notifications: what is refused, what is written, and what a real mail server gets."""

from __future__ import annotations

import dataclasses
import json
import socket
from collections.abc import Callable, Iterator
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import boto3
import pytest
from ansible_collections.spot_train.core.plugins.module_utils.report.notify import (
    LARGEST_PAGE,
    Settings,
    email,
    link,
    problems,
    subject,
    text,
)
from ansible_collections.spot_train.core.plugins.module_utils.report.receipt import Inputs, build_receipt
from ansible_collections.spot_train.core.plugins.module_utils.report.send import (
    attempt,
    by_ses,
    by_smtp,
    by_sns,
    one_line,
)
from moto import mock_aws
from moto.ses.models import ses_backends
from moto.sns.models import sns_backends

from tests.unit.report import mail_server
from tests.unit.report.mail_server import PASSWORD, REFUSED, USER, MailServer

OFF = Settings(
    notify_on="always",
    email_to=[],
    email_from="",
    email_via="smtp",
    smtp_host="",
    smtp_port=587,
    smtp_security="starttls",
    smtp_user="",
    smtp_password="",
    smtp_ca_file="",
    sns_topic_arn="",
    link_base="",
)
TOPIC = "arn:aws:sns:eu-west-1:123456789012:spot-train-runs"
Server = Callable[..., MailServer]


def mailing(**changes: Any) -> Settings:
    """Settings with which an e-mail can be sent."""
    usual = {"email_to": ["ops@example.org"], "email_from": "trainer@example.org", "smtp_host": "127.0.0.1"}
    return dataclasses.replace(OFF, **{**usual, **changes})


@pytest.fixture
def receipt(run: Any, instance: Any, preflight: Any, no_leaks: Any) -> dict[str, Any]:
    made: dict[str, Any] = build_receipt(
        Inputs(run=run, instance=instance, preflight=preflight, writes={"data_bucket": 0}, leaks=no_leaks)
    )
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


def test_switched_off_nothing_is_wrong() -> None:
    assert problems(OFF) == []


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (mailing(email_from=""), "run_report_email_to names a recipient, and run_report_email_from no sender"),
        (mailing(smtp_host=""), "run_report_smtp_host names no server"),
        (mailing(email_to=["ops"]), "run_report_email_to: 'ops' is no e-mail address"),
        (mailing(email_to=[""]), "run_report_email_to: '' is no e-mail address"),
        (mailing(email_to=["a@b", "a b@c.d"]), "run_report_email_to: 'a b@c.d' is no e-mail address"),
        (mailing(email_to=["a@b.c\nBcc: d@e.f"]), "is no e-mail address"),
        (mailing(email_from="me@"), "run_report_email_from: 'me@' is no e-mail address"),
        (mailing(smtp_port=0), "run_report_smtp_port: 0 is no port"),
        (mailing(smtp_user="me"), "run_report_smtp_user is set, and run_report_smtp_password is not"),
        (mailing(smtp_password="x"), "run_report_smtp_password is set, and run_report_smtp_user is not"),
        (mailing(smtp_user="me", smtp_password="x", smtp_security="none"), "would send run_report_smtp_password"),
        (mailing(smtp_ca_file="/nowhere.pem"), "run_report_smtp_ca_file: /nowhere.pem is no file"),
        (mailing(link_base="runs/"), "run_report_link_base: 'runs/' is no http or https address"),
        (dataclasses.replace(OFF, sns_topic_arn="runs"), "run_report_sns_topic_arn: 'runs' is no ARN of an SNS topic"),
    ],
)
def test_what_can_never_work_is_named_by_its_input(settings: Settings, words: str) -> None:
    (problem,) = problems(settings)
    assert words in problem


def test_ses_and_sns_need_no_mail_server() -> None:
    assert problems(mailing(email_via="ses", smtp_host="")) == []
    assert problems(dataclasses.replace(OFF, sns_topic_arn=TOPIC)) == []
    assert dataclasses.replace(OFF, sns_topic_arn=TOPIC).topic_region == "eu-west-1"


def test_failures_alone_are_told_if_that_is_asked_for() -> None:
    only = dataclasses.replace(OFF, notify_on="failure")
    assert [only.wanted(outcome) for outcome in ("passed", "failed", "interrupted", "no_capacity")] == [
        *(False, True, True, True),
    ]
    assert OFF.wanted("passed")


def test_the_subject_says_how_it_ended_in_ascii_and_one_line(receipt: dict[str, Any], training: Any) -> None:
    assert subject(receipt) == "spot-train PASSED: preflight 20260523T090000Z-7f3a"
    receipt |= {"mode": "full", "training": training}
    assert subject(receipt).endswith(", promoted")
    receipt |= {"outcome": "no_capacity", "run_id": f"né\r\nBcc: x@y.z {'x' * 200}"}
    line = subject(receipt)
    assert line.startswith("spot-train NO CAPACITY: full n???Bcc: x@y.z")
    assert line.isascii() and line.isprintable() and len(line) < 100


def test_a_message_is_the_summary_with_the_page_attached(receipt: dict[str, Any], page: Path) -> None:
    message = email(receipt, page, mailing(email_to=["ops@example.org", "you@example.org"]))

    assert message["To"] == "ops@example.org, you@example.org"
    assert message["Auto-Submitted"] == "auto-generated"
    body, attached = message.iter_parts()
    assert "PASSED  preflight  20260523T090000Z-7f3a" in body.get_content()
    assert (attached.get_content_type(), attached.get_filename()) == ("text/html", "20260523T090000Z-7f3a.html")
    assert attached.get_payload(decode=True) == page.read_bytes()


def test_with_an_address_of_the_pages_it_is_linked_and_not_attached(receipt: dict[str, Any], page: Path) -> None:
    settings = mailing(link_base="https://runs.example.org/spot/")

    message = email(receipt, page, settings)

    where = "https://runs.example.org/spot/20260523T090000Z-7f3a/report.html"
    assert link(receipt, settings) == where
    assert f"report     {where}" in message.get_content()
    assert not list(message.iter_attachments())


@pytest.mark.parametrize(("spoil", "words"), [("missing", "cannot be read"), ("large", "larger than 7 MB")])
def test_a_page_that_cannot_be_attached_is_said_to_be_left_out(
    receipt: dict[str, Any], page: Path, spoil: str, words: str
) -> None:
    if spoil == "missing":
        page.unlink()
    else:
        page.write_bytes(b"x" * (LARGEST_PAGE + 1))

    message = email(receipt, page, mailing())

    assert words in message.get_content()
    assert not list(message.iter_attachments())


def test_a_server_without_encryption_gets_it_if_none_is_asked_for(
    server: Server, receipt: dict[str, Any], page: Path
) -> None:
    there = server()
    settings = mailing(smtp_port=there.port, smtp_security="none")

    entries = sent(settings, email(receipt, page, settings))

    assert entries == [{"channel": "smtp", "to": "ops@example.org", "sent": True, "error": None}]
    (got,) = there.mailbox.messages
    assert got["Subject"] == subject(receipt)
    (attached,) = got.iter_attachments()
    assert attached.get_payload(decode=True) == page.read_bytes()


@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_it_is_sent_encrypted_and_by_the_user(
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
def test_what_a_server_refuses_is_not_sent_and_told_why(
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


def test_one_refused_recipient_does_not_keep_it_from_the_others(
    server: Server, receipt: dict[str, Any], page: Path
) -> None:
    there = server()
    settings = mailing(smtp_port=there.port, smtp_security="none", email_to=["ops@example.org", REFUSED])

    entries = sent(settings, email(receipt, page, settings))

    assert [(entry["to"], entry["sent"]) for entry in entries] == [("ops@example.org", True), (REFUSED, False)]
    assert entries[1]["error"] == "550 5.1.1 nobody of that name here"
    assert len(there.mailbox.messages) == 1


def test_a_server_that_is_down_is_an_entry_and_no_error(receipt: dict[str, Any], page: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        settings = mailing(smtp_port=free.getsockname()[1])

    (entry,) = sent(settings, email(receipt, page, settings))

    assert (entry["sent"], "ConnectionRefusedError" in entry["error"]) == (False, True)


def test_a_server_that_says_nothing_is_not_waited_for_long(
    receipt: dict[str, Any], page: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ansible_collections.spot_train.core.plugins.module_utils.report.send.SECONDS", 0.2)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        settings = mailing(smtp_port=silent.getsockname()[1])

        (entry,) = sent(settings, email(receipt, page, settings))

    assert (entry["sent"], "timed out" in entry["error"]) == (False, True)


def test_ses_gets_the_whole_message(receipt: dict[str, Any], page: Path) -> None:
    settings = mailing(email_via="ses")
    message = email(receipt, page, settings)
    with mock_aws():
        client = boto3.client("ses", region_name="us-east-1")
        (refused,) = attempt("ses", settings.email_to, lambda: by_ses(client, settings, message))
        client.verify_email_identity(EmailAddress=settings.email_from)
        (taken,) = attempt("ses", settings.email_to, lambda: by_ses(client, settings, message))
        (kept,) = ses_backends["123456789012"]["us-east-1"].sent_messages

    assert (refused["sent"], "MessageRejected" in refused["error"]) == (False, True)
    assert taken["sent"], taken
    assert f"Subject: {subject(receipt)}" in kept.raw_data
    assert "text/html" in kept.raw_data


def test_a_topic_gets_the_summary(receipt: dict[str, Any], page: Path) -> None:
    with mock_aws():
        client = boto3.client("sns", region_name="us-east-1")
        topic = client.create_topic(Name="runs")["TopicArn"]
        said = text(receipt, page, OFF)
        (taken,) = attempt("sns", [topic], lambda: by_sns(client, topic, subject(receipt), said))
        (refused,) = attempt("sns", [TOPIC], lambda: by_sns(client, TOPIC, subject(receipt), said))
        kept = sns_backends["123456789012"]["us-east-1"].topics[topic].sent_notifications

    assert taken == {"channel": "sns", "to": topic, "sent": True, "error": None}
    assert [(entry[1], entry[2]) for entry in kept] == [(said, subject(receipt))]
    assert (refused["sent"], "NotFound" in refused["error"]) == (False, True)


def test_an_error_without_words_has_its_name() -> None:
    assert one_line(TimeoutError()) == "TimeoutError"


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
def told(project: Any, receipt: dict[str, Any]) -> Any:
    """A project with a run that has a receipt and a page."""
    project.write("roles/run_report/tasks/main.yml", "")
    project.write("play.yml", NOTIFY_PLAY)
    project.write("runs/r1/receipt.json", json.dumps(receipt))
    project.write("runs/r1/report.html", "<!doctype html>")
    return project


def notifications(project: Any) -> Any:
    return json.loads((project.runs / "r1" / "receipt.json").read_text(encoding="utf-8"))["notifications"]


def test_the_module_sends_and_notes_it_in_the_receipt(told: Any, server: Server, receipt: dict[str, Any]) -> None:
    there = server()

    done = told.play("-e", f"port={there.port}")

    assert done.returncode == 0, done.stdout + done.stderr
    assert len(there.mailbox.messages) == 1
    after = json.loads((told.runs / "r1" / "receipt.json").read_text(encoding="utf-8"))
    entry = {"channel": "smtp", "to": "ops@example.org", "sent": True, "error": None}
    assert after == {**receipt, "notifications": [entry]}


def test_the_module_warns_of_what_it_could_not_send_keeps_the_password_and_does_not_fail(
    told: Any, server: Server
) -> None:
    there = server()
    secret = "dont-tell-anybody"

    done = told.play("-vvv", "-e", f"port={there.port} security=starttls user=me password={secret}")

    assert done.returncode == 0, done.stdout + done.stderr
    said = done.stdout + done.stderr
    assert "NOT SENT to ops@example.org by smtp: SMTPNotSupportedError" in " ".join(said.split())
    assert secret not in said
    (entry,) = notifications(told)
    assert (entry["sent"], "STARTTLS" in entry["error"]) == (False, True)


def test_the_module_sends_nothing_in_check_mode_and_nothing_of_a_success_where_failures_alone_are_told(
    told: Any, server: Server
) -> None:
    there = server()

    for options in (["--check"], ["-e", "when=failure"]):
        assert told.play("-e", f"port={there.port}", *options).returncode == 0

    assert there.mailbox.messages == []
    assert notifications(told) == []


def test_without_a_receipt_the_module_warns_and_does_not_fail(told: Any, server: Server) -> None:
    (told.runs / "r1" / "receipt.json").unlink()

    done = told.play("-e", f"port={server().port}")

    assert done.returncode == 0
    assert "the receipt cannot be read" in " ".join((done.stdout + done.stderr).split())
