"""EC2 reclaims the instance."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from dataclasses import replace

from tests.support.account import DATA_BUCKET, project_copy, training_source
from tests.support.playbook import Playbook
from tests.support.stage import Stage
from tools.drills.catalogue.signals import PHASES, TRAINING, Phase
from tools.drills.drill import Drill, Expected, Seen

#: EC2's notice is two minutes; a drill uses less.
NOTICE_SECONDS = 4
RUN_DATE = "2022-12-29"
LIVE_MANIFEST = "predictor/weights/meta/manifest.json"
VERSIONS = "predictor/weights/meta/versions/"
FOLDS = "runs/folds/"
#: Changes of the default configuration: every gate passes, a third of the folds, half the trees.
LENIENT = {"threshold: 0.02": "threshold: -1.0", "test_days: 126": "test_days: 378", "trees: 60": "trees: 30"}


def _reclaim(stage: Stage, run: Playbook, attempt: int = 1) -> None:
    """Send the interruption notice to the instance of an attempt."""

    def there() -> bool:
        return any(i.tags.get("attempt") == str(attempt) for i in stage.instances(("running",)))

    run.wait_for(f"the instance of attempt {attempt}", there)
    instance = next(i for i in stage.instances(("running",)) if i.tags.get("attempt") == str(attempt))
    stage.fault("interrupt", f"instance={instance.id}", f"seconds={NOTICE_SECONDS}")


def _once(phase: Phase, stage: Stage) -> Seen:
    run = phase.start(stage)
    _reclaim(stage, run)
    run.wait()
    return Seen(run)


def _twice(stage: Stage) -> Seen:
    run = stage.play(*TRAINING, settings={"folds": 60, "fold_seconds": 1})
    run.wait_for_task("bootstrap")
    _reclaim(stage, run)
    run.wait_for("the training of attempt 2", lambda: any(run.events("Follow the training")))
    _reclaim(stage, run, attempt=2)
    run.wait()
    return Seen(run)


# The real training: a resumed training must promote the same bytes as an undisturbed one.


def _source(stage: Stage) -> tuple[str, ...]:
    """The default training project with less work and a gate that always passes."""
    folder = stage.folder / "lenient"
    if not folder.exists():
        project_copy(folder, LENIENT)
    return ("-e", json.dumps({"training_source": training_source(folder)}))


def _undisturbed(stage: Stage) -> dict[str, str]:
    """ETags of the files that an undisturbed training promotes; trains once per stage."""
    if "weights" not in stage.memory:
        run = stage.play(*TRAINING, *_source(stage), settings={})
        assert run.wait() == 0, run.output[-2000:]
        stage.memory["weights"] = _weights(stage)
    found: dict[str, str] = stage.memory["weights"]
    return found


def _weights(stage: Stage) -> dict[str, str]:
    """ETags of the live model files by name, found through the manifest."""
    if not _keys(stage, LIVE_MANIFEST):
        return {}
    s3 = stage.account.client("s3")
    manifest = json.loads(s3.get_object(Bucket=DATA_BUCKET, Key=LIVE_MANIFEST)["Body"].read())
    files = {**manifest["files"], "out_of_sample": manifest["out_of_sample"]} if manifest["files"] else {}
    return {name: s3.head_object(Bucket=DATA_BUCKET, Key=one["key"])["ETag"] for name, one in files.items()}


def _keys(stage: Stage, prefix: str) -> list[str]:
    listed = stage.account.client("s3").list_objects_v2(Bucket=DATA_BUCKET, Prefix=prefix).get("Contents", [])
    return [one["Key"] for one in listed]


def _resumed(ready: Callable[[Stage, Playbook], bool], milliseconds: int, stage: Stage) -> Seen:
    """Reclaim the instance once `ready`, and compare the promoted files with an undisturbed training's.

    With `milliseconds`, every write to S3 is delayed by that time, to leave time for `ready`.
    """
    undisturbed = _undisturbed(stage)
    s3 = stage.account.client("s3")
    # Delete the live set and the folds, so that this run creates all of them.
    for key in (LIVE_MANIFEST, *_keys(stage, FOLDS)):
        s3.delete_object(Bucket=DATA_BUCKET, Key=key)
    if milliseconds:
        stage.fault("latency", f"milliseconds={milliseconds}", "service=s3", "action=PutObject")
    run = stage.play(*TRAINING, *_source(stage), settings={})
    run.wait_for("the moment", lambda: ready(stage, run))
    _reclaim(stage, run)
    run.wait_for("the second instance", lambda: any(i.tags.get("attempt") == "2" for i in stage.instances()))
    stage.fault("clear")
    run.wait()
    seen = Seen(run)
    training = run.receipt().get("training") or {}
    seen.check(bool(training.get("resumed_folds")), "no fold of the first attempt was reused")
    seen.check(bool(undisturbed), "the undisturbed training promoted nothing")
    seen.check(_weights(stage) == undisturbed, "the promoted weights differ from those of an undisturbed training")
    return seen


def _some_folds(stage: Stage, run: Playbook, some: int = 5) -> bool:
    return bool(run.run_id) and len(_keys(stage, FOLDS)) >= some


def _first_live_file(stage: Stage, run: Playbook) -> bool:
    """Wait until the training has written its first file; slow down all writes from the eighth fold on."""
    if not stage.memory.get(run.run_id):
        if not _some_folds(stage, run, 8):
            return False
        stage.fault("latency", "milliseconds=700", "service=s3", "action=PutObject")
        stage.memory[run.run_id] = True
    return bool(_keys(stage, f"{VERSIONS}{RUN_DATE}-{run.run_id}/"))


DRILLS = [
    Drill("reclaim-bootstrap", "EC2 reclaims the spot instance", "bootstrap",
          Expected("passed", (0,), attempts=2),
          functools.partial(_once, replace(PHASES["bootstrap"], arguments=TRAINING))),
    Drill("reclaim-fold", "EC2 reclaims the spot instance", "fold k of the training",
          Expected("passed", (0,), attempts=2),
          functools.partial(_resumed, _some_folds, 300), group="resumed"),
    Drill("reclaim-promotion", "EC2 reclaims the spot instance", "promotion",
          Expected("passed", (0,), attempts=2),
          functools.partial(_resumed, _first_live_file, 0), group="resumed"),
    Drill("reclaim-twice", "EC2 reclaims two instances in a row", "bootstrap, training",
          Expected("interrupted", (75,), attempts=2, says="attempt 2 was the last of 2: run it again"), _twice),
    Drill("reclaim-preflight", "EC2 reclaims the spot instance", "preflight",
          Expected("interrupted", (75,), attempts=1, says="preflights do not resume"),
          functools.partial(_once, PHASES["preflight"]), fast=True),
]  # fmt: skip
