"""JSON answers and tool calls that are, or are not, what was asked for."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotage.route.answer import Answer
from pilotage.route.call import Call
from pilotage.route.verifiers import SchemaVerifier, Verdict
from pilotage.route.verifiers.conformance import Undecided, fault_of
from pilotage.route.verifiers.strict_json import parsed

PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string", "minLength": 1}, "age": {"type": "integer"}},
    "required": ["name", "age"],
    "additionalProperties": False,
}
WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
}


def verdict(answer: Answer, **body: Any) -> Verdict:
    call = Call(body={"messages": [{"role": "user", "content": "Hi"}], **body}, request_id="r")
    return asyncio.run(SchemaVerifier().verify(call, answer, "small"))


def of_format(text: str, kind: str = "json_schema", schema: Any = PERSON) -> Verdict:
    holder = {"json_schema": {"name": "x", "schema": schema}} if kind == "json_schema" else {}
    return verdict(Answer(text=text), response_format={"type": kind, **holder})


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"name": "Ada", "age": 36}', ""),
        ('  {"name": "Ada", "age": 36.0}\n', ""),
        ('{"name": "Ada"}', "schema: required: 1 missing"),
        ('{"name": "Ada", "age": "36"}', "schema: property 2: type: not integer"),
        ('{"name": "Ada", "age": true}', "schema: property 2: type: not integer"),
        ('{"name": "", "age": 1}', "schema: property 1: minLength: 0"),
        ('{"name": "A", "age": 1, "x": 2}', "schema: property 3: nothing is allowed there"),
        ('```json\n{"name": "Ada", "age": 36}\n```', "not JSON"),
        ('{"name": "Ada", "age": 36} I hope this helps', "not JSON"),
        ('{"name": "Ada", "name": "Eve", "age": 36}', "not JSON"),
        ('{"name": "Ada", "age": NaN}', "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("", "not JSON"),
    ],
)
def test_a_json_schema(text: str, reason: str) -> None:
    found = of_format(text)
    assert (found.reason, found.fault) == (reason, reason != "")
    assert found.score == (0.0 if reason else None)


@pytest.mark.parametrize(
    ("text", "fault"), [("{}", False), ('{"a": [1]}', False), ("[1]", True), ("{", True)]
)
def test_a_json_object(text: str, fault: bool) -> None:
    assert of_format(text, "json_object").fault is fault


@pytest.mark.parametrize("wanted", [None, {"type": "text"}, "json", [], {"type": ["x"]}])
def test_without_a_format_anything_goes(wanted: Any) -> None:
    if isinstance(wanted, dict) and isinstance(wanted["type"], list):
        wanted = {"type": "other"}
    assert verdict(Answer(text="{"), response_format=wanted) == Verdict()


@pytest.mark.parametrize(
    ("name", "arguments", "reason"),
    [
        ("weather", '{"city": "Bern"}', ""),
        ("wether", '{"city": "Bern"}', "tool call: no such tool"),
        (None, "{}", "tool call: no such tool"),
        ("weather", '{"city": ', "tool call: the arguments are not JSON"),
        ("weather", '["Bern"]', "tool call: the arguments are not an object"),
        ("weather", "", "tool call: required: 1 missing"),
        ("weather", {"city": "Bern"}, "tool call: the arguments are not JSON"),
    ],
)
def test_tool_calls(name: Any, arguments: Any, reason: str) -> None:
    call = {"id": "1", "type": "function", "function": {"name": name, "arguments": arguments}}
    found = verdict(Answer(tool_calls=(call,)), tools=[WEATHER])
    assert found.reason == reason


def test_a_tool_call_that_was_required_and_is_not_there() -> None:
    for choice in ("required", {"type": "function", "function": {"name": "weather"}}):
        found = verdict(Answer(text="Rain"), tools=[WEATHER], tool_choice=choice)
        assert found.reason == "no tool call, though one was required"
    assert verdict(Answer(text="Rain"), tools=[WEATHER], tool_choice="auto") == Verdict()
    assert verdict(Answer(tool_calls=({"function": None},))).fault


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#"},
        {"$ref": "#/$defs/none"},
        {"$ref": "http://example.com/schema"},
        {"type": "text"},
        {"type": [3, "object"]},
        {"required": 3},
        {"enum": "abc"},
        {"properties": {"a": 3}},
        {"minProperties": "1"},
        "schema",
    ],
)
def test_schemas_that_are_none_are_not_held_against_an_answer(schema: Any) -> None:
    with pytest.raises(Undecided):
        fault_of({"a": 1}, schema)
    assert of_format('{"a": 1}', schema=schema) == Verdict()


def test_time_is_bounded() -> None:
    wide = {"anyOf": [{"$ref": "#"}] * 50}
    with pytest.raises(Undecided):
        fault_of(1, {"items": wide, **wide})
    nested: Any = []
    for _ in range(200):
        nested = [nested]
    with pytest.raises(Undecided):
        fault_of(nested, {"items": {"$ref": "#"}})
    assert fault_of([1] * 15_000, {"items": {"type": "integer"}}) is None


def test_values_are_as_deep_as_they_like() -> None:
    for depth in (50, 400, 900):
        text = "[" * depth + "]" * depth
        try:
            schema = {"const": json.loads(text), "enum": [json.loads(text)]}
        except RecursionError:
            continue
        assert not of_format(text, schema=schema).fault


def test_a_fault_names_nothing_of_the_answer() -> None:
    secret = "hunter2"
    found = of_format(json.dumps({"name": "", "age": secret, secret: 1}))
    assert found.fault
    assert secret not in found.reason


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.sampled_from(["", "a", "ab"])
    | st.just(1.5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3)
    ),
    max_leaves=8,
)
types = st.sampled_from(["object", "array", "string", "number", "integer", "boolean", "null"])
small = st.integers(0, 3)
leaves = st.fixed_dictionaries(
    {},
    optional={
        "type": types | st.lists(types, min_size=1, max_size=3, unique=True),
        "const": values,
        "enum": st.lists(values, min_size=1, max_size=3),
        "minimum": small,
        "exclusiveMaximum": small,
        "minLength": small,
        "maxLength": small,
        "minItems": small,
        "maxItems": small,
        "minProperties": small,
        "required": st.lists(st.sampled_from("abc"), unique=True, max_size=2),
    },
)
schemas = st.recursive(
    leaves | st.booleans(),
    lambda inner: st.fixed_dictionaries(
        {},
        optional={
            "properties": st.dictionaries(st.sampled_from("abc"), inner, max_size=2),
            "additionalProperties": inner,
            "items": inner,
            "prefixItems": st.lists(inner, min_size=1, max_size=2),
            "anyOf": st.lists(inner, min_size=1, max_size=3),
            "oneOf": st.lists(inner, min_size=1, max_size=3),
            "allOf": st.lists(inner, min_size=1, max_size=3),
            "not": inner,
            "$defs": st.fixed_dictionaries({"x": inner}),
        },
    ),
    max_leaves=6,
)


@given(schemas, values)
def test_it_says_what_the_reference_validator_says(schema: Any, value: Any) -> None:
    valid = jsonschema.Draft202012Validator(schema).is_valid(value)
    assert (fault_of(value, schema) is None) is valid


@given(st.text() | st.binary().map(lambda raw: raw.decode("latin-1")))
def test_strict_json_is_a_part_of_json(text: str) -> None:
    try:
        value = parsed(text)
    except ValueError:
        return
    assert json.loads(text) == value
