"""playbooks/rollback.yml restores the older of two sets."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from local_aws.state import reserve

from tests.integration.termination.test_playbooks import playbook
from tests.support.account import DATA_BUCKET, ROOT
from tests.support.cloud import Cloud

pytestmark = pytest.mark.slow

sys.path.insert(0, str(ROOT / "files" / "predictor" / "src"))
manifest: Any = importlib.import_module("predictor.manifest")
s3_keys: Any = importlib.import_module("predictor.s3_keys")
to_json: Any = importlib.import_module("predictor.output").to_json

OLD, NEW, BAD = "2022-12-15", "2022-12-22", "2022-12-29"
ROLE = "arn:aws:iam::123456789012:role/spot-train-rollback"


def archive(s3: Any, run_date: str, run_id: str, promoted: bool) -> dict[str, Any]:
    """Archive a set as a training does; return the manifest."""
    bodies = {name: f"{name} of {run_id}".encode() for name in (*s3_keys.MODEL_FILES, s3_keys.OUT_OF_SAMPLE)}
    for name, body in bodies.items():
        s3.put_object(Bucket=DATA_BUCKET, Key=s3_keys.archive(run_date, name), Body=body)
    document = {
        "version": s3_keys.version(run_date, run_id),
        "run_id": run_id,
        "run_date": run_date,
        "promoted": promoted,
        "gates": [{"name": "median_ic", "passed": promoted, "blocking": True}],
    }
    files = {name: manifest.entry(s3_keys.archive(run_date, name), body) for name, body in bodies.items()}
    document |= {"out_of_sample": files.pop(s3_keys.OUT_OF_SAMPLE), "files": files}
    s3.put_object(Bucket=DATA_BUCKET, Key=s3_keys.archive(run_date, s3_keys.MANIFEST), Body=to_json(document))
    return document


def promote(s3: Any, run_date: str, run_id: str) -> None:
    """Promote a set as a training does."""
    document = archive(s3, run_date, run_id, promoted=True)
    entries = {}
    for name in (*s3_keys.MODEL_FILES, s3_keys.OUT_OF_SAMPLE):
        key, body = s3_keys.versioned(document["version"], name), f"{name} of {run_id}".encode()
        entries[name] = manifest.entry(key, body)
        manifest.put_new(s3, DATA_BUCKET, key, body, "text/plain")
        beside = to_json(manifest.describe(name, entries[name], document))
        manifest.put_new(s3, DATA_BUCKET, s3_keys.description(key), beside, "application/json")
    live = {**document, "out_of_sample": entries.pop(s3_keys.OUT_OF_SAMPLE), "files": entries}
    manifest.replace_live(s3, DATA_BUCKET, to_json(live), manifest.read_live(s3, DATA_BUCKET).etag)


@pytest.fixture(scope="module")
def s3(cloud: Cloud) -> Any:
    """The data bucket with three archived sets, two of which were live."""
    client = cloud.account.client("s3")
    promote(client, OLD, "old")
    promote(client, NEW, "new")
    archive(client, BAD, "bad", promoted=False)
    return client


def rollback(cloud: Cloud, **variables: Any) -> tuple[int, str]:
    """Run the playbook; its exit code, and its output without Ansible's line breaks."""
    code, output = playbook(cloud, "rollback", **variables)
    return code, " ".join(output.split())


def etags(s3: Any) -> dict[str, str]:
    return {item["Key"]: item["ETag"] for item in s3.list_objects_v2(Bucket=DATA_BUCKET)["Contents"]}


