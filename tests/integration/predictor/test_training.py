"""The training's command line, with ArcticDB on an S3."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from botocore.exceptions import ClientError
from predictor import s3_keys
from predictor.training import fingerprint

from tests.support.predictor import END, RUN_DATE

LIVE = "predictor/weights/meta"
FILES = {
    "volatility_model.txt",
    "research_calibrator.json",
    "meta_model.pkl",
    "isotonic_calibrator.pkl",
    "feature_list.json",
}
OBJECTS = {*FILES, "oos_rows.parquet"}
RECORDS = {
    *(f"{LIVE}/archive/{RUN_DATE}/{name}" for name in (*OBJECTS, "manifest.json")),
    *(f"predictor/diagnostics/oos_rows/{name}.parquet" for name in (RUN_DATE, "latest")),
    *(f"predictor/metrics/training_summary_{name}.json" for name in (RUN_DATE, "latest")),
    "predictor/variant_gates/triple_barrier/latest.json",
    "health/predictor_training.json",
    f"data_manifest/predictor_training/{RUN_DATE}.json",
}
VERSION = f"{RUN_DATE}-run-7"
PREFIX = f"{LIVE}/versions/{VERSION}/"
PROMOTED = {
    *(f"{PREFIX}{name}" for name in OBJECTS),
    *(f"{PREFIX}{name}.meta.json" for name in OBJECTS),
    f"{LIVE}/manifest.json",
}


def _document(bucket: Any, key: str) -> Any:
    return json.loads(bucket.body(key))


def test_promotion_writes_exactly_its_keys_manifest_last(training: Any, momentum: Any) -> None:
    assert training(momentum.name) == 0

    result = training.result
    stamps = {key for key in momentum.result_keys() if "triple_barrier/2" in key}
    assert len(stamps) == 1
    assert momentum.result_keys() == RECORDS | PROMOTED | stamps
    assert set(result["written"]) == momentum.result_keys()
    assert result["written"][-1] == f"{LIVE}/manifest.json"
    live = [key in PROMOTED for key in result["written"]]
    assert live == sorted(live), "a live key was written before a record"
    assert (result["promoted"], result["dry_run"], result["error"]) == (True, False, None)
    assert result["folds"] == len(result["fold_ics"]) > 0


def test_live_set_matches_its_manifest_and_is_usable(training: Any, momentum: Any) -> None:
    assert training(momentum.name) == 0

    manifest = _document(momentum, f"{LIVE}/manifest.json")
    assert set(manifest["files"]) == FILES
    assert (manifest["run_id"], manifest["version"], manifest["promoted"]) == ("run-7", VERSION, True)
    for name, described in {**manifest["files"], "oos_rows.parquet": manifest["out_of_sample"]}.items():
        body = momentum.body(f"{PREFIX}{name}")
        digest = hashlib.sha256(body).hexdigest()
        assert described == {"key": f"{PREFIX}{name}", "sha256": digest, "bytes": len(body)}
        assert body == momentum.body(f"{LIVE}/archive/{RUN_DATE}/{name}")
        beside = _document(momentum, f"{PREFIX}{name}.meta.json")
        assert (beside["sha256"], beside["run_id"], beside["version"]) == (digest, "run-7", VERSION)
    model = lightgbm.Booster(model_str=momentum.body(f"{PREFIX}volatility_model.txt").decode())
    inputs = _document(momentum, f"{PREFIX}feature_list.json")
    assert model.feature_name() == inputs["volatility_model"]
    assert list(_document(momentum, f"{PREFIX}meta_model.pkl")["coefficients"]) == inputs["meta_model"]


def test_manifest_has_the_sets_provenance(training: Any, momentum: Any, tmp_path: Path) -> None:
    lock = tmp_path / "requirements.lock"
    lock.write_text("numpy==2.4.6\n")

    assert training(momentum.name, "--lock", str(lock), "--revision", "0123abc") == 0

    manifest = momentum.live()
    assert manifest["lock_sha256"] == hashlib.sha256(lock.read_bytes()).hexdigest()
    assert manifest["code"] == {"revision": "0123abc", "digest": fingerprint.package_digest()}
    data = _document(momentum, f"data_manifest/predictor_training/{RUN_DATE}.json")
    assert manifest["data"] == {"digest": data["digest"], "versions": {f"S{n:02}": 0 for n in range(12)}}
    assert manifest["gates"] == training.result["gates"]
    assert manifest["replaced"] is None
    etag = momentum.etags()[f"{LIVE}/manifest.json"]
    assert training.result["promotion"] == {
        "version": VERSION,
        "prefix": PREFIX,
        "manifest_etag": etag,
        "replaced": None,
    }


def test_missing_lock_file_fails_before_data_is_read(training: Any, momentum: Any) -> None:
    assert training(momentum.name, "--lock", "/nowhere") == 1

    assert training.error.startswith("predictor: error: cannot read lock file /nowhere: ")
    assert list(training.result["stages"]) == ["check"]


def test_records_agree_with_the_result(training: Any, momentum: Any) -> None:
    assert training(momentum.name) == 0

    result = training.result
    summary = _document(momentum, f"predictor/metrics/training_summary_{RUN_DATE}.json")
    assert summary == _document(momentum, "predictor/metrics/training_summary_latest.json")
    assert {key: summary[key] for key in ("folds", "median_ic", "gates", "fold_ics", "rows")} == {
        key: result[key] for key in ("folds", "median_ic", "gates", "fold_ics", "rows")
    }
    assert _document(momentum, "health/predictor_training.json")["status"] == "ok"
    data = _document(momentum, f"data_manifest/predictor_training/{RUN_DATE}.json")
    assert data["symbols"]["S00"]["last"] == "2022-12-28"
    assert data["symbols"]["S00"]["bars"] == 620
    rows = pq.read_table(io.BytesIO(momentum.body("predictor/diagnostics/oos_rows/latest.parquet"))).to_pandas()
    scored = rows.dropna(subset=["score"])
    by_day = scored.groupby(["fold", "date"])[["score", "relative_return"]].apply(
        lambda day: day["score"].corr(day["relative_return"], method="spearman")
    )
    by_fold = by_day.groupby("fold").mean()
    assert by_fold.to_numpy() == pytest.approx([fold["ic"] for fold in result["fold_ics"]], abs=1e-6)
    assert by_fold.median() == pytest.approx(result["median_ic"], abs=1e-6)


def test_dry_run_trains_the_same_without_writes(training: Any, momentum: Any) -> None:
    before = momentum.server.writes(momentum.name)

    assert training(momentum.name, "--dry-run") == 0

    assert momentum.server.writes(momentum.name) == before
    assert (training.result["dry_run"], training.result["written"]) == (True, [])
    dry = training.result["fold_ics"]
    assert training(momentum.name) == 0
    assert [{**fold, "seconds": 0} for fold in dry] == [{**fold, "seconds": 0} for fold in training.result["fold_ics"]]


def test_failed_gate_leaves_the_live_set_unchanged(training: Any, momentum: Any, settings: dict[str, Any]) -> None:
    assert training(momentum.name) == 0
    before = {key: tag for key, tag in momentum.etags(LIVE).items() if key in PROMOTED}
    assert set(before) == PROMOTED
    settings["gates"]["median_ic"]["threshold"] = 0.99
    settings["lightgbm"]["trees"] = 11

    assert training(momentum.name, run_id="run-8") == 0

    result = training.result
    assert (result["promoted"], result["error"]) == (False, None)
    verdicts = {gate["name"]: (gate["passed"], gate["blocking"]) for gate in result["gates"]}
    assert verdicts["median_ic"] == (False, True)
    live = {key: tag for key, tag in momentum.etags(LIVE).items() if "/archive/" not in key}
    assert live == before
    assert not PROMOTED & set(result["written"])
    assert set(result["written"]) >= RECORDS
    assert result["promotion"] is None
    assert _document(momentum, f"{LIVE}/archive/{RUN_DATE}/manifest.json")["promoted"] is False


def test_failed_gate_in_a_new_bucket_writes_an_empty_manifest(
    training: Any, momentum: Any, settings: dict[str, Any]
) -> None:
    settings["gates"]["median_ic"]["threshold"] = 0.99

    assert training(momentum.name) == 0

    assert PROMOTED & momentum.result_keys() == {f"{LIVE}/manifest.json"}
    manifest = _document(momentum, f"{LIVE}/manifest.json")
    assert (manifest["promoted"], manifest["files"]) == (False, {})
    before = momentum.etags(LIVE)[f"{LIVE}/manifest.json"]

    assert training(momentum.name) == 0

    assert momentum.etags(LIVE)[f"{LIVE}/manifest.json"] == before


def test_equal_data_gives_equal_models_which_are_promoted(
    training: Any, momentum: Any, settings: dict[str, Any]
) -> None:
    assert training(momentum.name) == 0
    first = momentum.live_bodies()
    settings["run"]["threads"] = 1
    settings["gates"]["beats_incumbent"]["min_days"] = 200

    assert training(momentum.name, run_id="run-8") == 0

    assert momentum.live_bodies() == first
    assert momentum.live()["run_id"] == "run-8"
    assert momentum.live()["replaced"] == {"version": VERSION, "run_id": "run-7"}
    gate = next(gate for gate in training.result["gates"] if gate["name"] == "beats_incumbent")
    assert (gate["value"], gate["threshold"], gate["passed"]) == (0.0, 0.0, True)
    incumbent = training.result["incumbent"]
    assert (incumbent["run_id"], incumbent["version"], incumbent["median_difference"]) == ("run-7", VERSION, 0.0)
    fold_ics = {fold["fold"]: fold["ic"] for fold in training.result["fold_ics"]}
    assert {fold["fold"]: round(fold["ic"], 6) for fold in incumbent["folds"]} == fold_ics
    assert all(fold["ic"] == fold["incumbent_ic"] for fold in incumbent["folds"])


def test_bars_from_the_run_date_on_are_ignored(training: Any, momentum: Any) -> None:
    assert training(momentum.name, "--dry-run", run_date="2022-12-01") == 0

    assert training.result["fold_ics"][-1]["test_end"] <= "2022-11-02"


def test_missing_research_library_is_skipped(training: Any, momentum: Any) -> None:
    assert training(momentum.name) == 0

    assert training.result["research"] == "skipped: library 'research' does not exist"
    assert _document(momentum, f"{PREFIX}research_calibrator.json")["kind"] == "absent"


def test_research_library_is_used(training: Any, momentum: Any, walks: Any) -> None:
    days = pd.bdate_range(end=pd.Timestamp(END), periods=620)[::5]
    closes = walks(620, 12, seed=3, drift=0.003)
    views = {f"S{n:02}": pd.DataFrame({"view": closes[::5, n], "note": "text"}, index=days) for n in range(12)}
    momentum.write("research", {**views, "NOT_IN_UNIVERSE": views["S00"]})

    assert training(momentum.name) == 0

    assert training.result["research"] == "1 columns"
    research = _document(momentum, f"{PREFIX}research_calibrator.json")
    assert (research["kind"], research["columns"]) == ("lightgbm", ["research.view"])
    assert "research_score" in _document(momentum, f"{PREFIX}meta_model.pkl")["coefficients"]


def test_progress_has_every_stage_and_fold(training: Any, momentum: Any) -> None:
    assert training(momentum.name, "--dry-run") == 0

    lines = training.progress()
    stages = list(dict.fromkeys(line["stage"] for line in lines))
    assert stages == ["check", "read", "features", "labels", "walk_forward", "final_models", "gates", "diagnostics"]
    assert stages == list(training.result["stages"])
    folds = [line for line in lines if line["fold"] is not None]
    assert [line["fold"] for line in folds] == list(range(folds[0]["folds"]))
    assert [line["ic"] for line in folds if line["ic"] is not None] == [f["ic"] for f in training.result["fold_ics"]]
    assert folds[-1]["remaining"] == 0


def _no_close(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.rename(columns={"close": "price"})


def _negative(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(close=[-1.0, *frame["close"][1:]])


@pytest.mark.parametrize(
    ("change", "message"), [(_no_close, "it has no column 'close'"), (_negative, "close of 0 or less on ")]
)
def test_malformed_symbols_are_named_in_one_line(
    training: Any, momentum: Any, frames: Any, walks: Any, change: Callable[[Any], Any], message: str
) -> None:
    bad = change(frames(walks(50, 1), END)["S00"])
    momentum.write("universe", {"S04": bad, "S08": bad})

    assert training(momentum.name) == 1

    assert training.error.count("\n") == 1
    assert training.error.startswith("predictor: error: ")
    assert message in training.error
    assert "S04" in training.error
    assert "S08" in training.error
    assert training.result["error"] in training.error
    assert momentum.result_keys() == set()


def test_short_history_fails(training: Any, bucket: Any, frames: Any, walks: Any) -> None:
    bucket.write("universe", frames(walks(150, 12), END))

    assert training(bucket.name) == 1

    assert "too few days for a fold" in training.error
    assert (training.result["folds"], training.result["promoted"]) == (0, False)
    assert training.result["symbols"] == 12


def test_training_without_folds_fails_with_their_reasons(training: Any, momentum: Any, settings: Any) -> None:
    settings["walk_forward"]["min_train_rows"] = 10**6

    assert training(momentum.name) == 1

    assert "all 7 folds were skipped: fold 0: " in training.error
    assert len(training.result["skipped_folds"]) == 7
    assert momentum.result_keys() == set()


def test_empty_list_of_models_fails(training: Any, momentum: Any, settings: dict[str, Any]) -> None:
    settings["models"] = []

    assert training(momentum.name) == 1

    assert "models: missing momentum, volatility, meta" in training.error
    assert training.result["error"]


def test_missing_region_fails(training: Any, momentum: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_REGION")

    assert training(momentum.name) == 1

    assert training.error == "predictor: error: AWS_REGION is not set\n"


def test_missing_bucket_is_a_one_line_error(training: Any, bucket: Any) -> None:
    assert training("no-such-bucket") == 1

    assert training.error.startswith("predictor: error: cannot reach bucket no-such-bucket: 404")


def test_result_lists_written_keys_after_a_refused_write(training: Any, momentum: Any, before_put: Any) -> None:
    def refuse_health(key: str) -> None:
        if key == s3_keys.HEALTH:
            raise ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "PutObject")

    before_put(refuse_health)

    assert training(momentum.name) == 1

    assert "health/predictor_training.json: AccessDenied no" in training.error
    assert set(training.result["written"]) == momentum.result_keys()
    assert not PROMOTED & momentum.result_keys()
    assert np.isfinite(training.result["median_ic"])
