"""The role's filter, modules and action."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import boto3
import pytest
import yaml
from ansible.errors import AnsibleFilterError
from botocore.exceptions import ClientError
from botocore.stub import Stubber
from local_aws import substitutions

from tests.support.account import ROOT

ROLE = ROOT / "roles" / "aws_account"
LOCAL: dict[str, Any] = yaml.safe_load((ROOT / "inventory" / "local" / "account.yml").read_text())
POLICIES = sorted((ROOT / "files" / "iam").glob("*.json"))
TAGS = {"project": "spot-train"}
MADE = {"made_by": "aws_setup"}
RULE = {"id": "r", "prefix": "runs/", "days": 14}


def load(name: str) -> ModuleType:
    """A plugin of the collection as a module."""
    return importlib.import_module(f"ansible_collections.spot_train.core.plugins.{name}")


fill_policy = load("filter.fill_policy").fill_policy


@pytest.mark.parametrize("policy", POLICIES, ids=lambda path: path.stem)
@pytest.mark.parametrize("prefixes", [["a/"], ["a/", "b/", "c/"], []], ids=len)
def test_policies_are_filled_in_as_by_the_embedded_aws(policy: Path, prefixes: list[str]) -> None:
    document = json.loads(policy.read_text())
    values = {**LOCAL["substitutions"], "artefact_prefixes": prefixes}
    assert fill_policy(document, values) == substitutions.fill(document, values)


def test_iam_variables_stay() -> None:
    document = {"Resource": ["arn:aws:s3:::${bucket}/${aws:username}/*"]}
    assert fill_policy(document, {"bucket": "b"}) == {"Resource": ["arn:aws:s3:::b/${aws:username}/*"]}


@pytest.mark.parametrize(
    ("document", "says"),
    [
        ({"Resource": "${unknown}"}, r"\$\{unknown\}: no value for this placeholder \(known: bucket, prefixes\)"),
        ({"Resource": "${bucket}/${prefixes}"}, r"\$\{prefixes\}: expected one text"),
    ],
)
def test_placeholder_without_value_is_an_error(document: Any, says: str) -> None:
    with pytest.raises(AnsibleFilterError, match=says):
        fill_policy(document, {"bucket": "b", "prefixes": ["a/"]})


def test_role_has_a_value_for_every_placeholder() -> None:
    values = yaml.safe_load((ROLE / "vars" / "main.yml").read_text())["__aws_account_substitutions"]
    assert set(LOCAL["substitutions"]) <= set(values)


def test_set_up_creates_the_names_that_a_run_uses() -> None:
    defaults = {
        **yaml.safe_load((ROOT / "roles" / "spot_instance" / "defaults" / "main.yml").read_text()),
        **yaml.safe_load((ROOT / "roles" / "rollback" / "defaults" / "main.yml").read_text()),
    }
    text = (ROLE / "vars" / "main.yml").read_text().replace("{{ aws_account_project }}", "spot-train")
    made = yaml.safe_load(text)
    roles = {role["name"]: role for role in made["__aws_account_roles"]}
    assert defaults["spot_instance_security_group"] == made["__aws_account_group"]
    assert {defaults["spot_instance_expiry_role"], defaults["rollback_role"]} <= set(roles)
    profiles = {defaults["spot_instance_profile"], defaults["spot_instance_preflight_profile"]}
    assert profiles == {name for name, role in roles.items() if role.get("profile")}
    assert defaults["spot_instance_subnet_filters"] == {"tag:project": made["__aws_account_tags"]["project"]}


@pytest.mark.parametrize(("code", "status"), [("403", 403), ("301", 301)])
def test_bucket_of_another_account_is_one_clear_line(code: str, status: int) -> None:
    module = load("modules.account_bucket_info")
    s3 = client("s3")
    with Stubber(s3) as stub, pytest.raises(module.NotOursError) as caught:
        stub.add_client_error("head_bucket", code, http_status_code=status)
        module.look(s3, "taken")
    assert str(caught.value).startswith(
        f"bucket taken exists and you have no access to it ({code}): it belongs to another"
    )
    assert "\n" not in str(caught.value)


def test_bucket_with_old_versions_is_not_empty() -> None:
    module = load("modules.account_bucket_info")
    s3 = client("s3")
    with Stubber(s3) as stub:
        stub.add_response("head_bucket", {"BucketRegion": "eu-west-1"})
        stub.add_client_error("get_public_access_block", "NoSuchPublicAccessBlockConfiguration")
        stub.add_client_error("get_bucket_encryption", "ServerSideEncryptionConfigurationNotFoundError")
        stub.add_client_error("get_bucket_tagging", "NoSuchTagSet")
        stub.add_response("get_bucket_versioning", {"Status": "Suspended"})
        stub.add_client_error("get_bucket_lifecycle_configuration", "NoSuchLifecycleConfiguration")
        stub.add_response("list_object_versions", {"DeleteMarkers": [{"Key": "gone", "VersionId": "1"}]})
        stub.add_response("list_object_versions", {}, {"Bucket": "old", "Prefix": "runs/", "MaxKeys": 1})
        stub.add_response("list_multipart_uploads", {"Uploads": [{"Key": "runs/a"}]})
        assert module.look(s3, "old", ["runs/"]) == {
            "exists": True, "region": "eu-west-1", "tags": {}, "encryption": None, "key": None,
            "public_access_blocked": False, "versioning": "Suspended", "rules": [], "empty": False, "holds": ["runs/"],
        }  # fmt: skip


@pytest.mark.parametrize(
    ("key", "reported"),
    [
        (None, None),
        ("alias/aws/s3", None),
        ("arn:aws:kms:us-east-1:123456789012:alias/aws/s3", None),
        ("arn:aws:kms:us-east-1:123456789012:key/k", "arn:aws:kms:us-east-1:123456789012:key/k"),
    ],
)
def test_customer_managed_key_is_recognised(key: str | None, reported: str | None) -> None:
    module = load("modules.account_bucket_info")
    s3 = client("s3")
    default = {"SSEAlgorithm": "aws:kms", **({"KMSMasterKeyID": key} if key else {})}
    rules = {"Rules": [{"ApplyServerSideEncryptionByDefault": default}]}
    with Stubber(s3) as stub:
        stub.add_response("head_bucket", {})
        stub.add_client_error("get_public_access_block", "NoSuchPublicAccessBlockConfiguration")
        stub.add_response("get_bucket_encryption", {"ServerSideEncryptionConfiguration": rules})
        stub.add_client_error("get_bucket_tagging", "NoSuchTagSet")
        stub.add_response("get_bucket_versioning", {})
        stub.add_client_error("get_bucket_lifecycle_configuration", "NoSuchLifecycleConfiguration")
        stub.add_response("list_object_versions", {})
        stub.add_response("list_multipart_uploads", {})
        found = module.look(s3, "b")
    assert (found["encryption"], found["key"], found["empty"]) == ("aws:kms", reported, True)


def test_bucket_is_emptied_of_versions_markers_and_uploads() -> None:
    module = load("modules.account_bucket_empty")
    s3 = client("s3")
    first = {"IsTruncated": True, "NextKeyMarker": "a", "NextVersionIdMarker": "null",
             "Versions": [{"Key": "a", "VersionId": "null"}]}  # fmt: skip
    second = {"Versions": [{"Key": "b", "VersionId": "1"}], "DeleteMarkers": [{"Key": "b", "VersionId": "null"}]}
    upload = {"Key": "u", "UploadId": "2"}
    with Stubber(s3) as stub:
        stub.add_response("list_multipart_uploads", {"Uploads": [upload]}, {"Bucket": "old"})
        stub.add_response("abort_multipart_upload", {}, {"Bucket": "old", **upload})
        stub.add_response("list_object_versions", first, {"Bucket": "old"})
        stub.add_response("delete_objects", {}, deletion([("a", "null")]))
        stub.add_response(
            "list_object_versions", second, {"Bucket": "old", "KeyMarker": "a", "VersionIdMarker": "null"}
        )
        stub.add_response("delete_objects", {}, deletion([("b", "1"), ("b", "null")]))
        assert module.empty(s3, "old") == 3
        stub.assert_no_pending_responses()


def test_version_that_s3_keeps_is_an_error() -> None:
    module = load("modules.account_bucket_empty")
    s3 = client("s3")
    kept = {"Key": "a", "VersionId": "1", "Code": "AccessDenied", "Message": "it is locked"}
    with (
        Stubber(s3) as stub,
        pytest.raises(module.KeptError, match=r"1 versions .* a \(version 1\): AccessDenied it is"),
    ):
        stub.add_response("list_multipart_uploads", {})
        stub.add_response("list_object_versions", {"Versions": [{"Key": "a", "VersionId": "1"}]})
        stub.add_response("delete_objects", {"Errors": [kept]})
        module.empty(s3, "old")


def deletion(versions: list[tuple[str, str]]) -> dict[str, Any]:
    """The expected parameters of DeleteObjects."""
    objects = [{"Key": key, "VersionId": version} for key, version in versions]
    return {"Bucket": "old", "Delete": {"Objects": objects, "Quiet": True}}


def test_existing_resources_have_marks() -> None:
    module = load("modules.account_marks_info")
    iam, sns, arn = client("iam"), client("sns"), "arn:aws:sns:us-east-1:123456789012:runs"
    with Stubber(iam) as stub, Stubber(sns) as topics:
        stub.add_client_error("list_role_tags", "NoSuchEntity", http_status_code=404)
        assert module.look(iam, "role", "gone") is None
        stub.add_response("list_role_tags", {"Tags": [{"Key": "project", "Value": "p"}]})
        assert module.look(iam, "role", "r")["tags"] == {"project": "p"}
        topics.add_client_error("list_tags_for_resource", "ResourceNotFound", http_status_code=404)
        assert module.look(sns, "topic", arn) is None
        topics.add_response("list_tags_for_resource", {"Tags": []})
        assert module.look(sns, "topic", arn) == {"kind": "topic", "name": "runs", "label": "topic runs", "tags": {}}
        stub.add_client_error("get_instance_profile", "AccessDenied", http_status_code=403)
        with pytest.raises(ClientError):
            module.look(iam, "profile", "p")


def test_leftovers_exclude_ended_and_other_projects() -> None:
    module = load("modules.account_runs_info")
    ec2, scheduler = client("ec2"), client("scheduler")
    run = "spot-train-20260105T090000Z-0a1b2c"
    requests = [
        {"SpotInstanceRequestId": "sir-1", "State": "open"},
        {"SpotInstanceRequestId": "sir-2", "State": "closed"},
    ]
    names = [run, "spot-train-2-20260105T090000Z-0a1b2c", "spot-train-nightly"]
    with Stubber(ec2) as stub, Stubber(scheduler) as schedules:
        tag = {"Filters": [{"Name": "tag:project", "Values": ["spot-train"]}]}
        stub.add_response("describe_volumes", {"Volumes": [{"VolumeId": "vol-1", "State": "available"}]}, tag)
        stub.add_response("describe_spot_instance_requests", {"SpotInstanceRequests": requests}, tag)
        stub.add_response("describe_launch_templates", {"LaunchTemplates": [{"LaunchTemplateName": run}]}, tag)
        schedules.add_response(
            "list_schedules", {"Schedules": [{"Name": name} for name in names]}, {"NamePrefix": "spot-train-"}
        )
        assert module.left(ec2, scheduler, "spot-train") == [
            "volume vol-1", "spot request sir-1", f"launch template {run}", f"schedule {run}",
        ]  # fmt: skip


def test_existing_bucket_keeps_its_key_and_gets_the_rest() -> None:
    action = load("action.account_bucket")
    there = {"exists": True, "encryption": "aws:kms", "public_access_blocked": False, "tags": {"team": "a"},
             "versioning": "Enabled", "rules": [{"ID": "other", "Status": "Enabled"}]}  # fmt: skip
    wanted = {"tags": TAGS, "made_tags": MADE, "versioned": None, "rules": [RULE]}
    before = action.settings(there, wanted)
    assert before == {"encryption": "aws:kms", "public_access_blocked": False, "tags": {"project": None},
                      "rules": {"r": None}}  # fmt: skip
    assert action.target(before, wanted) == {
        "encryption": "aws:kms", "public_access_blocked": True, "tags": TAGS,
        "rules": {"r": "delete runs/ after 14 days"},
    }  # fmt: skip
    assert action.settings(there, {**wanted, "versioned": False})["versioned"] is True


def test_only_a_created_bucket_gets_the_mark() -> None:
    action = load("action.account_bucket")
    wanted = {"tags": TAGS, "made_tags": MADE, "versioned": None, "rules": [RULE]}
    assert action.target(action.settings({"exists": False}, wanted), wanted)["tags"] == {**TAGS, **MADE}


@pytest.mark.parametrize(
    ("rule", "equal"),
    [
        ({"Status": "Enabled", "Filter": {"Prefix": "runs/"}}, True),
        ({"Status": "Enabled", "Prefix": "runs/"}, True),
        ({"Status": "Disabled", "Filter": {"Prefix": "runs/"}}, False),
        ({"Status": "Enabled", "Filter": {"Prefix": "run/"}}, False),
        ({"Status": "Enabled", "Filter": {"Prefix": "runs/"}, "Expiration": {"Days": 15}}, False),
        ({"Status": "Enabled", "Filter": {"Prefix": "runs/"}, "AbortIncompleteMultipartUpload": {}}, False),
        ({"Status": "Enabled", "Filter": {"Prefix": "runs/"}, "NoncurrentVersionExpiration": {}}, False),
    ],
)
def test_rule_counts_only_if_it_does_what_is_wanted(rule: dict[str, Any], equal: bool) -> None:
    action = load("action.account_bucket")
    days = {"Expiration": {"Days": 14}, "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 14},
            "NoncurrentVersionExpiration": {"NoncurrentDays": 14}}  # fmt: skip
    there = {"exists": True, "encryption": "AES256", "public_access_blocked": True, "tags": TAGS, "versioning": None,
             "rules": [{"ID": "r", **days, **rule}]}  # fmt: skip
    wanted = {"tags": TAGS, "made_tags": MADE, "versioned": False, "rules": [RULE]}
    before = action.settings(there, wanted)
    assert (before == action.target(before, wanted)) is equal


@pytest.mark.parametrize(
    ("answers", "why"),
    [
        (["SUCCEEDED"], ""),
        (["IN_PROGRESS", "SUCCEEDED"], ""),
        (["FAILED"], "a spot instance lives"),
        (["IN_PROGRESS"], "AWS did not delete it within 0 s"),
    ],
)
def test_service_linked_role_in_use_stays(answers: list[str], why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module = load("modules.spot_service_role")
    monkeypatch.setattr(module, "LOOK_SECONDS", 0)
    iam = client("iam")
    with Stubber(iam) as stub:
        stub.add_response("delete_service_linked_role", {"DeletionTaskId": "task"}, {"RoleName": module.ROLE})
        for answer in answers:
            reason = {"Reason": {"Reason": "a spot instance lives"}} if answer == "FAILED" else {}
            stub.add_response("get_service_linked_role_deletion_status", {"Status": answer, **reason})
        if not why:
            module.remove(iam, 60.0)
        else:
            with pytest.raises(module.KeptError, match=why):
                module.remove(iam, 0.0)
        stub.assert_no_pending_responses()


def client(service: str) -> Any:
    """A client without a connection."""
    return boto3.client(service, region_name="us-east-1", aws_access_key_id="id", aws_secret_access_key="secret")
