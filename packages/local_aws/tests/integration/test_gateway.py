"""Authentication and errors of the gateway, in every wire protocol."""

from __future__ import annotations

import json
import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import pytest
from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

CALLS: dict[str, Callable[[Any], Any]] = {
    "s3": lambda client: client.list_buckets(),
    "ec2": lambda client: client.describe_instances(),
    "iam": lambda client: client.list_users(),
    "ssm": lambda client: client.describe_instance_information(),
    "sts": lambda client: client.get_caller_identity(),
    "sns": lambda client: client.list_topics(),
    "ses": lambda client: client.list_identities(),
    "cloudwatch": lambda client: client.list_metrics(),
    "scheduler": lambda client: client.list_schedules(),
}


def refusal(call: Callable[[], Any]) -> tuple[str, int]:
    """Code and HTTP status of a refused call."""
    with pytest.raises(ClientError) as caught:
        call()
    return caught.value.response["Error"]["Code"], caught.value.response["ResponseMetadata"]["HTTPStatusCode"]


def http(url: str, method: str = "GET", body: bytes | None = None, **headers: Any) -> tuple[int, bytes]:
    """Status and body of a plain HTTP request."""
    request = urllib.request.Request(url, data=body, method=method, headers=headers)
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=60) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


@pytest.mark.parametrize("service", CALLS)
def test_operator_gets_an_answer_from_every_service(server: Any, service: str) -> None:
    answer = CALLS[service](server.client(service))
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 200


@pytest.mark.parametrize("service", CALLS)
def test_wrong_secret_error_matches_the_service(server: Any, service: str) -> None:
    client = server.client_of(service, server.reservation.operator.access_key_id, "wrong")
    code = "AuthFailure" if service == "ec2" else "SignatureDoesNotMatch"
    assert refusal(lambda: CALLS[service](client)) == (code, 401 if service == "ec2" else 403)


@pytest.mark.parametrize("service", CALLS)
def test_unknown_key_error_matches_the_service(server: Any, service: str) -> None:
    code = {"s3": "InvalidAccessKeyId", "ec2": "AuthFailure"}.get(service, "InvalidClientTokenId")
    client = server.client_of(service, "AKIAUNKNOWN00EXAMPLE", "whatever")
    assert refusal(lambda: CALLS[service](client))[0] == code


SKEWED = {"s3": ("RequestTimeTooSkewed", 403), "ec2": ("RequestExpired", 400)}
SKEWED |= dict.fromkeys(("ssm", "cloudwatch"), ("InvalidSignatureException", 400))
SKEWED |= {"scheduler": ("InvalidSignatureException", 403)}


@pytest.mark.parametrize("minutes", [-20, -6, 6, 20])
@pytest.mark.parametrize("service", CALLS)
def test_clock_skew_error_matches_the_service(
    server: Any, monkeypatch: pytest.MonkeyPatch, service: str, minutes: int
) -> None:
    shifted = datetime.now(UTC).replace(tzinfo=None) + timedelta(minutes=minutes)
    monkeypatch.setattr("botocore.auth.get_current_datetime", lambda *_, **__: shifted)
    key = server.reservation.operator
    client = server.client_of(service, key.access_key_id, key.secret_access_key)
    if service == "s3" and abs(minutes) < 15:
        assert CALLS[service](client)["Buckets"] is not None
        return
    assert refusal(lambda: CALLS[service](client)) == SKEWED.get(service, ("SignatureDoesNotMatch", 403))
    monkeypatch.undo()
    assert server.ledger()[-1]["allowed"] is False


