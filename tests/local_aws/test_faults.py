"""What can be broken on purpose: each kind of fault, and each mistake in asking for one."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

Faults = Callable[..., dict[str, Any]]
Launch = Callable[..., str]
WaitUntil = Callable[[Callable[[], object], str], None]


def refusal(call: Callable[[], Any]) -> tuple[str, int]:
    with pytest.raises(ClientError) as caught:
        call()
    return caught.value.response["Error"]["Code"], caught.value.response["ResponseMetadata"]["HTTPStatusCode"]


def test_latency_makes_only_the_named_requests_wait(server: Any, faults: Faults) -> None:
    client = server.client("ssm")
    faults("latency", "milliseconds=700", "service=ssm", "action=DescribeInstanceInformation", "count=1")
    started = time.monotonic()
    client.describe_instance_information()
    assert time.monotonic() - started >= 0.7
    client.describe_instance_information()
    client.describe_sessions(State="Active")
    (fault,) = server.status()["faults"]
    assert (fault["kind"], fault["hits"], fault["count"]) == ("latency", 1, 0)


@pytest.mark.parametrize(
    ("service", "call", "refused"),
    [
        ("ec2", lambda c: c.describe_instances(), ("RequestLimitExceeded", 503)),
        ("s3", lambda c: c.list_buckets(), ("SlowDown", 503)),
        ("ssm", lambda c: c.describe_instance_information(), ("ThrottlingException", 400)),
        ("iam", lambda c: c.list_users(), ("Throttling", 400)),
    ],
)
def test_throttling_is_the_services_own_and_ends_after_its_count(
    server: Any, faults: Faults, service: str, call: Callable[[Any], Any], refused: tuple[str, int]
) -> None:
    faults("throttle", f"service={service}", "count=2")
    client = server.client(service)
    assert [refusal(lambda: call(client)) for _ in range(2)] == [refused] * 2
    call(client)


def test_a_throttled_client_that_tries_again_succeeds(server: Any, faults: Faults) -> None:
    faults("throttle", "service=ec2", "action=DescribeInstances", "count=2")
    client = server.client("ec2", retries={"total_max_attempts": 4, "mode": "standard"})
    assert client.describe_instances()["ResponseMetadata"]["RetryAttempts"] == 2


def test_an_s3_error_is_the_one_asked_for_and_writes_nothing(server: Any, faults: Faults, bucket: str) -> None:
    s3 = server.client("s3")
    faults("error", "service=s3", "action=PutObject", "status=503", "code=ServiceUnavailable", "count=1")
    assert refusal(lambda: s3.put_object(Bucket=bucket, Key="k", Body=bytes(1 << 20))) == ("ServiceUnavailable", 503)
    assert "Contents" not in s3.list_objects_v2(Bucket=bucket)
    line = server.ledger("--bucket", bucket, "--action", "PutObject")[-1]
    assert (line["allowed"], line["status"], line["error"]) == (False, 503, "ServiceUnavailable")
    s3.put_object(Bucket=bucket, Key="k", Body=b"v")


def test_capacity_lacks_for_the_named_type_zone_and_market_only(server: Any, faults: Faults, launch: Launch) -> None:
    faults("capacity", "type=r5.large", "az=us-east-1a", "market=spot")
    spot: dict[str, Any] = {"InstanceMarketOptions": {"MarketType": "spot"}}

    def here(zone: str = "us-east-1a", **options: Any) -> dict[str, Any]:
        return {"InstanceType": "r5.large", "Placement": {"AvailabilityZone": zone}, **options}

    with pytest.raises(ClientError, match=r"sufficient r5\.large capacity in the Availability Zone.*us-east-1a") as no:
        launch(**here(**spot))
    assert no.value.response["Error"]["Code"] == "InsufficientInstanceCapacity"
    others = [launch(**here()), launch(**here("us-east-1b", **spot)), launch(**here(**spot, InstanceType="r5a.large"))]
    assert len({*others}) == 3
    subnets = server.client("ec2").describe_subnets(Filters=[{"Name": "availability-zone", "Values": ["us-east-1a"]}])
    subnet = subnets["Subnets"][0]["SubnetId"]
    with pytest.raises(ClientError, match="InsufficientInstanceCapacity"):
        launch(InstanceType="r5.large", SubnetId=subnet, **spot)


def test_a_lack_of_capacity_has_the_code_asked_for_and_leaves_nothing(
    server: Any, faults: Faults, launch: Launch
) -> None:
    def left() -> tuple[set[str], set[str]]:
        status = server.status()
        return {each["id"] for each in status["instances"]}, {each["id"] for each in status["spot_requests"]}

    before = left()
    faults("capacity", "code=MaxSpotInstanceCountExceeded", "count=1")
    assert refusal(launch)[0] == "MaxSpotInstanceCountExceeded"
    assert left() == before
    launch()


def test_an_instance_that_never_registers_runs_and_can_be_terminated(
    server: Any, faults: Faults, launch: Launch
) -> None:
    faults("never_online", "count=1")
    silent = launch()
    server.await_state(silent, "running")
    other = launch()
    server.await_online(other)
    assert silent not in server.online()
    assert refusal(lambda: server.client("ssm").start_session(Target=silent))[0] == "TargetNotConnected"
    server.client("ec2").terminate_instances(InstanceIds=[silent])
    server.await_state(silent, "terminated")


def test_an_instance_with_a_boot_delay_registers_later_than_another(
    server: Any, faults: Faults, launch: Launch
) -> None:
    faults("boot_delay", "seconds=3", "count=1")
    late = launch()
    server.await_state(late, "running")
    started = time.monotonic()
    assert late not in server.online()
    server.await_online(late)
    assert time.monotonic() - started > 1


def test_an_instance_that_fails_to_boot_ends_terminated_and_says_why(
    server: Any, faults: Faults, launch: Launch, find_processes: Callable[[str], list[int]]
) -> None:
    faults("boot_failure", "count=1")
    instance = launch(InstanceMarketOptions={"MarketType": "spot"})
    server.await_state(instance, "terminated")
    assert server.describe(instance)["StateReason"]["Code"] == "Server.InternalError"
    (request,) = [each for each in server.status()["spot_requests"] if each["instance"] == instance]
    assert (request["state"], request["status"]) == ("closed", "instance-terminated-by-service")
    assert find_processes(instance) == []


def test_an_interruption_gives_notice_and_then_takes_the_instance(
    server: Any, faults: Faults, launch: Launch, wait_until: WaitUntil
) -> None:
    script = """
