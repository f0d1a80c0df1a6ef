"""The effect of each kind of fault."""

from __future__ import annotations

import contextlib
import functools
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from local_aws.sessions.frames import Frame, MessageType, PayloadType

Faults = Callable[..., dict[str, Any]]
Launch = Callable[..., str]
WaitUntil = Callable[[Callable[[], object], str], None]


def refusal(call: Callable[[], Any]) -> tuple[str, int]:
    with pytest.raises(ClientError) as caught:
        call()
    return caught.value.response["Error"]["Code"], caught.value.response["ResponseMetadata"]["HTTPStatusCode"]


@contextlib.contextmanager
def open_channel(answer: dict[str, str]) -> Iterator[ClientConnection]:
    """An open data channel."""
    with connect(answer["StreamUrl"], proxy=None) as socket:
        opening = {"MessageSchemaVersion": "1.0", "RequestId": "r", "TokenValue": answer["TokenValue"]}
        socket.send(json.dumps({**opening, "ClientId": "c", "ClientVersion": "1.2.0.0"}))
        yield socket


def send_input(socket: ClientConnection, sequence: int, payload: bytes, kind: int = PayloadType.OUTPUT) -> None:
    socket.send(Frame(MessageType.INPUT, payload, payload_type=kind, sequence=sequence).pack())


def shake_hands(socket: ClientConnection) -> None:
    """Answer the handshake and wait for the first output of the shell."""
    send_input(socket, 0, b'{"ClientVersion": "1.2.0.0", "Errors": null}', PayloadType.HANDSHAKE_RESPONSE)
    while True:
        frame = Frame.unpack(socket.recv(timeout=30, decode=False))
        if frame.message_type is MessageType.OUTPUT and frame.payload_type == PayloadType.OUTPUT:
            return


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
def test_throttling_error_matches_the_service(
    server: Any, faults: Faults, service: str, call: Callable[[Any], Any], refused: tuple[str, int]
) -> None:
    faults("throttle", f"service={service}", "count=2")
    client = server.client(service)
    assert [refusal(lambda: call(client)) for _ in range(2)] == [refused] * 2
    call(client)


def test_throttled_client_that_tries_again_succeeds(server: Any, faults: Faults) -> None:
    faults("throttle", "service=ec2", "action=DescribeInstances", "count=2")
    client = server.client("ec2", retries={"total_max_attempts": 4, "mode": "standard"})
    assert client.describe_instances()["ResponseMetadata"]["RetryAttempts"] == 2


def test_s3_error_fault_writes_nothing(server: Any, faults: Faults, bucket: str) -> None:
    s3 = server.client("s3")
    faults("error", "service=s3", "action=PutObject", "status=503", "code=ServiceUnavailable", "count=1")
    assert refusal(lambda: s3.put_object(Bucket=bucket, Key="k", Body=bytes(1 << 20))) == ("ServiceUnavailable", 503)
    assert "Contents" not in s3.list_objects_v2(Bucket=bucket)
    line = server.ledger("--bucket", bucket, "--action", "PutObject")[-1]
    assert (line["allowed"], line["status"], line["error"]) == (False, 503, "ServiceUnavailable")
    s3.put_object(Bucket=bucket, Key="k", Body=b"v")


def test_late_error_hides_a_request_that_took_effect(server: Any, faults: Faults, bucket: str) -> None:
    s3 = server.client("s3")
    # Larger and smaller than a body that is read at once.
    for body in (bytes(1 << 20), b"small"):
        faults("error", "service=s3", "action=PutObject", "status=503", "code=SlowDown", "late=true", "count=1")
        assert refusal(functools.partial(s3.put_object, Bucket=bucket, Key="k", Body=body)) == ("SlowDown", 503)
        assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == body
        line = server.ledger("--bucket", bucket, "--action", "PutObject")[-1]
        assert (line["allowed"], line["status"], line["error"]) == (True, 503, "SlowDown")


def test_late_error_replaces_successful_answers_only(server: Any, faults: Faults) -> None:
    faults("error", "code=Lost", "late=true", "count=2")
    assert refusal(lambda: server.client("ssm").get_parameter(Name="/nothing"))[0] == "ParameterNotFound"
    assert refusal(lambda: server.client("ssm").describe_instance_information()) == ("Lost", 500)
    assert refusal(lambda: server.client("iam").list_users()) == ("Lost", 500)
    server.client("iam").list_users()


