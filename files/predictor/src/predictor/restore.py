"""Promote an archived set of weights again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from predictor import manifest, s3_keys, weight_sets
from predictor.aws import read_object
from predictor.errors import PredictorError
from predictor.manifest import Entry, LostRace, Manifest, ManifestError
from predictor.output import to_json

NOTHING = "nothing was changed"


def empty(run_date: str, run_id: str) -> dict[str, Any]:
    """The initial result of a restoration."""
    return {
        "run_date": run_date,
        "restored_by": run_id,
        "changed": False,
        "run_id": None,
        "version": None,
        "manifest_etag": None,
        "replaced": None,
        "written": [],
        "detail": None,
        "error": None,
    }


def restore(client: Any, bucket: str, run_date: str, run_id: str, result: dict[str, Any]) -> None:
    """Put the set archived for a day live as a training does: the manifest last, conditionally.

    If the version that the archive's manifest names is intact, it is used; otherwise the archive's files are copied
    into a new version. A set that is already live is left alone.

    Args:
        client: boto3 S3 client.
        bucket: Data bucket.
        run_date: The day, `YYYY-MM-DD`.
        run_id: Id of this restoration, part of a new version's name.
        result: From `empty`; filled in step by step.

    Raises:
        ManifestError: The set does not exist, did not pass its gates, or is damaged.
        LostRace: Another set went live meanwhile.
        BucketError: S3 refused or could not be reached.
    """
    there = manifest.read_live(client, bucket)
    try:
        before = there.manifest()
    except ManifestError as error:
        before, replacing = None, f" in place of an invalid manifest ({error})"
    else:
        replacing = "" if before is None else f" in place of run {before.run_id} of {before.run_date}"
    wanted = _archived(client, bucket, run_date)
    result["run_id"] = wanted.run_id
    if before is not None and before.digests() == wanted.digests() and not weight_sets.findings(client, bucket, before):
        result.update(version=before.version, manifest_etag=there.etag)
        result["detail"] = f"the set of run {wanted.run_id} of {run_date} is already live; {NOTHING}"
        return
    version, entries = _whole_version(client, bucket, wanted) or _copied(client, bucket, wanted, run_id, result)
    replaced = None if before is None else {"version": before.version, "run_id": before.run_id}
    rows = entries.pop(s3_keys.OUT_OF_SAMPLE)
    document = {
        **wanted.document,
        "version": version,
        "replaced": replaced,
        "restored": {"by": run_id, "at": datetime.now(UTC).isoformat(timespec="seconds"), "archive": run_date},
        "files": entries,
        "out_of_sample": rows,
    }
    try:
        etag = manifest.replace_live(client, bucket, to_json(document), there.etag)
    except LostRace as error:
        raise LostRace(f"{error}; nothing was restored") from error
    result["written"].append(s3_keys.LIVE_MANIFEST)
    result.update(changed=True, version=version, manifest_etag=etag, replaced=replaced)
    result["detail"] = f"run {wanted.run_id} of {run_date} is live again (version {version}){replacing}"


def _archived(client: Any, bucket: str, run_date: str) -> Manifest:
    """The manifest of an archived set, if it may go live.

    Raises:
        ManifestError: See `restore`.
    """
    try:
        wanted = weight_sets.archived(client, bucket, run_date)
    except PredictorError as error:
        raise ManifestError(f"{error}; {NOTHING}") from error
    if not wanted.files:
        raise ManifestError(f"the archive of {run_date} lists no files; {NOTHING}")
    if not wanted.promoted:
        failed = ", ".join(_failed_gates(wanted)) or "unknown which"
        raise ManifestError(f"the set archived for {run_date} did not pass its gates ({failed}); {NOTHING}")
    return wanted


def _failed_gates(wanted: Manifest) -> Iterator[str]:
    gates = wanted.document.get("gates")
    for gate in gates if isinstance(gates, list) else []:
        if isinstance(gate, dict) and gate.get("blocking") and not gate.get("passed"):
            yield str(gate.get("name"))


def _whole_version(client: Any, bucket: str, wanted: Manifest) -> tuple[str, dict[str, dict[str, Any]]] | None:
    """The version under which an archived set once went live, and its entries; None if it is damaged."""
    entries = {
        name: Entry(s3_keys.versioned(wanted.version, name), entry.sha256, entry.bytes)
        for name, entry in wanted.objects().items()
    }
    rows = entries.pop(s3_keys.OUT_OF_SAMPLE)
    there = Manifest(wanted.version, wanted.run_id, wanted.run_date, True, entries, rows, {})
    if weight_sets.findings(client, bucket, there):
        return None
    return wanted.version, {name: asdict(entry) for name, entry in there.objects().items()}


def _copied(
    client: Any, bucket: str, wanted: Manifest, run_id: str, result: dict[str, Any]
) -> tuple[str, dict[str, dict[str, Any]]]:
    """Copy an archived set into a new version; returns its name and entries.

    Raises:
        ManifestError: The archive is damaged; the text names every damaged file.
    """
    bodies, wrong = {}, []
    for name, entry in wanted.objects().items():
        body = read_object(client, bucket, entry.key)
        if body is None:
            wrong.append(f"{entry.key} is missing")
        elif manifest.sha256(body) != entry.sha256:
            wrong.append(f"{entry.key} differs from its manifest's SHA-256")
        else:
            bodies[name] = body
    if wrong:
        raise ManifestError(f"the set archived for {wanted.run_date} is damaged: {'; '.join(wrong)}; {NOTHING}")
    version = s3_keys.version(wanted.run_date, run_id)
    entries = {}
    for name, body in bodies.items():
        key = s3_keys.versioned(version, name)
        entries[name] = manifest.entry(key, body)
        description = manifest.describe(name, entries[name], {**wanted.document, "version": version})
        manifest.put_new(client, bucket, key, body, s3_keys.content_type(name))
        result["written"].append(key)
        manifest.put_new(client, bucket, s3_keys.description(key), to_json(description), "application/json")
        result["written"].append(s3_keys.description(key))
    return version, entries
