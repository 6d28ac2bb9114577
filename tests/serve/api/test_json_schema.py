import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotage.serve.api.errors import ApiError
from pilotage.serve.api.json_schema import engine_schema
from pilotage.serve.api.json_schema_pattern import check_pattern

STRING = {"type": "string"}
PERSON = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "Person",
    "type": "object",
    "properties": {
        "name": {"type": "string", "minLength": 1, "maxLength": 20, "description": "Full name"},
        "born": {"type": "string", "format": "date"},
        "age": {"anyOf": [{"type": "integer", "minimum": 0, "maximum": 150}, {"type": "null"}]},
        "tags": {"type": "array", "items": STRING, "maxItems": 5},
        "pair": {"type": "array", "prefixItems": [STRING, {"type": "number"}]},
        "kind": {"enum": ["a", "b"], "type": "string"},
        "parent": {"anyOf": [{"$ref": "#/$defs/Person"}, {"type": "null"}], "default": None},
        "code": {"type": "string", "pattern": "^[A-Z]{2}-\\d+$"},
    },
    "required": ["name", "age"],
    "additionalProperties": False,
    "$defs": {"Person": {"type": "object", "properties": {"name": STRING}}},
}


def given_to_engine(schema):
    return json.loads(engine_schema(schema))


def refusal(schema) -> ApiError:
    with pytest.raises(ApiError) as caught:
        engine_schema(schema, "schema")
    assert caught.value.status == 400
    assert caught.value.code == "invalid_json_schema"
    return caught.value


def test_a_usual_schema_passes_without_its_annotations():
    passed = given_to_engine(PERSON)
    assert list(passed["properties"]) == list(PERSON["properties"])  # the order of the answer
    assert "title" not in passed
    assert "description" not in passed["properties"]["name"]
    assert passed["properties"]["name"]["maxLength"] == 20
    assert passed["properties"]["parent"]["anyOf"][0] == {"$ref": "#/$defs/Person"}


def test_what_the_compiler_would_close_is_opened():
    assert given_to_engine({"type": "object"}) == {"type": "object", "additionalProperties": True}
    assert given_to_engine({"type": "array"}) == {"type": "array", "items": True}
    pair = {"type": "array", "prefixItems": [STRING]}
    assert given_to_engine(pair) == pair | {"items": False}


def test_types_that_keywords_stand_for():
    assert given_to_engine({"properties": {}, "additionalProperties": False})["type"] == "object"
    assert given_to_engine({"items": STRING})["type"] == "array"


