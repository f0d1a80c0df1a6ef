"""Putting a set live: whatever happens in the middle, a reader gets one whole set, the old one or the new one."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError
from predictor import manifest, s3_keys, weight_sets
from predictor.errors import BucketError
from predictor.manifest import LostRace, ManifestError
from predictor.training.artefacts import ModelSet
from predictor.training.progress import Progress
from predictor.training.writer import Promotion, Records, Writer

DAY = "2022-12-29"
WRITES = 28
"""Requests of one promotion: 7 for the archive, 8 records, 12 files and descriptions, the manifest."""


def models(run_id: str, day: str = DAY) -> ModelSet:
    """A set whose every file says whose it is."""
    files = {name: f"{name} of {run_id}".encode() for name in s3_keys.MODEL_FILES}
    source = {"predictor_version": "1", "config_sha256": "c", "code": {"revision": None, "digest": "d"}}
    record = {"trained_at": f"{day}T00:00:00+00:00", "gates": []}
    return ModelSet(run_id, day, files, f"rows of {run_id}".encode(), source, record)


def promote(client: Any, bucket: str, made: ModelSet, live: manifest.Live | None = None) -> Promotion:
    """All that a training writes; `live` is what it read before, by default what is there now."""
    before = live or manifest.read_live(client, bucket)
    records = Records(made.run_date, f"stamp-{made.run_id}", {}, {}, {}, {})
    writer = Writer(client, bucket, [])
    writer.records(made, records, promoted=True)
    return writer.live(made, before.etag, before.manifest())


def read(bucket: Any) -> str:
    """Whose set a reader gets, who begins at the manifest; fails the test unless all of it is that run's."""
    found = manifest.parse(bucket.body(s3_keys.LIVE_MANIFEST))
    assert weight_sets.findings(bucket.client, bucket.name, found) == []
    for name, entry in found.files.items():
        assert bucket.body(entry.key) == f"{name} of {found.run_id}".encode()
    return found.run_id


class Killed(BaseException):
    """The process is gone, and nothing of it catches that."""


@pytest.fixture
def client_that(bucket: Any) -> Callable[[Callable[[int, Callable[[], Any]], Any]], Any]:
    """A client whose every write goes through a function of its number, from 0, and of what does it."""

    def make(through: Callable[[int, Callable[[], Any]], Any]) -> Any:
        client = bucket.client
        put, number = client.put_object, iter(range(1000))
        client.put_object = lambda **arguments: through(next(number), lambda: put(**arguments))
        return client

    return make


def test_killed_after_any_write_the_old_set_serves_whole_until_the_last(bucket: Any, client_that: Any) -> None:
    promote(bucket.client, bucket.name, models("old", "2022-12-22"))
    served = []
    for last in range(WRITES + 1):

        def killed(number: int, write: Callable[[], Any], last: int = last) -> Any:
            if number == last:
                raise Killed
            return write()

        made = models(f"new-{last}")
        before = read(bucket)
        try:
            promote(client_that(killed), bucket.name, made)
        except Killed:
            assert read(bucket) == before
        served.append(read(bucket))

    assert served == ["old"] * WRITES + [f"new-{WRITES}"]


def test_killed_after_any_write_and_tried_again_under_its_name_it_ends_with_the_same_keys(
    bucket: Any, client_that: Any
) -> None:
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

        assert read(bucket) == made.run_id
        assert promoted.version == f"{DAY}-run-{last}"
        # Also where the try before was killed right after its manifest: what it had replaced is not forgotten.
        assert (promoted.replaced or {}).get("run_id") == (f"run-{last - 1}" if last else None)


def test_of_two_that_read_the_same_manifest_one_wins_and_the_other_names_it(bucket: Any) -> None:
    promote(bucket.client, bucket.name, models("old", "2022-12-22"))
    same = manifest.read_live(bucket.client, bucket.name)
    promote(bucket.client, bucket.name, models("quick"), same)

    with pytest.raises(LostRace) as caught:
        promote(bucket.client, bucket.name, models("slow"), same)

    said = str(caught.value)
    assert said == (
        f"run quick put its set live meanwhile (version {DAY}-quick): "
        "nothing of run slow is live, only its archive and records"
    )
    assert read(bucket) == "quick"


def test_of_two_first_ones_one_wins(bucket: Any) -> None:
    nothing = manifest.read_live(bucket.client, bucket.name)
    promote(bucket.client, bucket.name, models("quick"), nothing)

    with pytest.raises(LostRace, match="run quick put its set live meanwhile"):
        promote(bucket.client, bucket.name, models("slow"), nothing)

    assert read(bucket) == "quick"


