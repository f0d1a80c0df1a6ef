"""From an empty account to an empty account: set-up, a run under the supplied roles alone, teardown."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from drills.account import ROOT, practice_source
from local_aws import substitutions
from local_aws.state import AccessKey
from tests.account_setup.conftest import ACCOUNT_ID, CONTROLLER, DATA, TAKER, TRANSPORT, Owner, Played
from tests.e2e.conftest import NO_LEAKS, Account, Run

KEY = "predictor/practice.json"
#: Of the predictor's lock file, what the practice project needs to write.
LOCKED = ("boto3", "botocore", "jmespath", "python-dateutil", "s3transfer", "six", "urllib3")


def take_the_role(owner: Owner) -> dict[str, str]:
    """The environment of a controller that has taken its role as a user who may do only that."""
    iam = owner.client("iam")
    statement = {"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": CONTROLLER}
    iam.put_user_policy(
        UserName="taker", PolicyName="take", PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    )
    key = iam.create_access_key(UserName="taker")["AccessKey"]
    user = AccessKey("taker", key["AccessKeyId"], key["SecretAccessKey"])
    sts = owner.account.client_of(user, "sts")
    session = sts.assume_role(RoleArn=CONTROLLER, RoleSessionName="acceptance")["Credentials"]
    own = AccessKey("", session["AccessKeyId"], session["SecretAccessKey"])
    return {**owner.reservation.client_environment(own), "AWS_SESSION_TOKEN": session["SessionToken"]}


def writing_source(folder: Path) -> dict[str, Any]:
    """The practice project with a full training that writes one object, and with what it needs for that."""
    source = practice_source(folder, {"write": True, "folds": 1})
    blocks = re.split(r"\n(?=[a-z])", (ROOT / "files" / "predictor" / "requirements.lock").read_text())
    wanted = [block for block in blocks if block.partition("==")[0] in LOCKED]
    assert len(wanted) == len(LOCKED)
    with (folder / source["lock"]).open("a") as lock:
        lock.write("\n".join(wanted) + "\n")
    return source