@pytest.mark.parametrize(
    "fault",
    [
        ["error", "service=ec2", "action=RunInstances", "code=InsufficientInstanceCapacity", "late=true", "count=1"],
        ["capacity", "type=t3.medium", "market=on-demand", "late=true", "count=1"],
    ],
    ids=lambda fault: fault[0],
)
def test_late_capacity_error_leaves_unreported_instance(server: Any, faults: Faults, fault: list[str]) -> None:
    ec2, mark = server.client("ec2"), {"Key": "late", "Value": str(time.monotonic_ns())}
    faults(*fault)
    tags = [{"ResourceType": "instance", "Tags": [mark]}]
    assert refusal(lambda: server.launch(TagSpecifications=tags))[0] == "InsufficientInstanceCapacity"
    (reservation,) = ec2.describe_instances(Filters=[{"Name": "tag:late", "Values": [mark["Value"]]}])["Reservations"]
    (instance,) = reservation["Instances"]
    server.await_state(instance["InstanceId"], "running")
    ec2.terminate_instances(InstanceIds=[instance["InstanceId"]])


def test_no_instance_id_fault_hides_the_instance(server: Any, faults: Faults) -> None:
    ec2, mark = server.client("ec2"), str(time.monotonic_ns())
    faults("no_instance_id", "count=1")
    request = {"ImageId": server.image(), "InstanceType": "t3.medium", "MinCount": 1, "MaxCount": 1}
    tags = [{"ResourceType": "instance", "Tags": [{"Key": "mute", "Value": mark}]}]
    assert ec2.run_instances(**request, TagSpecifications=tags)["Instances"] == []
    (reservation,) = ec2.describe_instances(Filters=[{"Name": "tag:mute", "Values": [mark]}])["Reservations"]
    ec2.terminate_instances(InstanceIds=[reservation["Instances"][0]["InstanceId"]])


def test_only_each_nth_request_is_hit_and_the_first_is(server: Any, faults: Faults) -> None:
    faults("error", "service=ssm", "action=DescribeInstanceInformation", "every=3", "count=2")
    ssm, said = server.client("ssm"), []
    for _ in range(8):
        try:
            ssm.describe_instance_information()
            said.append("ok")
        except ClientError:
            said.append("hit")
    assert said == ["hit", "ok", "ok", "hit", "ok", "ok", "ok", "ok"]


def test_throttling_may_be_every_second_request_only(server: Any, faults: Faults) -> None:
    faults("throttle", "service=ec2", "every=2")
    client = server.client("ec2", retries={"total_max_attempts": 2, "mode": "standard"})
    assert client.describe_instances()["ResponseMetadata"]["RetryAttempts"] == 1
    assert client.describe_instances()["ResponseMetadata"]["RetryAttempts"] == 1


def test_error_with_seconds_expires(server: Any, faults: Faults, wait_until: WaitUntil) -> None:
    s3 = server.client("s3")
    started = time.monotonic()
    faults("error", "service=s3", "status=500", "seconds=6")
    assert refusal(s3.list_buckets) == ("InternalError", 500)

    def answered() -> bool:
        try:
            s3.list_buckets()
        except ClientError:
            return False
        return True

    wait_until(answered, "the fault does not expire")
    assert time.monotonic() - started >= 6
    (fault,) = server.status()["faults"]
    assert fault["count"] == 0 and fault["hits"] >= 1


def test_capacity_fault_matches_type_zone_and_market(server: Any, faults: Faults, launch: Launch) -> None:
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


def test_capacity_fault_uses_requested_code_and_leaves_nothing(server: Any, faults: Faults, launch: Launch) -> None:
    def left() -> tuple[set[str], set[str]]:
        status = server.status()
        return {each["id"] for each in status["instances"]}, {each["id"] for each in status["spot_requests"]}

    before = left()
    faults("capacity", "code=MaxSpotInstanceCountExceeded", "count=1")
    assert refusal(launch)[0] == "MaxSpotInstanceCountExceeded"
    assert left() == before
    launch()


def test_never_online_instance_runs_and_terminates(server: Any, faults: Faults, launch: Launch) -> None:
    faults("never_online", "count=1")
    silent = launch()
    server.await_state(silent, "running")
    other = launch()
    server.await_online(other)
    assert silent not in server.online()
    assert refusal(lambda: server.client("ssm").start_session(Target=silent))[0] == "TargetNotConnected"
    server.client("ec2").terminate_instances(InstanceIds=[silent])
    server.await_state(silent, "terminated")