def test_a_manifest_that_is_gone_is_a_lost_race_as_well(bucket: Any) -> None:
    promote(bucket.client, bucket.name, models("old", "2022-12-22"))
    before = manifest.read_live(bucket.client, bucket.name)
    bucket.client.delete_object(Bucket=bucket.name, Key=s3_keys.LIVE_MANIFEST)

    with pytest.raises(LostRace, match="was replaced meanwhile, and names no set now"):
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
def test_a_manifest_whose_answer_got_lost_was_written_all_the_same(
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

    assert read(bucket) == "new"
    assert promoted.manifest_etag == bucket.etags()[s3_keys.LIVE_MANIFEST]


def test_a_conflict_that_passes_is_tried_again_and_one_that_stays_is_an_error(bucket: Any, client_that: Any) -> None:
    promote(bucket.client, bucket.name, models("old", "2022-12-22"))

    def passes(number: int, write: Callable[[], Any]) -> Any:
        if number == WRITES - 1:
            raise _refused("ConditionalRequestConflict", 409)
        return write()

    promote(client_that(passes), bucket.name, models("new"))
    assert read(bucket) == "new"

    def stays(number: int, write: Callable[[], Any]) -> Any:
        if number >= WRITES - 1:
            raise _refused("ConditionalRequestConflict", 409)
        return write()

    with pytest.raises(BucketError, match="somebody else is writing it, 3 times"):
        promote(client_that(stays), bucket.name, models("newer"))
    assert read(bucket) == "new"


def test_a_refused_manifest_is_an_error_and_the_old_set_serves(bucket: Any, client_that: Any) -> None:
    promote(bucket.client, bucket.name, models("old", "2022-12-22"))

    def refuses(number: int, write: Callable[[], Any]) -> Any:
        if number == WRITES - 1:
            raise _refused("AccessDenied", 403)
        return write()

    with pytest.raises(BucketError, match=r"cannot write s3://.*/manifest\.json: AccessDenied no"):
        promote(client_that(refuses), bucket.name, models("new"))
    assert read(bucket) == "old"


def test_a_version_is_never_overwritten(bucket: Any) -> None:
    promote(bucket.client, bucket.name, models("run"))
    before = bucket.etags(f"{s3_keys.WEIGHTS}/versions/")
    other = models("run")
    other.files[s3_keys.META] = b"other data, the same name"

    with pytest.raises(ManifestError, match="is there with other content, and no version is ever overwritten"):
        promote(bucket.client, bucket.name, other)

    assert bucket.etags(f"{s3_keys.WEIGHTS}/versions/") == before
    assert read(bucket) == "run"


def test_nothing_live_is_said_once_and_never_over_a_set(bucket: Any) -> None:
    writer = Writer(bucket.client, bucket.name, [])
    writer.nothing_live(models("first"))
    said = bucket.body(s3_keys.LIVE_MANIFEST)
    assert manifest.read_live(bucket.client, bucket.name).manifest() is None

    writer.nothing_live(models("second"))
    assert bucket.body(s3_keys.LIVE_MANIFEST) == said

    promote(bucket.client, bucket.name, models("third"))
    writer.nothing_live(models("fourth"))
    assert read(bucket) == "third"


@pytest.mark.parametrize("change", ["promoted", "files", "run_id", "version", "out_of_sample"])
def test_a_manifest_of_another_shape_is_none(change: str, bucket: Any) -> None:
    promote(bucket.client, bucket.name, models("run"))
    document = json.loads(bucket.body(s3_keys.LIVE_MANIFEST))
    del document[change]

    with pytest.raises(ManifestError, match=f"its {change} "):
        manifest.parse(json.dumps(document).encode())


def test_a_training_that_another_overtook_fails_and_names_it(
    training: Any, momentum: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = Progress._write

    def write(self: Progress, name: str, *more: Any, **others: Any) -> None:
        honest(self, name, *more, **others)
        if name == "write":
            promote(momentum.client, momentum.name, models("quick"))

    monkeypatch.setattr(Progress, "_write", write)

    assert training(momentum.name, run_id="slow") == 1

    assert training.error == (
        f"predictor: error: run quick put its set live meanwhile (version {DAY}-quick): "
        "nothing of run slow is live, only its archive and records\n"
    )
    assert (training.result["promoted"], training.result["promotion"]) == (False, None)
    assert s3_keys.LIVE_MANIFEST not in training.result["written"]
    assert read(momentum) == "quick"