def test_clock_skew_message_has_both_times(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    shifted = datetime.now(UTC).replace(tzinfo=None) - timedelta(hours=1)
    monkeypatch.setattr("botocore.auth.get_current_datetime", lambda *_, **__: shifted)
    key = server.reservation.operator
    client = server.client_of("sts", key.access_key_id, key.secret_access_key)
    with pytest.raises(
        ClientError, match=rf"Signature expired: {shifted:%Y%m%dT%H%M}\d\dZ is now earlier than .* - 5 min"
    ):
        client.get_caller_identity()


def test_every_answer_has_one_date(server: Any, bucket: str) -> None:
    s3, found = server.client("s3"), []
    answers = [CALLS[service](server.client(service)) for service in CALLS]
    answers.append(s3.put_object(Bucket=bucket, Key="small", Body=b"1"))
    answers.append(s3.put_object(Bucket=bucket, Key="large", Body=bytes(1 << 20)))  # on another code path
    answers.append(s3.get_object(Bucket=bucket, Key="large"))
    for service in ("ec2", "ssm", "s3"):
        client = server.client_of(service, "AKIAUNKNOWN00EXAMPLE", "whatever")
        with pytest.raises(ClientError) as caught:
            CALLS[service](client)
        answers.append(caught.value.response)
    for answer in answers:
        date = answer["ResponseMetadata"]["HTTPHeaders"]["date"]
        found.append(parsedate_to_datetime(date))  # two Date headers would be joined to an invalid date
    assert all(abs((moment - datetime.now(UTC)).total_seconds()) < 60 for moment in found)


def test_unsigned_request_is_logged_as_anonymous(server: Any) -> None:
    status, body = http(f"{server.reservation.endpoint}/some-bucket/some-key")
    assert (status, b"<Code>AccessDenied</Code>" in body) == (403, True)
    line = server.ledger("--denied")[-1]
    assert (line["principal"], line["source"], line["allowed"]) == ("anonymous", "unknown", False)
    assert (line["action"], line["resource"]) == ("GetObject", "arn:aws:s3:::some-bucket/some-key")


def test_body_changed_after_signing_is_refused(server: Any) -> None:
    key = server.reservation.operator
    url = f"{server.reservation.endpoint}/"
    headers = {"X-Amz-Target": "AmazonSSM.DescribeInstanceInformation", "Content-Type": "application/x-amz-json-1.1"}
    request = AWSRequest("POST", url, headers=headers, data=b'{"MaxResults": 5}')
    SigV4Auth(Credentials(key.access_key_id, key.secret_access_key), "ssm", "us-east-1").add_auth(request)
    signed = dict(request.headers.items())
    assert http(url, "POST", b'{"MaxResults": 5}', **signed)[0] == 200
    status, body = http(url, "POST", b'{"MaxResults": 6}', **signed)
    assert (status, json.loads(body)["__type"]) == (403, "SignatureDoesNotMatch")


def test_body_must_match_its_signed_digest(server: Any) -> None:
    key = server.reservation.operator
    url = f"{server.reservation.endpoint}/"
    headers = {
        "X-Amz-Target": "AmazonSSM.DescribeInstanceInformation",
        "X-Amz-Content-Sha256": "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a",  # of {}
    }
    request = AWSRequest("POST", url, headers=headers, data=b"{}")
    SigV4Auth(Credentials(key.access_key_id, key.secret_access_key), "ssm", "us-east-1").add_auth(request)
    signed = dict(request.headers.items())
    assert http(url, "POST", b"{}", **signed)[0] == 200
    assert http(url, "POST", b'{"MaxResults": 6}', **signed)[0] == 403


@pytest.mark.parametrize("name", ["plain", "with blank", "über/größe.txt", "a+b&c=d?e#f%20", "x//y", "~t-i_l.d*e'()"])
def test_any_object_key_can_be_signed_written_and_read(server: Any, bucket: str, name: str) -> None:
    s3 = server.client("s3")
    s3.put_object(Bucket=bucket, Key=name, Body=b"content")
    assert s3.get_object(Bucket=bucket, Key=name)["Body"].read() == b"content"
    url = s3.generate_presigned_url("get_object", {"Bucket": bucket, "Key": name})
    assert http(url) == (200, b"content")
    assert server.ledger("--bucket", bucket, "--action", "PutObject")[0]["resource"] == f"arn:aws:s3:::{bucket}/{name}"


def test_presigned_url_allows_exactly_one_operation(server: Any, bucket: str) -> None:
    s3 = server.client("s3")
    put = s3.generate_presigned_url("put_object", {"Bucket": bucket, "Key": "gift"})
    assert http(put, "PUT", b"from a bearer", **{"Content-Type": "text/plain"})[0] == 200
    get = s3.generate_presigned_url("get_object", {"Bucket": bucket, "Key": "gift"})
    assert http(get) == (200, b"from a bearer")
    assert http(get, "DELETE")[0] == 403
    assert http(get.replace("/gift", "/other"))[0] == 403
    assert http(get.replace("X-Amz-Expires=3600", "X-Amz-Expires=9999"))[0] == 403
    assert [line["presigned"] for line in server.ledger("--bucket", bucket, "--action", "GetObject")][:1] == [True]


def test_presigned_url_expires(server: Any, bucket: str, wait_until: Callable[..., None]) -> None:
    s3 = server.client("s3")
    s3.put_object(Bucket=bucket, Key="brief", Body=b"now")
    url = s3.generate_presigned_url("get_object", {"Bucket": bucket, "Key": "brief"}, ExpiresIn=1)
    wait_until(lambda: http(url)[0] == 403, "the URL does not expire")
    assert b"Request has expired" in http(url)[1]


def test_denied_large_upload_gets_an_answer(server: Any, bucket: str, iam_user: Callable[..., Any]) -> None:
    client = iam_user()("s3")
    upload = lambda: client.put_object(Bucket=bucket, Key="big", Body=bytes(8 << 20))  # noqa: E731
    assert refusal(upload) == ("AccessDenied", 403)
    assert "Contents" not in server.client("s3").list_objects_v2(Bucket=bucket)


def test_multipart_upload_arrives_whole(server: Any, bucket: str) -> None:
    s3 = server.client("s3")
    upload = s3.create_multipart_upload(Bucket=bucket, Key="parts")["UploadId"]
    names = {"Bucket": bucket, "Key": "parts", "UploadId": upload}
    parts = [
        {"PartNumber": number, "ETag": s3.upload_part(**names, PartNumber=number, Body=body)["ETag"]}
        for number, body in ((1, b"a" * (5 << 20)), (2, b"b"))
    ]
    s3.complete_multipart_upload(**names, MultipartUpload={"Parts": parts})
    assert s3.head_object(Bucket=bucket, Key="parts")["ContentLength"] == (5 << 20) + 1
    actions = [line["action"] for line in server.ledger("--bucket", bucket, "--writes")]
    assert actions[-4:] == ["CreateMultipartUpload", "UploadPart", "UploadPart", "CompleteMultipartUpload"]


def test_bulk_delete_is_logged_with_its_keys(server: Any, bucket: str) -> None:
    s3 = server.client("s3")
    for name in ("one", "two & three"):
        s3.put_object(Bucket=bucket, Key=name, Body=b"")
    s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "one"}, {"Key": "two & three"}]})
    assert "Contents" not in s3.list_objects_v2(Bucket=bucket)
    line = server.ledger("--bucket", bucket, "--action", "DeleteObjects")[0]
    assert line["resource"] == f"arn:aws:s3:::{bucket}/one arn:aws:s3:::{bucket}/two & three"
    assert (line["permission"], line["write"]) == ("s3:DeleteObject", True)