@pytest.mark.parametrize(
    ("schema", "where"),
    [
        ({"not": {}}, "schema.not"),
        ({"oneOf": [STRING]}, "schema.oneOf"),
        ({"type": "array", "uniqueItems": True}, "schema.uniqueItems"),
        ({"type": "integer", "multipleOf": 2}, "schema.multipleOf"),
        ({"type": "object", "patternProperties": {}}, "schema.patternProperties"),
        ({"allOf": [STRING, STRING]}, "schema.allOf"),
        ({"anyOf": []}, "schema.anyOf"),
        ({"anyOf": [STRING], "type": "string"}, "schema.type"),
        ({"$ref": "#", "anyOf": [STRING]}, "schema.anyOf"),
        ({"enum": []}, "schema.enum"),
        ({"enum": [1, "a"], "type": "string"}, "schema.enum"),
        ({"const": True, "type": "integer"}, "schema.const"),
        ({"const": 2**60}, "schema.const"),
        ({"enum": list(range(600))}, "schema.enum"),
        ({"type": "text"}, "schema.type"),
        ({"type": []}, "schema.type"),
        ({"type": [["string"]]}, "schema.type"),
        ({"type": ["string", "string"]}, "schema.type"),
        ({"minimum": 3}, "schema.minimum"),
        ({"type": "string", "minimum": 3}, "schema.minimum"),
        ({"type": "integer", "minimum": 1.5}, "schema.minimum"),
        ({"type": "number", "minimum": 0.5}, "schema.minimum"),
        ({"type": "number", "exclusiveMinimum": 0}, "schema.exclusiveMinimum"),
        ({"type": "integer", "minimum": 10**13}, "schema.minimum"),
        ({"type": "integer", "minimum": True}, "schema.minimum"),
        ({"type": "integer", "minimum": 2, "maximum": 1}, "schema"),
        ({"type": "integer", "exclusiveMinimum": 0, "exclusiveMaximum": 1}, "schema"),
        ({"type": "integer", "minimum": 0, "exclusiveMinimum": 1}, "schema.exclusiveMinimum"),
        ({"type": "string", "minLength": 5, "maxLength": 4}, "schema.minLength"),
        ({"type": "string", "maxLength": 65}, "schema.maxLength"),
        ({"type": "string", "maxLength": -1}, "schema.maxLength"),
        ({"type": "string", "maxLength": True}, "schema.maxLength"),
        ({"type": "string", "format": "regex"}, "schema.format"),
        ({"type": "string", "format": ["date"]}, "schema.format"),
        ({"type": "string", "format": "date", "maxLength": 5}, "schema.maxLength"),
        ({"type": "string", "pattern": "a"}, "schema.pattern"),
        ({"type": "string", "pattern": 5}, "schema.pattern"),
        ({"type": "string", "pattern": "^[a-z]{65}$"}, "schema.pattern"),
        ({"type": "array", "items": False, "minItems": 1}, "schema.minItems"),
        ({"type": "array", "prefixItems": [STRING], "minItems": 2}, "schema.minItems"),
        ({"type": "array", "prefixItems": [STRING], "maxItems": 0}, "schema.maxItems"),
        ({"type": "array", "prefixItems": []}, "schema.prefixItems"),
        ({"type": "array", "items": [STRING]}, "schema.items"),
        ({"type": "array", "maxItems": 10**6}, "schema.maxItems"),
        ({"type": "object", "required": ["a"]}, "schema.required"),
        ({"type": "object", "properties": {"a": False}}, "schema.properties.a"),
        ({"type": "object", "properties": {"a": {"not": {}}}}, "schema.properties.a.not"),
        ({"type": "object", "properties": {'a"': {}}}, "schema.properties"),
        ({"type": "object", "properties": {"a\n": {}}}, "schema.properties"),
        ({"type": "object", "properties": []}, "schema.properties"),
        ({"type": "object", "additionalProperties": 1}, "schema.additionalProperties"),
        ({"type": "array", "items": {"$defs": {}}}, "schema.items.$defs"),
        ({"$ref": "https://example.com/schema"}, "schema.$ref"),
        ({"$ref": "#/$defs/a"}, "schema.$ref"),
        ({"$ref": "#/properties/a"}, "schema.$ref"),
        ({"$ref": 5}, "schema.$ref"),
        ({"$ref": "#/$defs/a~1b", "$defs": {"a/b": STRING}}, "schema.$ref"),
        ({"$ref": "#"}, "schema (#)"),
        ({"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/a"}}}, "schema (#/$defs/a)"),
        (
            {"$ref": "#/$defs/a", "$defs": {"a": {"anyOf": [{"$ref": "#/$defs/a"}, STRING]}}},
            "schema (#/$defs/a)",
        ),
        ({"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]}, "schema (#)"),
        ({"type": "array", "items": {"$ref": "#"}, "minItems": 1}, "schema (#)"),
    ],
)
def test_refusals_name_the_keyword_and_its_path(schema, where):
    error = refusal(schema)
    assert error.param == where
    assert f"'{where}'" in error.message


def test_recursion_that_ends():
    tree = {"type": "object", "properties": {"children": {"type": "array", "items": {"$ref": "#"}}}}
    assert given_to_engine(tree | {"required": ["children"]})
    chain = {"type": "object", "properties": {"next": {"anyOf": [{"$ref": "#"}, {"type": "null"}]}}}
    assert given_to_engine(chain | {"required": ["next"]})


def test_sizes_are_bounded():
    deep: dict = {}
    for _ in range(100):
        deep = {"items": deep}
    assert "nested" in refusal(deep).message
    wide = {"type": "object", "properties": {f"p{i}": {} for i in range(600)}}
    assert "subschemas" in refusal(wide).message
    assert "bytes" in refusal({"const": "x" * 70_000}).message
    lengths = {f"p{i}": {"type": "string", "maxLength": 20} for i in range(4)}
    assert "add up" in refusal({"type": "object", "properties": lengths}).message
    assert "nested" in refusal({"const": json.loads("[" * 50 + "]" * 50)}).message


@pytest.mark.parametrize(
    ("pattern", "counted"),
    [
        ("^a$", 1),
        ("^[A-Za-z_][\\w-]*$", 2),
        ("^\\d{4}-\\d{2}$", 7),
        ("^(foo|ba{1,3}r)+$", 8),
        ("^(?:[a-f]{2}){2,4}$", 8),
        ("^[ab]{3,}$", 3),
        ("^a{0,}$", 1),
        ("^\\+\\(\\)\\$$", 4),
    ],
)
def test_patterns(pattern, counted):
    assert check_pattern(pattern) == counted


@pytest.mark.parametrize(
    "pattern",
    [
        "abc", "^abc", "abc$", "^$", "^.$", "^[^a]$", "^\\s$", "^\\W$", '^"$', "^(?=a)$", "^(?!a)$",
        "^(?i:a)$", "^\\1$", "^a|b$", "^()$", "^(a|)$", "^(a$", "^a)$", "^[a$", "^[z-a]$", "^[]$",
        "^a{2,1}$", "^a{0}$", "^*$", "^a**$", "^a+?$", "^\\$", "^\\n$", "^\\u0041$", "^é$", "^^a$",
        "^a$$", "^[\\s]$", "^[[a]$", "^" + "(" * 20 + "a" + ")" * 20 + "$", "^" + "a" * 300 + "$",
        "^\\p{L}$", "^[\\\"]$", "^[\\\\]$", "^[!-~]$", "^[Z-a]$", "^(?<n>a)$",
    ],
)  # fmt: skip
def test_patterns_beyond_the_subset(pattern):
    with pytest.raises(ValueError, match=r"pattern|characters"):
        check_pattern(pattern)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False,
    allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(
        st.sampled_from([
            "type", "properties", "required", "additionalProperties", "items", "prefixItems",
            "minItems", "maxItems", "enum", "const", "anyOf", "allOf", "$ref", "$defs", "minimum",
            "maximum", "exclusiveMinimum", "minLength", "maxLength", "pattern", "format",
        ]) | st.text(max_size=3), inner, max_size=5),
    max_leaves=12,
)  # fmt: skip


@given(st.dictionaries(st.sampled_from(["type", "$ref", "anyOf", "items", "enum", "$defs"]), JSON))
def test_anything_is_taken_or_refused(schema):
    try:
        assert json.loads(engine_schema(schema)) is not None
    except ApiError as error:
        assert error.code == "invalid_json_schema"
