"""Whole runs that tell people how they went, by a real mail server and by the account's SES and SNS."""

from __future__ import annotations

import json
import string
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e.runs.conftest import Account, practice_options
from tests.support import mail_server
from tests.support.account import ROOT
from tests.support.mail_server import PASSWORD, USER, MailServer

SENDER = "trainer@example.org"
TOPIC = "spot-train-runs"


@pytest.fixture(scope="module")
def topic(account: Account) -> Iterator[str]:
    """A topic and a sender that SES knows, and a controller that may use both."""
    substitutions = yaml.safe_load((ROOT / "inventory/local/account.yml").read_text())["substitutions"]
    policy = string.Template((ROOT / "files/iam/control_node_notifications.json").read_text()).substitute(substitutions)
    account.client("ses").verify_email_identity(EmailAddress=SENDER)
    arn = account.client("sns").create_topic(Name=TOPIC)["TopicArn"]
    iam = account.client("iam")
    iam.put_user_policy(UserName="control-node", PolicyName="notifications", PolicyDocument=policy)
    yield str(arn)
    iam.delete_user_policy(UserName="control-node", PolicyName="notifications")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return mail_server.make_certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture
def mail(certificate: Path) -> Iterator[MailServer]:
    """A mail server with STARTTLS that wants a user."""
    server = mail_server.start(certificate=certificate, users=True)
    yield server
    server.controller.stop()


def inputs(folder: Path, **values: Any) -> list[str]:
    """Inputs of the role in a file, as a person gives a password."""
    path = folder / "notifications.yml"
    path.write_text(json.dumps({f"run_report_{name}": value for name, value in values.items()}))
    return ["-e", f"@{path}"]


def test_a_run_that_passed_is_told_by_mail_and_to_the_topic(
    account: Account, topic: str, mail: MailServer, certificate: Path, tmp_path: Path
) -> None:
    run = account.train(
        "-e",
        "preflight_only=true",
        *practice_options(tmp_path / "practice"),
        *inputs(
            tmp_path,
            email_to=["ops@example.org"],
            email_from=SENDER,
            smtp_host="127.0.0.1",
            smtp_port=mail.port,
            smtp_ca_file=str(certificate),
            smtp_user=USER,
            smtp_password=PASSWORD,
            sns_topic_arn=topic,
        ),
    )

    assert run.code == 0, run.output
    assert run.receipt["outcome"] == "passed"
    assert run.receipt["notifications"] == [
        {"channel": "smtp", "to": "ops@example.org", "sent": True, "error": None},
        {"channel": "sns", "to": topic, "sent": True, "error": None},
    ]
    (message,) = mail.mailbox.messages
    assert message["Subject"] == f"spot-train PASSED: preflight {run.receipt['run_id']}"
    body = message.get_body(("plain",))
    assert body is not None
    assert "leftovers  nothing" in body.get_content()
    (page,) = message.iter_attachments()
    assert page.get_payload(decode=True) == run.page.encode()
    assert (mail.mailbox.encrypted, mail.mailbox.users) == ([True], [USER])
    assert PASSWORD not in run.output
    assert run.folder is not None
    leaking = [path for path in run.folder.rglob("*") if path.is_file() and PASSWORD.encode() in path.read_bytes()]
    assert leaking == []
    assert account.ledger("--action", "Publish", "--since", run.receipt["started_at"])[-1]["resource"] == topic


def test_failure_is_mailed_and_a_failed_mail_hides_nothing(account: Account, topic: str, tmp_path: Path) -> None:
    another = topic.replace(TOPIC, "another")

    run = account.train(
        "-e",
        "preflight_only=true",
        "-e",
        "data_bucket=not-there",
        *inputs(
            tmp_path,
            email_to=["ops@example.org"],
            email_from=SENDER,
            email_via="ses",
            sns_topic_arn=another,
            notify_on="failure",
        ),
    )

    assert run.code == 2, run.output
    assert run.receipt["outcome"] == "failed"
    assert "not-there" in run.receipt["error"]
    mail, publication = run.receipt["notifications"]
    assert mail == {"channel": "ses", "to": "ops@example.org", "sent": True, "error": None}
    (request,) = account.ledger("--action", "SendRawEmail", "--since", run.receipt["started_at"])
    assert (request["status"], request["source"]) == (200, "control-node")
    assert request["resource"].endswith(f":identity/{SENDER}")
    # The policy allows topics of one prefix only.
    assert (publication["channel"], publication["to"], publication["sent"]) == ("sns", another, False)
    assert "is not authorized to perform: sns:Publish" in publication["error"]
    assert f"NOT SENT to {another} by sns" in " ".join(run.output.split())
    assert any("not-there" in line for line in run.errors), run.output
    account.assert_nothing_left()
