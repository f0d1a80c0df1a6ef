"""Notifications: validation of the settings, the messages, and what SES and SNS receive."""

from __future__ import annotations

import dataclasses
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
from ansible_collections.spot_train.core.plugins.module_utils.report.send import attempt, by_ses, by_sns, one_line
from moto import mock_aws
from moto.ses.models import ses_backends
from moto.sns.models import sns_backends

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


def mailing(**changes: Any) -> Settings:
    """Return settings for an e-mail."""
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


def test_default_settings_are_valid() -> None:
    assert problems(OFF) == []


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (mailing(email_from=""), "run_report_email_from: required with run_report_email_to"),
        (mailing(smtp_host=""), "run_report_smtp_host: required with run_report_email_via=smtp"),
        (mailing(email_to=["ops"]), "run_report_email_to: expected an e-mail address, got 'ops'"),
        (mailing(email_to=[""]), "run_report_email_to: expected an e-mail address, got ''"),
        (mailing(email_to=["a@b", "a b@c.d"]), "run_report_email_to: expected an e-mail address, got 'a b@c.d'"),
        (mailing(email_to=["a@b.c\nBcc: d@e.f"]), "expected an e-mail address"),
        (mailing(email_from="me@"), "run_report_email_from: expected an e-mail address, got 'me@'"),
        (mailing(smtp_port=0), "run_report_smtp_port: expected 1 to 65535, got 0"),
        (mailing(smtp_user="me"), "run_report_smtp_password: required with run_report_smtp_user"),
        (mailing(smtp_password="x"), "run_report_smtp_user: required with run_report_smtp_password"),
        (mailing(smtp_user="me", smtp_password="x", smtp_security="none"), "would send run_report_smtp_password"),
        (mailing(smtp_ca_file="/nowhere.pem"), "run_report_smtp_ca_file: expected a file, got /nowhere.pem"),
        (mailing(link_base="runs/"), "run_report_link_base: expected an http or https URL, got 'runs/'"),
        (
            dataclasses.replace(OFF, sns_topic_arn="runs"),
            "run_report_sns_topic_arn: expected the ARN of an SNS topic, got 'runs'",
        ),
    ],
)
def test_invalid_settings_name_their_input(settings: Settings, words: str) -> None:
    (problem,) = problems(settings)
    assert words in problem


def test_ses_and_sns_need_no_mail_server() -> None:
    assert problems(mailing(email_via="ses", smtp_host="")) == []
    assert problems(dataclasses.replace(OFF, sns_topic_arn=TOPIC)) == []
    assert dataclasses.replace(OFF, sns_topic_arn=TOPIC).topic_region == "eu-west-1"


def test_notify_on_failure_skips_passed_runs() -> None:
    only = dataclasses.replace(OFF, notify_on="failure")
    assert [only.applies(outcome) for outcome in ("passed", "failed", "interrupted", "no_capacity")] == [
        *(False, True, True, True),
    ]
    assert OFF.applies("passed")


def test_subject_is_one_line_of_ascii_with_the_outcome(receipt: dict[str, Any], training: Any) -> None:
    assert subject(receipt) == "spot-train PASSED: preflight 20260523T090000Z-7f3a"
    receipt |= {"mode": "full", "training": training}
    assert subject(receipt).endswith(", promoted")
    receipt |= {"outcome": "no_capacity", "run_id": f"né\r\nBcc: x@y.z {'x' * 200}"}
    line = subject(receipt)
    assert line.startswith("spot-train NO CAPACITY: full n???Bcc: x@y.z")
    assert line.isascii() and line.isprintable() and len(line) < 100


def test_message_is_the_summary_with_the_page_attached(receipt: dict[str, Any], page: Path) -> None:
    message = email(receipt, page, mailing(email_to=["ops@example.org", "you@example.org"]))

    assert message["To"] == "ops@example.org, you@example.org"
    assert message["Auto-Submitted"] == "auto-generated"
    body, attached = message.iter_parts()
    assert "PASSED  preflight  20260523T090000Z-7f3a" in body.get_content()
    assert (attached.get_content_type(), attached.get_filename()) == ("text/html", "20260523T090000Z-7f3a.html")
    assert attached.get_payload(decode=True) == page.read_bytes()


def test_page_is_linked_with_a_link_base(receipt: dict[str, Any], page: Path) -> None:
    settings = mailing(link_base="https://runs.example.org/spot/")

    message = email(receipt, page, settings)

    where = "https://runs.example.org/spot/20260523T090000Z-7f3a/report.html"
    assert link(receipt, settings) == where
    assert f"report     {where}" in message.get_content()
    assert not list(message.iter_attachments())


@pytest.mark.parametrize(("spoil", "words"), [("missing", "cannot be read"), ("large", "larger than 7 MB")])
def test_message_says_why_the_page_is_not_attached(receipt: dict[str, Any], page: Path, spoil: str, words: str) -> None:
    if spoil == "missing":
        page.unlink()
    else:
        page.write_bytes(b"x" * (LARGEST_PAGE + 1))

    message = email(receipt, page, mailing())

    assert words in message.get_content()
    assert not list(message.iter_attachments())


def test_ses_receives_the_whole_message(receipt: dict[str, Any], page: Path) -> None:
    settings = mailing(email_via="ses")
    message = email(receipt, page, settings)
    with mock_aws():
        client = boto3.client("ses", region_name="us-east-1")
        (refused,) = attempt("ses", settings.email_to, lambda: by_ses(client, settings, message))
        client.verify_email_identity(EmailAddress=settings.email_from)
        (accepted,) = attempt("ses", settings.email_to, lambda: by_ses(client, settings, message))
        (kept,) = ses_backends["123456789012"]["us-east-1"].sent_messages

    assert (refused["sent"], "MessageRejected" in refused["error"]) == (False, True)
    assert accepted["sent"], accepted
    assert f"Subject: {subject(receipt)}" in kept.raw_data
    assert "text/html" in kept.raw_data


def test_topic_receives_the_summary(receipt: dict[str, Any], page: Path) -> None:
    with mock_aws():
        client = boto3.client("sns", region_name="us-east-1")
        topic = client.create_topic(Name="runs")["TopicArn"]
        summary = text(receipt, page, OFF)
        (accepted,) = attempt("sns", [topic], lambda: by_sns(client, topic, subject(receipt), summary))
        (refused,) = attempt("sns", [TOPIC], lambda: by_sns(client, TOPIC, subject(receipt), summary))
        kept = sns_backends["123456789012"]["us-east-1"].topics[topic].sent_notifications

    assert accepted == {"channel": "sns", "to": topic, "sent": True, "error": None}
    assert [(entry[1], entry[2]) for entry in kept] == [(summary, subject(receipt))]
    assert (refused["sent"], "NotFound" in refused["error"]) == (False, True)


def test_error_without_message_is_its_type() -> None:
    assert one_line(TimeoutError()) == "TimeoutError"
