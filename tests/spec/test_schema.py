import json
from pathlib import Path

import jsonschema_rs
import pytest
import yaml

from pilotage.spec import json_schema, load_file

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.yaml"))


@pytest.fixture(scope="module")
def validator() -> jsonschema_rs.Draft202012Validator:
    schema = json_schema()
    jsonschema_rs.meta.validate(schema)
    return jsonschema_rs.Draft202012Validator(schema)


def test_there_are_examples() -> None:
    assert len(EXAMPLES) >= 7


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_examples_satisfy_the_schema_and_the_loader(
    example: Path, validator: jsonschema_rs.Draft202012Validator
) -> None:
    validator.validate(yaml.safe_load(example.read_text()))
    spec = load_file(example)
    # What Pilotage writes, it and the editors read again.
    validator.validate(spec.model_dump(mode="json"))


@pytest.mark.parametrize(
    "data",
    [
        {"nme": "x"},
        {"slo": {"ttft_p99": "400millis"}},
        {"slo": {"ttft_p99": 0}},
        {"serving": {"kv_cache": 12}},
        {"serving": {"port": 70_000}},
        {"model": {"dtype": "bf15"}},
        {"workload": {}},
        {"deployments": []},
        {"deployments": [{"name": "a"}], "serving": {}},
        {"name": "Not A Name"},
    ],
)
def test_the_schema_refuses_what_the_loader_refuses(
    data: object, validator: jsonschema_rs.Draft202012Validator
) -> None:
    assert not validator.is_valid(data)


@pytest.mark.parametrize(
    "data", [{}, {"serving": None}, {"slo": {"ttft_p99": "1.5s"}}, {"slo": {"ttft_p99": 2}}]
)
def test_the_schema_takes_what_the_loader_takes(
    data: object, validator: jsonschema_rs.Draft202012Validator
) -> None:
    assert validator.is_valid(data)


def test_every_field_explains_itself_and_bounds_do_not_leak() -> None:
    schema = json_schema()
    for section in schema["$defs"].values():
        assert section["description"]
        for name, entry in section["properties"].items():
            assert entry.get("description"), name
    serving = schema["$defs"]["ServingSpec"]["properties"]
    assert serving["request_timeout"]["default"] == "10m"
    assert serving["kv_cache"]["anyOf"][0] == {"type": "number", "minimum": 1024**2}
    assert json.dumps(schema) == json.dumps(json_schema())
