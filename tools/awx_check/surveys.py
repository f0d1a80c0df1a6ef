"""Surveys: AWX's validation, and the variables that the answers become."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: Type of a question -> Python type of its default.
TYPES: Mapping[str, type | tuple[type, ...]] = {
    "text": str,
    "textarea": str,
    "password": str,
    "multiplechoice": str,
    "multiselect": str,
    "integer": int,
    "float": (float, int),
}
REQUIRED_KEYS = ("type", "question_name", "variable", "required")
#: The keys of a question that AWX, its modules or its pages read. AWX stores any others.
KEYS = {*REQUIRED_KEYS, "question_description", "default", "choices", "min", "max", "new_question"}


def problem(spec: Any) -> str:
    """The first reason for which AWX refuses a survey, or an empty string."""
    if not isinstance(spec, dict):
        return "Invalid data. Expected a dictionary."
    for name, kind, word in (("name", str, "string"), ("description", str, "string"), ("spec", list, "list of items")):
        if name not in spec:
            return f"Field '{name}' is missing from survey spec."
        if not isinstance(spec[name], kind):
            return f"Expected {word} for field '{name}', received {type(spec[name]).__name__} type."
    if unknown := set(spec) - {"name", "description", "spec"}:
        return f"Unknown field '{min(unknown)}' in survey spec."
    if not spec["spec"]:
        return "'spec' doesn't contain any items."
    seen: set[str] = set()
    for number, question in enumerate(spec["spec"]):
        if found := _problem_of_question(number, question, seen):
            return found
        seen.add(question["variable"])
    return ""


def _problem_of_question(number: int, question: Any, seen: set[str]) -> str:
    where = f"survey question {number}"
    if not isinstance(question, dict):
        return f"Survey question {number} is not a json object."
    for name in REQUIRED_KEYS:
        if name not in question:
            return f"'{name}' missing from {where}"
        kind, word = (bool, "boolean") if name == "required" else (str, "string")
        if not isinstance(question[name], kind):
            return f"'{name}' in {where} expected to be {word}."
    if unknown := set(question) - KEYS:
        return f"Unknown key '{min(unknown)}' in {where}"
    if question["variable"] in seen:
        return f"'variable' '{question['variable']}' duplicated in {where}."
    if question["type"] not in TYPES:
        return f"'{question['type']}' in {where} is not one of '{', '.join(TYPES)}' allowed question types."
    for name in ("min", "max"):
        if isinstance(question.get(name), bool) or not isinstance(question.get(name), int | None):
            return f"The {name} limit in {where} expected to be integer."
    default = question.get("default", "")
    if default != "" and (isinstance(default, bool) or not isinstance(default, TYPES[question["type"]])):
        word = question["type"] if question["type"] in ("integer", "float") else "string"
        return f"Default value {default} in {where} expected to be {word}."
    if question["type"] in ("multiplechoice", "multiselect"):
        return _problem_of_choices(question, where)
    if isinstance(default, str) and default.startswith("$encrypted$"):
        return f"$encrypted$ is a reserved keyword, may not be used for new default in position {number}."
    return ""


def _problem_of_choices(question: Mapping[str, Any], where: str) -> str:
    if "choices" not in question:
        return f"{where.capitalize()} of type {question['type']} must specify choices."
    defaults = [line for line in question.get("default", "").splitlines() if line.strip()]
    if question["type"] == "multiplechoice" and len(defaults) > 1:
        return "Multiple Choice (Single Select) can only have one default value."
    if any(default not in choices_of(question) for default in defaults):
        return "Default choice must be answered from the choices listed."
    return ""


def choices_of(question: Mapping[str, Any]) -> list[str]:
    """The choices of a question, given as a list or as lines."""
    choices = question["choices"]
    if isinstance(choices, str):
        return [line for line in choices.splitlines() if line.strip()]
    return list(choices)


def shown(spec: Mapping[str, Any]) -> dict[str, Any]:
    """A survey as the API shows it: without default passwords."""
    questions = [
        {**one, "default": "$encrypted$"} if one["type"] == "password" and one.get("default") else one
        for one in spec.get("spec", [])
    ]
    return {**spec, "spec": questions} if spec else {}


def answer_problems(spec: Mapping[str, Any], answers: Mapping[str, Any], complete: bool = True) -> list[str]:
    """Why AWX refuses answers to a survey; empty if it accepts them.

    `answers` may contain other variables. `complete` demands an answer to each required question.
    """
    found = []
    for question in spec.get("spec", []):
        name = question["variable"]
        if name not in answers:
            if question["required"] and complete:
                found.append(f"'{name}' value missing")
            continue
        found += _answer_problems(question, answers[name])
    return found


def _answer_problems(question: Mapping[str, Any], value: Any) -> list[str]:
    name, kind = question["variable"], question["type"]
    if kind in ("text", "textarea", "password"):
        if not isinstance(value, str):
            return [f"Value {value} for '{name}' expected to be a string."]
        return _out_of_bounds(question, len(value), f"'{name}' value {value}")
    if kind in ("integer", "float"):
        numbers = int if kind == "integer" else int | float
        if isinstance(value, bool) or not isinstance(value, numbers):
            return [
                f"Value {value} for '{name}' expected to be {'an integer' if kind == 'integer' else 'a numeric type'}."
            ]
        return _out_of_bounds(question, value, f"'{name}' value {value}")
    choices = choices_of(question)
    if kind == "multiselect" and not isinstance(value, list):
        return [f"'{name}' value is expected to be a list."]
    chosen = value if kind == "multiselect" else [value]
    return [f"Value {one} for '{name}' expected to be one of {choices}." for one in chosen if one not in choices]


def _out_of_bounds(question: Mapping[str, Any], size: float, what: str) -> list[str]:
    low, high = question.get("min"), question.get("max")
    if low is not None and size < low:
        return [f"{what} is too small (must be at least {low})."]
    if high is not None and size > high:
        return [f"{what} is too large (must be no more than {high})."]
    return []


def defaults(spec: Mapping[str, Any]) -> dict[str, Any]:
    """The variables of an unanswered survey: the defaults that are valid answers.

    As in AWX, the default of a `multiselect` is a string, hence not a valid answer, and sets no variable.
    """
    return {
        question["variable"]: question["default"]
        for question in spec.get("spec", [])
        if question.get("default") is not None and not _answer_problems(question, question["default"])
    }