def test_boot_delay_fault_delays_registration(server: Any, faults: Faults, launch: Launch) -> None:
    faults("boot_delay", "seconds=10", "count=1")
    started = time.monotonic()
    server.await_online(launch())
    assert time.monotonic() - started >= 10


def test_boot_failure_terminates_instance_with_reason(
    server: Any, faults: Faults, launch: Launch, find_processes: Callable[[str], list[int]]
) -> None:
    faults("boot_failure", "count=1")
    instance = launch(InstanceMarketOptions={"MarketType": "spot"})
    server.await_state(instance, "terminated")
    assert server.describe(instance)["StateReason"]["Code"] == "Server.InternalError"
    (request,) = [each for each in server.status()["spot_requests"] if each["instance"] == instance]
    assert (request["state"], request["status"]) == ("closed", "instance-terminated-by-service")
    assert find_processes(instance) == []


def test_interruption_gives_notice_then_reclaims(
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
    wait_until(lambda: "no notice yet" in server.console(instance), "the instance does not poll for notices")
    assert faults("interrupt", f"instance={instance}", "seconds=20") == {"interrupted": instance}
    (request,) = [each for each in server.status()["spot_requests"] if each["instance"] == instance]
    assert (request["state"], request["status"]) == ("active", "marked-for-termination")
    seen: list[str] = []  # the console is deleted with the machine

    def noticed() -> bool:
        seen.append(server.console(instance))
        return "notice: {" in seen[-1]

    wait_until(noticed, "the notice does not arrive")
    assert '"action"' in seen[-1]
    server.await_state(instance, "terminated")
    assert server.describe(instance)["StateReason"]["Code"] == "Server.SpotInstanceTermination"
    (request,) = [each for each in server.status()["spot_requests"] if each["instance"] == instance]
    assert request["status"] == "instance-terminated-no-capacity"


def test_only_running_spot_instances_are_interrupted(server: Any, launch: Launch) -> None:
    for kind, instance in (("interrupt", "i-00000000000000000"), ("interrupt", launch()), ("rebalance", launch())):
        done = server.cli("fault", kind, f"instance={instance}")
        assert (done.returncode, f"no running spot instance {instance}" in done.stderr) == (1, True)


def test_rebalance_recommendation_does_not_interrupt(
    server: Any, faults: Faults, launch: Launch, wait_until: WaitUntil
) -> None:
    script = """
service=$AWS_EC2_METADATA_SERVICE_ENDPOINT
token=$(curl -sf -X PUT "$service/latest/api/token" -H 'X-aws-ec2-metadata-token-ttl-seconds: 600')
ask() { curl -s -o "$2" -w '%{http_code}' -H "X-aws-ec2-metadata-token: $token" "$service/latest/meta-data/$1"; }
echo waiting
until [ "$(ask events/recommendations/rebalance /dev/stdout)" != 404 ] 2>/dev/null && \
  [ "$(ask events/recommendations/rebalance /dev/null)" = 200 ]; do sleep 0.1; done
echo "recommended; action $(ask spot/instance-action /dev/null)"
"""
    instance = launch(script, InstanceMarketOptions={"MarketType": "spot"})
    wait_until(lambda: "waiting" in server.console(instance), "the user data does not run")
    assert faults("rebalance", f"instance={instance}") == {"recommended": instance}
    wait_until(lambda: "recommended; action 404" in server.console(instance), "the recommendation does not arrive")
    assert server.state(instance) == "running"
    (request,) = [each for each in server.status()["spot_requests"] if each["instance"] == instance]
    assert (request["state"], request["status"]) == ("active", "fulfilled")


def test_unreachable_instance_keeps_running_silently(
    server: Any, faults: Faults, launch: Launch, wait_until: WaitUntil
) -> None:
    instance = launch("(while :; do echo tick; sleep 0.2; done) & exit 0")
    server.await_online(instance)
    ssm = server.client("ssm")
    answer = ssm.start_session(Target=instance)
    with open_channel(answer) as socket:
        shake_hands(socket)
        assert faults("unreachable", f"instance={instance}") == {"unreachable": instance}
        while True:  # drain what is in flight
            try:
                socket.recv(timeout=1)
            except TimeoutError:
                break
        send_input(socket, 1, b"echo still here\n")
        with pytest.raises(TimeoutError):
            socket.recv(timeout=2)
        socket.ping().wait(10)  # the socket stays open: it is the service's
        assert refusal(lambda: ssm.start_session(Target=instance))[0] == "TargetNotConnected"
        (shown,) = ssm.describe_instance_information(Filters=[{"Key": "InstanceIds", "Values": [instance]}])[
            "InstanceInformationList"
        ]
        assert shown["PingStatus"] == "ConnectionLost"
        assert server.state(instance) == "running"
        ssm.terminate_session(SessionId=answer["SessionId"])
        with pytest.raises(ConnectionClosed):
            socket.recv(timeout=30)
    ticks = server.console(instance).count("tick")
    wait_until(lambda: server.console(instance).count("tick") > ticks + 2, "the machine does not keep running")


def test_unreachable_instance_can_still_shut_down(server: Any, faults: Faults, launch: Launch) -> None:
    # It waits for the metadata service, which does not use the network.
    script = """
service=$AWS_EC2_METADATA_SERVICE_ENDPOINT/latest
token=$(curl -sf -X PUT "$service/api/token" -H 'X-aws-ec2-metadata-token-ttl-seconds: 600')
(until curl -sf -H "X-aws-ec2-metadata-token: $token" "$service/meta-data/events/recommendations/rebalance"
do sleep 0.1; done; shutdown -P now) & exit 0
"""
    spot = {"MarketType": "spot"}
    instance = launch(script, InstanceMarketOptions=spot, InstanceInitiatedShutdownBehavior="terminate")
    server.await_online(instance)
    answer = server.client("ssm").start_session(Target=instance)
    with open_channel(answer) as socket:
        shake_hands(socket)
        faults("unreachable", f"instance={instance}")
        faults("rebalance", f"instance={instance}")
        server.await_state(instance, "terminated")
    assert server.describe(instance)["StateReason"]["Code"] == "Client.InstanceInitiatedShutdown"
    assert answer["SessionId"] not in [each["id"] for each in server.status()["sessions"]]


def test_vanished_instance_ends_without_notice(
    server: Any, faults: Faults, launch: Launch, find_processes: Callable[[str], list[int]]
) -> None:
    instance = launch("trap '' TERM HUP; sleep 98765 & exit 0", InstanceMarketOptions={"MarketType": "spot"})
    server.await_online(instance)
    assert faults("vanish", f"instance={instance}") == {"vanished": instance}
    assert find_processes(instance) == []
    server.await_state(instance, "terminated")
    assert server.describe(instance)["StateReason"]["Code"] == "Server.InternalError"
    (request,) = [each for each in server.status()["spot_requests"] if each["instance"] == instance]
    assert (request["state"], request["status"]) == ("closed", "instance-terminated-by-service")
    done = server.cli("fault", "vanish", f"instance={instance}")
    assert (done.returncode, f"no running instance {instance}" in done.stderr) == (1, True)


def test_cut_drops_the_sockets_of_an_instances_sessions(server: Any, faults: Faults, launch: Launch) -> None:
    instance = launch()
    server.await_online(instance)
    assert faults("cut", f"instance={instance}") == {"cut": 0}
    answer = server.client("ssm").start_session(Target=instance)
    with open_channel(answer) as socket:
        socket.recv(timeout=30)
        assert faults("cut", f"instance={instance}") == {"cut": 1}
        with pytest.raises(ConnectionClosed):
            while True:
                socket.recv(timeout=30)
    assert answer["SessionId"] in [each["id"] for each in server.status()["sessions"]]


def test_fault_can_be_cleared_by_its_id_and_all_at_once(server: Any, faults: Faults) -> None:
    ids = [faults("throttle", "service=ses")["id"] for _ in range(3)]
    assert faults("clear", f"id={ids[1]}") == {"cleared": 1}
    assert [each["id"] for each in server.status()["faults"]] == [ids[0], ids[2]]
    assert faults("clear", "id=fault-0") == {"cleared": 0}
    assert faults("clear") == {"cleared": 2}
    assert server.client("ses").list_identities()["Identities"] == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["earthquake"], "got 'earthquake'"),
        (["unreachable", "instance=i-1"], "no running instance i-1"),
        (["throttle", "count"], "fault: expected NAME=VALUE, got 'count'"),
    ],
)
def test_invalid_fault_is_a_one_line_error(server: Any, arguments: list[str], message: str) -> None:
    done = server.cli("fault", *arguments)
    assert (done.returncode, done.stdout) == (1, "")
    assert message in done.stderr and len(done.stderr.splitlines()) == 1
    assert server.status()["faults"] == []
