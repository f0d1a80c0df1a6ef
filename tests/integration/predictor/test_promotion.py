"""Promotion is atomic: a reader always gets a complete set, either the old one or the new one."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError
from predictor import manifest, s3_keys
from predictor.errors import BucketError
from predictor.manifest import LostRace, ManifestError
from predictor.training.writer import Writer

from tests.support.predictor import RUN_DATE, live_run, models, promote

pytestmark = pytest.mark.slow

WRITES = 28
"""Requests of one promotion: 7 for the archive, 8 records, 12 files and descriptions, the manifest."""


LOST = (
    f"run {{0}} put its set live meanwhile (version {RUN_DATE}-{{0}}); "
    "run {1} wrote its archive and records, but was not promoted"
)


class Killed(BaseException):
    """Stands for SIGKILL."""


@pytest.fixture
def client_that(bucket: Any) -> Callable[[Callable[[int, Callable[[], Any]], Any]], Any]:
    """A client whose writes go through a function of their number, from 0, and the write itself."""

    def make(through: Callable[[int, Callable[[], Any]], Any]) -> Any:
        client = bucket.client
        put, number = client.put_object, iter(range(1000))
        client.put_object = lambda **arguments: through(next(number), lambda: put(**arguments))
        return client

    return make


def test_old_set_stays_live_until_the_last_write(bucket: Any, client_that: Any) -> None:
    promote(bucket.client, bucket.name, models("old", "2022-12-22"))
    served = []
    for last in range(WRITES + 1):

        def killed(number: int, write: Callable[[], Any], last: int = last) -> Any:
            if number == last:
                raise Killed
            return write()

        made = models(f"new-{last}")
        before = live_run(bucket)
        try:
            promote(client_that(killed), bucket.name, made)
        except Killed:
            assert live_run(bucket) == before
        served.append(live_run(bucket))

    assert served == ["old"] * WRITES + [f"new-{WRITES}"]


def test_retry_completes_a_promotion_killed_after_any_write(bucket: Any, client_that: Any) -> None:
    for last in range(WRITES):

        def killed(number: int, write: Callable[[], Any], last: int = last) -> Any:
            done = write()
            if number == last:
                raise Killed
            return done

        made = models(f"run-{last}")
        with pytest.raises(Killed):
            promote(client_that(killed), bucket.name, made)
        promoted = promote(bucket.client, bucket.name, made)

        assert live_run(bucket) == made.run_id
        assert promoted.version == f"{RUN_DATE}-run-{last}"
        # This also holds if the first attempt was killed right after writing its manifest.
        assert (promoted.replaced or {}).get("run_id") == (f"run-{last - 1}" if last else None)


def test_loser_of_a_race_names_the_winner(bucket: Any) -> None:
    promote(bucket.client, bucket.name, models("old", "2022-12-22"))
    same = manifest.read_live(bucket.client, bucket.name)
    promote(bucket.client, bucket.name, models("quick"), same)

    with pytest.raises(LostRace) as caught:
        promote(bucket.client, bucket.name, models("slow"), same)

    assert str(caught.value) == LOST.format("quick", "slow")
    assert live_run(bucket) == "quick"


def test_race_for_the_first_promotion_has_one_winner(bucket: Any) -> None:
    nothing = manifest.read_live(bucket.client, bucket.name)
    promote(bucket.client, bucket.name, models("quick"), nothing)

    with pytest.raises(LostRace, match="run quick put its set live meanwhile"):
        promote(bucket.client, bucket.name, models("slow"), nothing)

    assert live_run(bucket) == "quick"


def test_deleted_manifest_is_a_lost_race(bucket: Any) -> None:
    promote(bucket.client, bucket.name, models("old", "2022-12-22"))
    before = manifest.read_live(bucket.client, bucket.name)
    bucket.client.delete_object(Bucket=bucket.name, Key=s3_keys.LIVE_MANIFEST)

    with pytest.raises(LostRace, match="was replaced meanwhile and now names no set"):
        promote(bucket.client, bucket.name, models("new"), before)


def _refused(code: str, status: int) -> ClientError:
    return ClientError(
        {"Error": {"Code": code, "Message": "no"}, "ResponseMetadata": {"HTTPStatusCode": status}}, "PutObject"
    )


@pytest.mark.parametrize(
    "error",
    [
        _refused("PreconditionFailed", 412),
        _refused("ConditionalRequestConflict", 409),
        _refused("InternalError", 500),
        ReadTimeoutError(endpoint_url="s3"),
    ],
    ids=lambda error: type(error).__name__,
)
@pytest.mark.parametrize("first", [True, False])
def test_promotion_succeeds_if_the_manifests_answer_is_lost(
    error: Exception, first: bool, bucket: Any, client_that: Any
) -> None:
    if not first:
        promote(bucket.client, bucket.name, models("old", "2022-12-22"))

    def lost(number: int, write: Callable[[], Any]) -> Any:
        done = write()
        if number == WRITES - 1:
            raise error
        return done

    promoted = promote(client_that(lost), bucket.name, models("new"))

    assert live_run(bucket) == "new"
    assert promoted.manifest_etag == bucket.etags()[s3_keys.LIVE_MANIFEST]


def test_conflict_is_retried_and_a_lasting_one_is_an_error(bucket: Any, client_that: Any) -> None:
    promote(bucket.client, bucket.name, models("old", "2022-12-22"))

    def passes(number: int, write: Callable[[], Any]) -> Any:
        if number == WRITES - 1:
            raise _refused("ConditionalRequestConflict", 409)
        return write()

    promote(client_that(passes), bucket.name, models("new"))
    assert live_run(bucket) == "new"

    def stays(number: int, write: Callable[[], Any]) -> Any:
        if number >= WRITES - 1:
            raise _refused("ConditionalRequestConflict", 409)
        return write()

    with pytest.raises(BucketError, match="S3 reported a concurrent write 3 times"):
        promote(client_that(stays), bucket.name, models("newer"))
    assert live_run(bucket) == "new"


def test_refused_manifest_is_an_error_and_the_old_set_stays_live(bucket: Any, client_that: Any) -> None:
    promote(bucket.client, bucket.name, models("old", "2022-12-22"))

    def refuses(number: int, write: Callable[[], Any]) -> Any:
        if number == WRITES - 1:
            raise _refused("AccessDenied", 403)
        return write()

    with pytest.raises(BucketError, match=r"cannot write s3://.*/manifest\.json: AccessDenied no"):
        promote(client_that(refuses), bucket.name, models("new"))
    assert live_run(bucket) == "old"


def test_version_is_never_overwritten(bucket: Any) -> None:
    promote(bucket.client, bucket.name, models("run"))
    before = bucket.etags(f"{s3_keys.WEIGHTS}/versions/")
    other = models("run")
    other.files[s3_keys.META] = b"other data, the same name"

    with pytest.raises(ManifestError, match="exists with other content; versions are never overwritten"):
        promote(bucket.client, bucket.name, other)

    assert bucket.etags(f"{s3_keys.WEIGHTS}/versions/") == before
    assert live_run(bucket) == "run"


def test_empty_manifest_never_replaces_another(bucket: Any) -> None:
    writer = Writer(bucket.client, bucket.name, [])
    writer.nothing_live(models("first"))
    empty = bucket.body(s3_keys.LIVE_MANIFEST)
    assert manifest.read_live(bucket.client, bucket.name).manifest() is None

    writer.nothing_live(models("second"))
    assert bucket.body(s3_keys.LIVE_MANIFEST) == empty

    promote(bucket.client, bucket.name, models("third"))
    writer.nothing_live(models("fourth"))
    assert live_run(bucket) == "third"


@pytest.mark.parametrize("change", ["promoted", "files", "run_id", "version", "out_of_sample"])
def test_manifest_without_a_required_field_is_invalid(change: str, bucket: Any) -> None:
    promote(bucket.client, bucket.name, models("run"))
    document = json.loads(bucket.body(s3_keys.LIVE_MANIFEST))
    del document[change]

    with pytest.raises(ManifestError, match=f"{change}: expected "):
        manifest.parse(json.dumps(document).encode())


def test_training_that_loses_a_race_names_the_winner(training: Any, momentum: Any, at_stage: Any) -> None:
    at_stage("write", lambda: promote(momentum.client, momentum.name, models("quick")))

    assert training(momentum.name, run_id="slow") == 1

    assert training.error == f"predictor: error: {LOST.format('quick', 'slow')}\n"
    assert (training.result["promoted"], training.result["promotion"]) == (False, None)
    assert s3_keys.LIVE_MANIFEST not in training.result["written"]
    assert live_run(momentum) == "quick"