def verify(cloud: Cloud) -> str:
    """Output of `predictor verify` on the live set."""
    reservation = reserve(cloud.account.folder / "aws")
    answer = cloud.account.command(
        "env", f"PYTHONPATH={ROOT / 'files/predictor/src'}", f"AWS_ENDPOINT_URL={reservation.endpoint}",
        "AWS_REGION=us-east-1", f"AWS_ACCESS_KEY_ID={reservation.operator.access_key_id}",
        f"AWS_SECRET_ACCESS_KEY={reservation.operator.secret_access_key}",
        "python", "-m", "predictor", "verify", "--data-bucket", DATA_BUCKET,
    )  # fmt: skip
    return answer.stdout


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({}, '(-e to=YYYY-MM-DD), got "". Nothing was changed'),
        ({"to": "2022-02-30"}, "expected a date (YYYY-MM-DD), got '2022-02-30'"),
        (
            {"to": "2022-12-16"},
            f"archived for 2022-12-16; archived days: {OLD}, {NEW}, {BAD}; nothing was changed",
        ),
        ({"to": BAD}, f"the set archived for {BAD} did not pass its gates (median_ic); nothing was changed"),
        ({"too": OLD}, "unknown input 'too' (did you mean 'to')"),
        ({"to": OLD, "rollback_role": "spot-train-nobody"}, "Cannot assume the role spot-train-nobody: "),
        # An existing role that the control node may not assume.
        ({"to": OLD, "rollback_role": "spot-train-training"}, "Cannot assume the role spot-train-training: "),
    ],
)
def test_error_is_one_clear_line_and_changes_nothing(
    cloud: Cloud, s3: Any, variables: dict[str, Any], words: str, tmp_path: Path
) -> None:
    before = etags(s3)

    code, output = rollback(cloud, runs_dir=str(tmp_path), **variables)

    assert code != 0
    assert words in output
    assert etags(s3) == before


def test_archived_set_is_restored_once_and_can_be_replaced(cloud: Cloud, s3: Any, tmp_path: Path) -> None:
    before = etags(s3)

    code, output = rollback(cloud, to=OLD, runs_dir=str(tmp_path))

    assert code == 0, output
    assert f"run old of {OLD} is live again (version {OLD}-old) in place of run new of {NEW}" in output
    assert "changed=1" in output
    after = etags(s3)
    assert {key for key in after if after[key] != before.get(key)} == {s3_keys.LIVE_MANIFEST}
    assert verify(cloud) == f"the live set is intact: run old of {OLD}, 6 files\n"
    (result,) = tmp_path.glob("rollback-*.json")
    assert json.loads(result.read_text())["replaced"] == {"version": f"{NEW}-new", "run_id": "new"}

    code, output = rollback(cloud, to=OLD, runs_dir=str(tmp_path))
    assert (code, "changed=0" in output, "is already live; nothing was changed" in output) == (0, True, True), output
    assert etags(s3) == after

    # The example of the role uses this day.
    cloud.account.command("ansible-playbook", "roles/rollback/examples/minimal.yml", "-e", f"runs_dir={tmp_path}")
    assert verify(cloud) == f"the live set is intact: run new of {NEW}, 6 files\n"


def test_check_mode_changes_nothing(cloud: Cloud, s3: Any, tmp_path: Path) -> None:
    before = etags(s3)
    answer = cloud.account.command(
        "ansible-playbook", "playbooks/rollback.yml", "--check", "-e", f"to={OLD}", "-e", f"runs_dir={tmp_path}"
    )

    assert "changed=0" in answer.stdout
    assert etags(s3) == before


def _denied(client: Any, operation: str, **arguments: Any) -> bool:
    try:
        getattr(client, operation)(Bucket=DATA_BUCKET, **arguments)
    except ClientError as error:
        return bool(error.response["Error"]["Code"] == "AccessDenied")
    return False


def test_rollback_role_may_write_only_sets_and_manifest(cloud: Cloud, s3: Any) -> None:
    before = etags(s3)
    controller = cloud.account.client("s3", control_node=True)
    assert _denied(controller, "put_object", Key=s3_keys.LIVE_MANIFEST, Body=b"")
    assert _denied(controller, "put_object", Key=s3_keys.versioned("v", "f"), Body=b"")

    session = cloud.account.client("sts", control_node=True).assume_role(RoleArn=ROLE, RoleSessionName="test")
    credentials = session["Credentials"]
    role = boto3.client(
        "s3",
        endpoint_url=controller.meta.endpoint_url,
        region_name="us-east-1",
        aws_access_key_id=credentials["AccessKeyId"],
        aws_secret_access_key=credentials["SecretAccessKey"],
        aws_session_token=credentials["SessionToken"],
    )
    assert role.get_object(Bucket=DATA_BUCKET, Key=s3_keys.LIVE_MANIFEST)["ETag"] == before[s3_keys.LIVE_MANIFEST]
    for key in (s3_keys.archive(OLD, s3_keys.META), s3_keys.HEALTH, "arcticdb/x", "runs/x", f"{s3_keys.WEIGHTS}/x"):
        assert _denied(role, "put_object", Key=key, Body=b"")
    for key in (s3_keys.LIVE_MANIFEST, s3_keys.archive(OLD, s3_keys.META)):
        assert _denied(role, "delete_object", Key=key)
    assert etags(s3) == before
