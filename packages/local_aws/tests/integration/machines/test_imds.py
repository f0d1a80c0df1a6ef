"""The metadata service, with plain HTTP, curl and botocore."""

from __future__ import annotations

import dataclasses
import datetime as dt
import http.client
import json
import shutil
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from botocore.utils import InstanceMetadataFetcher, InstanceMetadataRegionFetcher

from local_aws.machines.imds import Credentials, InstanceFacts, MetadataServer, Notices

WHEN = dt.datetime(2024, 1, 6, 12, 0, tzinfo=dt.UTC)
FACTS = InstanceFacts(
    instance_id="i-0123456789abcdef0",
    ami_id="ami-12345678",
    instance_type="c5.large",
    life_cycle="spot",
    private_ip="10.0.0.7",
    hostname="ip-10-0-0-7.ec2.internal",
    availability_zone="us-east-1b",
    region="us-east-1",
    account_id="123456789012",
    launched_at=WHEN,
    role="trainer",
    profile_arn="arn:aws:iam::123456789012:instance-profile/trainer",
    profile_id="AIPA1234",
    user_data=b"#!/bin/sh\n\xff",
)


class Instance:
    """A provider with answers that a test sets."""

    def __init__(self) -> None:
        self.current = FACTS
        self.keys: Credentials | None = Credentials(
            "ASIA1", "secret", "token", WHEN, dt.datetime.now(dt.UTC) + dt.timedelta(hours=6)
        )
        self.announced = Notices()
        self.asked_for_keys = 0

    def facts(self) -> InstanceFacts:
        return self.current

    def credentials(self) -> Credentials | None:
        self.asked_for_keys += 1
        return self.keys

    def notices(self) -> Notices:
        return self.announced


@pytest.fixture
def instance() -> Instance:
    return Instance()


@pytest.fixture
def server(instance: Instance) -> Iterator[MetadataServer]:
    made = MetadataServer(instance)
    yield made
    made.close()


def ask(server: MetadataServer, path: str, method: str = "GET", **headers: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    connection.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
    response = connection.getresponse()
    body = response.read().decode(errors="replace")
    connection.close()
    return response.status, body


def get(server: MetadataServer, path: str) -> tuple[int, str]:
    return ask(server, path, X_aws_ec2_metadata_token=server.issue_token(60))


def test_metadata_needs_a_token(server: MetadataServer) -> None:
    assert ask(server, "/latest/meta-data/instance-id")[0] == 401
    assert ask(server, "/latest/meta-data/instance-id", X_aws_ec2_metadata_token="made-up")[0] == 401
    status, token = ask(server, "/latest/api/token", "PUT", X_aws_ec2_metadata_token_ttl_seconds="60")
    assert status == 200
    assert ask(server, "/latest/meta-data/instance-id", X_aws_ec2_metadata_token=token) == (200, FACTS.instance_id)


def test_imdsv1_works_where_tokens_are_optional(server: MetadataServer, instance: Instance) -> None:
    instance.current = dataclasses.replace(FACTS, http_tokens="optional")
    assert ask(server, "/latest/meta-data/instance-id") == (200, FACTS.instance_id)
    assert ask(server, "/latest/meta-data/instance-id", X_aws_ec2_metadata_token="made-up")[0] == 401


@pytest.mark.parametrize("ttl", ["", "0", "-1", "21601", "soon"])
def test_token_ttl_is_validated(server: MetadataServer, ttl: str) -> None:
    assert ask(server, "/latest/api/token", "PUT", X_aws_ec2_metadata_token_ttl_seconds=ttl)[0] == 400


def test_forwarded_request_gets_no_token(server: MetadataServer) -> None:
    headers = {"X_aws_ec2_metadata_token_ttl_seconds": "60", "X_Forwarded_For": "10.0.0.1"}
    assert ask(server, "/latest/api/token", "PUT", **headers)[0] == 403


def test_disabled_endpoint_answers_403(server: MetadataServer, instance: Instance) -> None:
    instance.current = dataclasses.replace(FACTS, http_endpoint="disabled", http_tokens="optional")
    assert ask(server, "/latest/meta-data/instance-id")[0] == 403
    assert ask(server, "/latest/api/token", "PUT", X_aws_ec2_metadata_token_ttl_seconds="60")[0] == 403


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("ami-id", "ami-12345678"),
        ("instance-life-cycle", "spot"),
        ("instance-type", "c5.large"),
        ("local-ipv4", "10.0.0.7"),
        ("hostname", "ip-10-0-0-7.ec2.internal"),
        ("local-hostname", "ip-10-0-0-7.ec2.internal"),
        ("placement/availability-zone", "us-east-1b"),
        ("placement/region", "us-east-1"),
        ("placement/", "availability-zone\nregion"),
        ("iam/", "info\nsecurity-credentials/"),
        ("iam/security-credentials/", "trainer"),
        ("iam/security-credentials", "trainer"),
    ],
)
def test_metadata_describes_the_instance(server: MetadataServer, path: str, answer: str) -> None:
    assert get(server, f"/latest/meta-data/{path}") == (200, answer)
    assert get(server, f"/2021-07-15/meta-data/{path}") == (200, answer)


@pytest.mark.parametrize(
    "path",
    [
        "/latest/meta-data/nothing",
        "/latest/meta-data/ami-id/x",
        "/latest/meta-data/tags/instance",
        "/else",
        "/latest/meta-data/public-ipv4",
    ],
)
def test_unknown_paths_are_not_found(server: MetadataServer, path: str) -> None:
    assert get(server, path)[0] == 404


