"""A training's output matches the schemas, and the schemas match docs/outputs.md."""

from __future__ import annotations

import importlib.resources
import io
import json
import re
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from jsonschema import Draft202012Validator

from tests.support.predictor import ROOT, RUN_DATE

pytestmark = pytest.mark.slow

FILES = importlib.resources.files("predictor") / "schemas"
SCHEMAS: dict[str, Any] = {
    file.name.removesuffix(".json"): json.loads(file.read_text(encoding="utf-8")) for file in FILES.iterdir()
}
# Models and their descriptions, which only inference reads.
MODELS = re.compile(
    r"predictor/weights/meta/((archive|versions)/[^/]+/)?[a-z_]+\.(txt|json|pkl|parquet)(\.meta\.json)?"
)


def _key_pattern(key: str) -> re.Pattern[str]:
    found = re.escape(key).replace("<date>", RUN_DATE).replace("<stamp>", r"\d{8}T\d{6}Z")
    return re.compile(found)


def _schema_of(key: str) -> str | None:
    """The schema that names a key."""
    return next(
        (name for name, schema in SCHEMAS.items() for one in schema["x-keys"] if _key_pattern(one).fullmatch(key)), None
    )


def _documents(bucket: Any, key: str) -> list[Any]:
    """The documents that an object's schema describes: the object, or its rows."""
    body = bucket.body(key)
    if not key.endswith(".parquet"):
        return [json.loads(body)]
    rows = pq.read_table(io.BytesIO(body)).to_pylist()
    return [{**row, "date": row["date"].isoformat()} for row in rows[:: max(1, len(rows) // 200)]]


def _errors(name: str, document: Any) -> list[str]:
    return [
        f"{error.json_path}: {error.message}" for error in Draft202012Validator(SCHEMAS[name]).iter_errors(document)
    ]


def _fields(schema: dict[str, Any], prefix: str = "") -> Iterator[str]:
    """Every field of a schema, in the notation of docs/outputs.md."""
    for name, part in schema.get("properties", {}).items():
        yield f"{prefix}{name}"
        yield from _fields(part, f"{prefix}{name}.")
        for keyword, sign in (("items", "[]"), ("additionalProperties", ".*")):
            if isinstance(inner := part.get(keyword), dict):
                yield from _fields(inner, f"{prefix}{name}{sign}.")


@pytest.mark.parametrize("name", SCHEMAS)
def test_schema_is_valid_closed_and_describes_every_field(name: str) -> None:
    Draft202012Validator.check_schema(SCHEMAS[name])
    lacking, open_ = [], []

    def walk(schema: dict[str, Any], path: str) -> None:
        if "properties" in schema and schema["additionalProperties"] is not False:
            open_.append(path)
        for field, part in schema.get("properties", {}).items():
            if not part.get("description"):
                lacking.append(f"{path}.{field}")
            walk(part, f"{path}.{field}")
        for keyword in ("items", "additionalProperties"):
            if isinstance(schema.get(keyword), dict):
                walk(schema[keyword], path)

    walk(SCHEMAS[name], name)
    assert (lacking, open_) == ([], [])


@pytest.mark.parametrize("promoted", [True, False])
def test_output_matches_the_schemas_and_uses_all_of_them(
    training: Any, momentum: Any, settings: dict[str, Any], promoted: bool
) -> None:
    if not promoted:
        settings["gates"]["median_ic"]["threshold"] = 0.99
    # The second training finds the first one's output in the bucket.
    for _ in range(2):
        assert training(momentum.name) == 0
        assert training.result["promoted"] is promoted

        seen = set()
        for key in training.result["written"]:
            name = _schema_of(key)
            if name is None:
                assert MODELS.fullmatch(key), f"{key} has no schema"
                continue
            seen.add(name)
            for document in _documents(momentum, key):
                assert _errors(name, document) == [], key
        assert seen >= set(SCHEMAS) - {"live_manifest"}
    assert _errors("live_manifest", json.loads(momentum.body("predictor/weights/meta/manifest.json"))) == []


def test_parquet_columns_match_their_schema(training: Any, momentum: Any) -> None:
    assert training(momentum.name) == 0

    table = pq.read_schema(io.BytesIO(momentum.body("predictor/diagnostics/oos_rows/latest.parquet")))

    assert table.names == list(SCHEMAS["out_of_sample"]["properties"])
    types = {"date": pa.date32(), "symbol": pa.string(), "fold": pa.int32()}
    assert {name: table.field(name).type for name in table.names} == {
        name: types.get(name, pa.float64()) for name in table.names
    }


def test_schema_refuses_extra_missing_and_invalid_fields(training: Any, momentum: Any) -> None:
    assert training(momentum.name) == 0
    health = json.loads(momentum.body("health/predictor_training.json"))

    assert _errors("health", {**health, "more": 1})
    assert _errors("health", {name: value for name, value in health.items() if name != "status"})
    assert _errors("health", {**health, "run_date": "29.12.2022"})
    assert _errors("health", {**health, "gates": [{**health["gates"][0], "passed": "yes"}]})


def test_documentation_has_exactly_the_schemas_fields_and_keys() -> None:
    page = (ROOT / "docs" / "outputs.md").read_text(encoding="utf-8")
    for name, schema in SCHEMAS.items():
        section = page.partition(f"## {schema['title']}\n")[2].partition("\n## ")[0]
        assert re.findall(r"^\| `([^`]*)` \|", section, re.MULTILINE) == list(_fields(schema)), name
        assert re.findall(r"`([^`]*)`", section.partition("Keys: ")[2].partition("\n")[0]) == [
            *schema["x-keys"],
            f"{name}.json",
        ]
    assert len(re.findall("^Keys: ", page, re.MULTILINE)) == len(SCHEMAS)