@pytest.mark.parametrize(
    ("service", "call", "code"),
    [
        ("ec2", lambda c: c.describe_instances(InstanceIds=["i-0123456789abcdef0"]), "InvalidInstanceID.NotFound"),
        ("s3", lambda c: c.get_object(Bucket="no-such-bucket-here", Key="k"), "NoSuchBucket"),
        ("iam", lambda c: c.get_role(RoleName="nobody"), "NoSuchEntity"),
        ("ssm", lambda c: c.get_parameter(Name="/nothing"), "ParameterNotFound"),
        ("ssm", lambda c: c.start_session(Target="i-0123456789abcdef0"), "TargetNotConnected"),
        ("ssm", lambda c: c.resume_session(SessionId="nobody-1"), "DoesNotExistException"),
    ],
)
def test_error_code_reaches_caller_and_ledger(server: Any, service: str, call: Callable[[Any], Any], code: str) -> None:
    assert refusal(lambda: call(server.client(service)))[0] == code
    line = server.ledger("--service", service)[-1]
    assert (line["error"], line["allowed"], line["source"]) == (code, True, "operator")


def test_unknown_operation_is_refused(server: Any) -> None:
    key = server.reservation.operator
    url = f"{server.reservation.endpoint}/bucket"
    request = AWSRequest("PATCH", url, data=b"")
    S3SigV4Auth(Credentials(key.access_key_id, key.secret_access_key), "s3", "us-east-1").add_auth(request)
    status, body = http(url, "PATCH", b"", **dict(request.headers.items()))
    assert (status, b"unknown operation" in body) == (400, True)


@pytest.mark.parametrize("token", [None, "guess"])
def test_control_requests_need_the_admin_token(server: Any, token: str | None) -> None:
    headers: dict[str, Any] = {"X-Admin-Token": token} if token else {}
    assert http(f"{server.reservation.endpoint}/_local_aws/status", **headers) == (403, b"wrong admin token\n")


def test_unknown_control_request_is_reported(server: Any) -> None:
    headers = {"X-Admin-Token": server.reservation.admin_token}
    status, body = http(f"{server.reservation.endpoint}/_local_aws/nonsense", **headers)
    assert (status, json.loads(body)) == (404, {"error": "unknown control request 'nonsense'"})


def test_one_of_many_conditional_writes_succeeds(server: Any) -> None:
    s3 = server.client("s3")
    s3.create_bucket(Bucket="conditional")
    condition: dict[str, str] = {"IfNoneMatch": "*"}
    for turn in range(10):
        barrier = threading.Barrier(8)

        def write(number: int, barrier: threading.Barrier = barrier, condition: dict[str, str] = condition) -> str:
            barrier.wait()
            try:
                s3.put_object(Bucket="conditional", Key="manifest", Body=str(number).encode(), **condition)
            except ClientError as error:
                return str(error.response["Error"]["Code"])
            return "done"

        with ThreadPoolExecutor(8) as pool:
            answers = sorted(pool.map(write, range(8 * turn, 8 * turn + 8)))

        assert answers == ["PreconditionFailed"] * 7 + ["done"]
        condition = {"IfMatch": s3.head_object(Bucket="conditional", Key="manifest")["ETag"]}
