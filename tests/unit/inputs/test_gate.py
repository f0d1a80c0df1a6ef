"""The checks of extra variables."""

from __future__ import annotations

import string
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.parsing.vault import EncryptedString, VaultLib, VaultSecret, VaultSecretsContext
from ansible_collections.spot_train.core.plugins.module_utils.inputs import gate
from ansible_collections.spot_train.core.plugins.module_utils.inputs.values import (
    InputError,
    convert,
    known_inputs,
    known_of,
    same,
)
from hypothesis import given, settings
from hypothesis import strategies as st

ROOT = Path(__file__).resolve().parents[3]
KNOWN = gate.inputs_of()
#: 200 examples with 100 values each.
EXAMPLES, VALUES = 200, 100


def refusal(extra: dict[str, Any], *allowed: str) -> str:
    with pytest.raises(InputError) as caught:
        gate.convert_extra(extra, KNOWN, allowed)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture
def vault(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Return a function that encrypts text as `!vault` values are."""
    secret = VaultSecret(b"password")
    monkeypatch.setattr(VaultSecretsContext, "_current", None)
    VaultSecretsContext.initialize(VaultSecretsContext(secrets=[("default", secret)]))
    yield lambda text: EncryptedString(ciphertext=VaultLib().encrypt(text, secret).decode())


def test_extra_variables_are_replaced_by_converted_ones() -> None:
    extra: dict[str, Any] = {
        "preflight_only": "yes",
        "spot_instance_volume_gb": "40",
        "spot_instance_markets": ["spot"],
        "awx_job_id": 7,
        "colour": "blue",
    }

    gate.replace(extra, KNOWN)

    assert extra == {
        "preflight_only": True,
        "spot_instance_volume_gb": 40,
        "spot_instance_markets": ["spot"],
        "awx_job_id": 7,
        "colour": "blue",
    }
    del extra["colour"]
    gate.check_converted(extra, gate.convert_extra(extra, KNOWN))


def test_refused_value_leaves_all_as_given() -> None:
    extra = {"preflight_only": "yes", "spot_instance_volume_gb": "many"}

    gate.replace(extra, KNOWN)

    assert extra == {"preflight_only": "yes", "spot_instance_volume_gb": "many"}


@pytest.mark.parametrize("extra", [{"preflight_only": "yes"}, {"runs_dir": "~/runs"}, {"run_attempts": "1"}])
def test_missing_callback_is_reported(extra: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="is not loaded"):
        gate.check_converted(extra, gate.convert_extra(extra, KNOWN))


@pytest.mark.parametrize("jinja", ["{{ lookup('pipe', 'id') }}", "{% set x %}", "a {# comment"])
@pytest.mark.parametrize("name", [name for name in KNOWN if KNOWN[name].get("type", "str") in ("str", "path", "raw")])
def test_jinja_in_input_is_refused(name: str, jinja: str) -> None:
    assert refusal({name: jinja}).startswith(f"{name}: expected a value without Jinja, got text with {{")


@pytest.mark.parametrize(
    "extra",
    [
        {"training_source": {"train_command": ["{{ x }}"]}},
        {"spot_instance_subnet_filters": {"{{ x }}": "y"}},
        {"spot_instance_types": [["{{ x }}"]]},
        {"ansible_aws_ssm_plugin": "{{ x }}"},
    ],
)
def test_nested_jinja_is_refused(extra: dict[str, Any]) -> None:
    assert "expected a value without Jinja" in refusal(extra)


@pytest.mark.parametrize(
    "name",
    [
        "connection",
        "python_interpreter",
        "become",
        "become_user",
        "become_method",
        "host",
        "user",
        "port",
        "ssh_common_args",
        "shell_executable",
        "remote_tmp",
        "aws_ssm_instance_id",
        "aws_ssm_bucket_name",
        "check_mode",
    ],
)
def test_connection_variable_is_refused(name: str) -> None:
    extra: dict[str, Any] = {f"ansible_{name}": "x"}

    assert refusal(extra, f"ansible_{name}").startswith(f"ansible_{name}: expected no connection variable as an extra")
    with pytest.raises(InputError, match="expected no connection variable"):
        gate.replace(extra, KNOWN)


@pytest.mark.parametrize(
    "name",
    [
        "awx_job_id",
        "awx_job_template_name",
        "awx_user_email",
        "awx_workflow_job_id",
        "awx_project_revision",
        "awx_parent_job_schedule_id",
        "awx_webhook_payload",
        "tower_job_id",
        "tower_schedule_name",
        "ansible_aws_ssm_timeout",
        "spot_train_run",
    ],
)
def test_variable_of_an_engine_is_ignored(name: str) -> None:
    assert gate.convert_extra({name: "7"}, KNOWN) == {}


def test_unknown_name_suggests_the_closest() -> None:
    assert refusal({"preflight_onyl": True}) == "unknown input 'preflight_onyl' (did you mean 'preflight_only')"
    assert refusal({"colour": "blue"}) == "unknown input 'colour' (docs/inputs.md lists the inputs)"
    assert refusal({1: "blue"}).startswith("unknown input '1'")  # type: ignore[dict-item]
    assert refusal({"spot_instance_run_id": "a"}).startswith("unknown input 'spot_instance_run_id'")


def test_allowed_variables_of_others_are_ignored() -> None:
    extra = {"team_model": "{{ x }}", "colour": 1}

    assert gate.convert_extra(extra, KNOWN, gate.check_allowed(["team_*", "colour"])) == {}
    assert "'team_model'" in refusal(extra, "team_", "colour")


@pytest.mark.parametrize(
    "name", ["*", "", "a b", "run", "r*", "run_*", "spot_instance_run_id", "spot*", "__x", "ansible_*"]
)
def test_own_variables_cannot_be_allowed(name: str) -> None:
    with pytest.raises(InputError, match=r"^run_allowed_extra: expected "):
        gate.check_allowed([name])


def test_only_playbook_takes_its_inputs_and_the_allowed_list() -> None:
    known = gate.inputs_of(["run_id", "spot_instance_end_at_most", "awx_token"])

    assert known.keys() == {"run_id", "spot_instance_end_at_most", "awx_token", "run_allowed_extra"}
    assert gate.convert_extra({"spot_instance_end_at_most": "2"}, known) == {"spot_instance_end_at_most": 2}
    with pytest.raises(InputError, match="unknown input 'preflight_only'"):
        gate.convert_extra({"preflight_only": True}, known)


@pytest.mark.parametrize("playbook", sorted((ROOT / "playbooks").glob("*.yml")), ids=lambda path: path.stem)
def test_every_input_of_a_playbook_has_a_type(playbook: Path) -> None:
    tasks = [task for play in yaml.safe_load(playbook.read_text()) for task in play.get("tasks") or []]
    gates = [task["spot_train.core.run_inputs"] or {} for task in tasks if "spot_train.core.run_inputs" in task]

    assert playbook.stem == "attempt" or len(gates) == 1
    own = {"run_id", "run_ended_by", "to"}  # text, without a role
    assert {name for one in gates for name in one.get("only", ())} - own <= known_inputs(
        gate.ROLES, known_of(gate.ROLES / "run_open"), without=()
    ).keys() | {"aws_account_delete_data"}


def test_vaulted_value_is_decrypted_and_may_hold_braces(vault: Any) -> None:
    extra = {"run_report_smtp_password": vault("pass{{word"), "spot_instance_volume_gb": vault("40")}

    gate.replace(extra, KNOWN)

    assert extra == {"run_report_smtp_password": "pass{{word", "spot_instance_volume_gb": 40}


def test_vaulted_value_is_not_in_messages(vault: Any) -> None:
    said = refusal({"spot_instance_volume_gb": vault("hunter2")})

    assert said == "spot_instance_volume_gb: expected a whole number, got text"


def test_vaulted_value_without_password_is_one_line(vault: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    value = vault("x")
    monkeypatch.setattr(VaultSecretsContext, "_current", None)
    VaultSecretsContext.initialize(VaultSecretsContext(secrets=[("default", VaultSecret(b"another"))]))

    assert refusal({"project": value}) == "project: cannot decrypt the vaulted value: check the vault password"


_TEXTS = st.one_of(
    st.text(max_size=8),
    st.text(alphabet=string.digits + "-+._eE", max_size=12),
    st.sampled_from(
        [
            *("", "true", "No", "spot", "smoke", "nan", "inf", "1e999", "0x10", "-0", "\0", "\ud800", "~", "~x/", "²"),
            *("{{ x }}", "{#", "9" * 5000, "/x" * 2500, "a" * 300, "2022-02-30", "../..", "null", "\n", "[]", "{}"),
        ]
    ),
)
_SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.just(10**5000),
    st.floats(),
    st.dates(),
    st.binary(max_size=4),
    st.just(object()),
    _TEXTS,
)
_ODD = st.one_of(
    _SCALARS,
    st.lists(_SCALARS, max_size=3),
    st.dictionaries(
        st.one_of(_TEXTS, st.integers(), st.sampled_from(sorted(KNOWN["training_source"]["options"]))),
        _SCALARS,
        max_size=3,
    ),
    st.lists(st.lists(_SCALARS, max_size=2), max_size=2),
)
_TYPES: dict[str, Any] = {
    "bool": bool, "int": int, "float": float, "str": str, "path": str, "list": list, "dict": dict,
}  # fmt: skip


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(sorted(KNOWN)), _ODD), min_size=VALUES, max_size=VALUES))
def test_odd_value_is_refused_or_has_its_type(cases: list[tuple[str, Any]]) -> None:
    for name, value in cases:
        spec = KNOWN[name]
        try:
            converted = gate.convert_extra({name: value}, KNOWN)[name]
        except InputError as error:
            assert "\n" not in str(error)
            assert len(str(error)) < 500
            continue
        kind = spec.get("type", "str")
        if kind == "raw":
            continue
        assert isinstance(converted, _TYPES[kind])
        assert kind != "int" or not isinstance(converted, bool)
        if kind == "list":
            assert all(isinstance(entry, _TYPES[spec["elements"]]) for entry in converted)
        if choices := spec.get("choices"):
            assert set(converted if kind == "list" else [converted]) <= set(choices)
        assert same(convert(name, converted, spec), converted)