def test_index_lists_every_path_that_answers(server: MetadataServer, instance: Instance) -> None:
    instance.announced = Notices(interruption_at=WHEN, rebalance_at=WHEN)

    def walk(path: str) -> list[str]:
        status, body = get(server, path)
        assert status == 200, path
        if not path.endswith("/"):
            return [path]
        found = []
        for name in body.splitlines():
            found += walk(path + name)
        return found

    leaves = walk("/latest/")
    assert "/latest/meta-data/spot/termination-time" in leaves
    assert "/latest/dynamic/instance-identity/document" in leaves
    assert "/latest/meta-data/iam/security-credentials/trainer" in leaves
    assert len(leaves) > 15


def test_role_keys_are_created_on_demand(server: MetadataServer, instance: Instance) -> None:
    get(server, "/latest/meta-data/")
    get(server, "/latest/meta-data/iam/security-credentials/")
    assert instance.asked_for_keys == 0
    document = json.loads(get(server, "/latest/meta-data/iam/security-credentials/trainer")[1])
    assert instance.asked_for_keys == 1
    assert document["Code"] == "Success" and document["Type"] == "AWS-HMAC" and document["AccessKeyId"] == "ASIA1"
    assert dt.datetime.fromisoformat(document["Expiration"]) > dt.datetime.now(dt.UTC)
    assert get(server, "/latest/meta-data/iam/security-credentials/other")[0] == 404


def test_instance_without_a_profile_has_no_keys(server: MetadataServer, instance: Instance) -> None:
    instance.current = dataclasses.replace(FACTS, role=None)
    assert get(server, "/latest/meta-data/iam/security-credentials/")[0] == 404
    assert "iam" not in get(server, "/latest/meta-data/")[1]


def test_spot_notice_appears_when_it_is_given(server: MetadataServer, instance: Instance) -> None:
    paths = ("spot/instance-action", "spot/termination-time", "events/recommendations/rebalance")
    assert [get(server, f"/latest/meta-data/{path}")[0] for path in paths] == [404, 404, 404]
    instance.announced = Notices("terminate", WHEN, WHEN)
    answers = [get(server, f"/latest/meta-data/{path}")[1] for path in paths]
    assert json.loads(answers[0]) == {"action": "terminate", "time": "2024-01-06T12:00:00Z"}
    assert answers[1] == "2024-01-06T12:00:00Z"
    assert json.loads(answers[2]) == {"noticeTime": "2024-01-06T12:00:00Z"}
    instance.announced = Notices("stop", WHEN)
    assert get(server, "/latest/meta-data/spot/termination-time")[0] == 404


def test_user_data_is_returned_byte_for_byte(server: MetadataServer, instance: Instance) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    connection.request("GET", "/latest/user-data", headers={"X-aws-ec2-metadata-token": server.issue_token(60)})
    assert connection.getresponse().read() == FACTS.user_data
    connection.close()
    instance.current = dataclasses.replace(FACTS, user_data=None)
    assert get(server, "/latest/user-data")[0] == 404


def test_instance_tags_need_to_be_enabled(server: MetadataServer, instance: Instance) -> None:
    assert get(server, "/latest/meta-data/tags/instance/")[0] == 404
    instance.current = dataclasses.replace(FACTS, tags={"Name": "train", "run_id": "r1"})
    assert get(server, "/latest/meta-data/tags/instance/") == (200, "Name\nrun_id")
    assert get(server, "/latest/meta-data/tags/instance/run_id") == (200, "r1")


def test_identity_document_is_json(server: MetadataServer) -> None:
    document = json.loads(get(server, "/latest/dynamic/instance-identity/document")[1])
    assert document["instanceId"] == FACTS.instance_id and document["region"] == "us-east-1"


def test_botocore_gets_role_keys_and_region_from_it(server: MetadataServer) -> None:
    config = {"ec2_metadata_service_endpoint": server.endpoint}
    keys = InstanceMetadataFetcher(timeout=10, num_attempts=1, config=config).retrieve_iam_role_credentials()
    assert (keys["access_key"], keys["token"], keys["role_name"]) == ("ASIA1", "token", "trainer")
    fetcher = InstanceMetadataRegionFetcher(timeout=10, num_attempts=1, config=config)
    assert fetcher.retrieve_region() == "us-east-1"


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl")
def test_curl_gets_a_token_and_an_answer(server: MetadataServer) -> None:
    script = (
        'token=$(curl -fsS -X PUT "$1/latest/api/token" -H "X-aws-ec2-metadata-token-ttl-seconds: 300") && '
        'curl -fsS -H "X-aws-ec2-metadata-token: $token" "$1/latest/meta-data/instance-id"'
    )
    done = subprocess.run(["sh", "-c", script, "sh", server.endpoint], capture_output=True, text=True, check=True)
    assert done.stdout == FACTS.instance_id


def test_concurrent_requests_are_served(server: MetadataServer) -> None:
    with ThreadPoolExecutor(16) as pool:
        answers = set(pool.map(lambda _: get(server, "/latest/meta-data/instance-id"), range(64)))
    assert answers == {(200, FACTS.instance_id)}


def test_after_close_the_port_is_free(instance: Instance) -> None:
    first = MetadataServer(instance)
    port = first.port
    first.close()
    second = MetadataServer(instance, port)
    assert get(second, "/latest/meta-data/ami-id")[0] == 200
    second.close()