service=$AWS_EC2_METADATA_SERVICE_ENDPOINT
token=$(curl -sf -X PUT "$service/latest/api/token" -H 'X-aws-ec2-metadata-token-ttl-seconds: 600')
while ! notice=$(curl -sf -H "X-aws-ec2-metadata-token: $token" "$service/latest/meta-data/spot/instance-action"); do
  echo no notice yet; sleep 0.1
done
echo "notice: $notice"
"""
    instance = launch(script, InstanceMarketOptions={"MarketType": "spot"})
    wait_until(lambda: "no notice yet" in server.console(instance), "the instance does not look for notices")
    assert faults("interrupt", f"instance={instance}", "seconds=3") == {"interrupted": instance}
    wait_until(lambda: "notice: {" in server.console(instance), "the notice does not arrive")
    assert '"action"' in server.console(instance)
    server.await_state(instance, "terminated")
    assert server.describe(instance)["StateReason"]["Code"] == "Server.SpotInstanceTermination"
    (request,) = [each for each in server.status()["spot_requests"] if each["instance"] == instance]
    assert request["status"] == "instance-terminated-no-capacity"


def test_only_a_spot_instance_that_runs_is_interrupted(server: Any, launch: Launch) -> None:
    for instance in ("i-00000000000000000", launch()):
        done = server.cli("fault", "interrupt", f"instance={instance}")
        assert (done.returncode, f"no running spot instance {instance}" in done.stderr) == (1, True)


def test_a_cut_drops_the_sockets_of_an_instances_sessions(server: Any, faults: Faults, launch: Launch) -> None:
    from websockets.exceptions import ConnectionClosed
    from websockets.sync.client import connect

    instance = launch()
    server.await_online(instance)
    assert faults("cut", f"instance={instance}") == {"cut": 0}
    answer = server.client("ssm").start_session(Target=instance)
    with connect(answer["StreamUrl"], proxy=None) as socket:
        opening = {"MessageSchemaVersion": "1.0", "RequestId": "r", "TokenValue": answer["TokenValue"]}
        socket.send(json.dumps({**opening, "ClientId": "c", "ClientVersion": "1.2.0.0"}))
        socket.recv(timeout=30)
        assert faults("cut", f"instance={instance}") == {"cut": 1}
        with pytest.raises(ConnectionClosed):
            while True:
                socket.recv(timeout=30)
    assert answer["SessionId"] in [each["id"] for each in server.status()["sessions"]]


def test_a_fault_can_be_cleared_by_its_id_and_all_at_once(server: Any, faults: Faults) -> None:
    ids = [faults("throttle", "service=ses")["id"] for _ in range(3)]
    assert faults("clear", f"id={ids[1]}") == {"cleared": 1}
    assert [each["id"] for each in server.status()["faults"]] == [ids[0], ids[2]]
    assert faults("clear", "id=fault-0") == {"cleared": 0}
    assert faults("clear") == {"cleared": 2}
    assert server.client("ses").list_identities()["Identities"] == []


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["earthquake"], "unknown fault 'earthquake'"),
        (["latency", "seconds=3"], "fault latency takes no 'seconds'"),
        (["latency", "milliseconds=long"], "milliseconds='long' is no float"),
        (["latency", "milliseconds=-1"], "milliseconds='-1' must be a number of 0 or more"),
        (["latency", "milliseconds=nan"], "milliseconds='nan' must be a number of 0 or more"),
        (["throttle", "count=0"], "count=0 would never happen"),
        (["throttle", "count"], "'count' is no NAME=VALUE"),
        (["error", "status=200"], "status=200 is no HTTP error"),
        (["cut"], "fault cut needs instance=<id>"),
        (["interrupt", "instance=i-1", "seconds=soon"], "seconds='soon' is no float"),
    ],
)
def test_a_mistake_in_a_fault_is_one_clear_line(server: Any, arguments: list[str], says: str) -> None:
    done = server.cli("fault", *arguments)
    assert (done.returncode, done.stdout) == (1, "")
    assert says in done.stderr and len(done.stderr.splitlines()) == 1
    assert server.status()["faults"] == []
