import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotage.errors import SpecError
from pilotage.spec import InvalidSpecError, PlanFile, read_plan

PLAN: dict[str, Any] = {
    "schema": "pilotage.plan/1",
    "name": "receipts",
    "created_at": "2026-11-22T12:00:00Z",
    "pilotage": "0.1.0",
    "deployment": {
        "strategy": "ecs-gpu",
        "instance_type": "g6e.2xlarge",
        "count": 2,
        "engine": "vllm",
        "dtype": "fp8",
        "settings": {"max_num_seqs": 64, "enforce_eager": False},
    },
    "predictions": {
        "rate": 20,
        "ttft": {"p50": 0.09, "p99": 0.31},
        "e2e": {"p50": 1.1, "p90": 1.6, "p99": 1.9},
        "requests_per_s": 31.5,
        "memory_bytes": 38_000_000_000,
        "usd_per_month": 3270.4,
        "relative_error": {"ttft": 0.15},
    },
}


def changed(**parts: Any) -> dict[str, Any]:
    """PLAN with ``deployment__count=0`` set at that place."""
    plan = json.loads(json.dumps(PLAN))
    for name, value in parts.items():
        *folders, last = name.split("__")
        place = plan
        for folder in folders:
            place = place[folder]
        place[last] = value
    return plan


def written(tmp_path: Path, plan: object) -> Path:
    path = tmp_path / "plan.json"
    path.write_text(plan if isinstance(plan, str) else json.dumps(plan))
    return path


def complaint(path: Path) -> str:
    with pytest.raises(SpecError) as caught:
        read_plan(path)
    assert caught.value.exit_code == 2
    assert "\n" not in str(caught.value) or isinstance(caught.value, InvalidSpecError)
    return str(caught.value).replace(str(path), "plan.json")


def test_the_plan_of_the_docs(tmp_path: Path) -> None:
    plan = read_plan(written(tmp_path, PLAN))
    assert (plan.name, plan.created_at.year) == ("receipts", 2026)
    assert (plan.deployment.count, plan.deployment.tensor_parallel) == (2, 1)
    assert plan.deployment.settings["max_num_seqs"] == 64
    assert plan.predictions.rate == 20
    assert plan.predictions.ttft is not None
    assert (plan.predictions.ttft.p90, plan.predictions.ttft.p99) == (None, 0.31)
    assert (plan.predictions.tpot, plan.predictions.usd_per_request) == (None, None)


def test_further_keys_are_kept(tmp_path: Path) -> None:
    plan = read_plan(
        written(tmp_path, changed(runners_up=[{"a": 1}], predictions__floor={"ttft": 0.01}))
    )
    back = json.loads(plan.model_dump_json(by_alias=True))
    assert back["runners_up"] == [{"a": 1}]
    assert back["predictions"]["floor"] == {"ttft": 0.01}
    assert back["schema"] == "pilotage.plan/1"
    assert PlanFile.model_validate_json(json.dumps(back)) == plan


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ({"schema": "pilotage.plan/2"}, 'is a plan of another version, "pilotage.plan/2"'),
        ({"schema": "pilotage.prove/1"}, 'is no plan: its schema is "pilotage.prove/1"'),
        ({"schema": 1}, 'is no plan: it has no "schema": "pilotage.plan/1"'),
        ({"predictions__rate": 0}, "predictions.rate: should be more than 0, got 0"),
        ({"predictions__usd_per_month": -1}, "predictions.usd_per_month: should be at least 0"),
        ({"predictions__ttft": {"p50": "fast"}}, "predictions.ttft.p50: should be a number"),
        ({"predictions__ttft": {"p50": 2.0, "p99": 1.0}}, "predictions.ttft: p50, p90 and p99"),
        ({"predictions__relative_error": {"e2e": -0.1}}, "predictions.relative_error.e2e: should"),
        ({"deployment__count": 0}, "deployment.count: should be at least 1, got 0"),
        ({"deployment__count": 1.5}, "deployment.count: should be a whole number, got 1.5"),
        ({"deployment": None}, "deployment: should be a section"),
        ({"created_at": "yesterday"}, "created_at: "),
        ({"name": ""}, "name: should not be empty"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, parts: dict[str, Any], expected: str) -> None:
    assert complaint(written(tmp_path, changed(**parts))).startswith(f"plan.json: {expected}")


def test_several_problems_come_at_once(tmp_path: Path) -> None:
    plan = changed(name="", deployment__count=0)
    del plan["predictions"]["rate"]
    lines = complaint(written(tmp_path, plan)).splitlines()
    assert len(lines) == 3
    assert "plan.json: predictions.rate: is required" in lines


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "is no valid JSON: EOF"),
        ("{", "is no valid JSON: EOF while parsing an object at line 1"),
        ('{"schema": NaN}', "is no valid JSON: "),
        ("[]", 'is no plan: it has no "schema"'),
        ("{}", 'is no plan: it has no "schema"'),
        ("[" * 100_000, "is no valid JSON: "),
    ],
)
def test_files_that_hold_no_plan(tmp_path: Path, text: str, expected: str) -> None:
    assert complaint(written(tmp_path, text)).startswith(f"plan.json: {expected}")


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    assert complaint(tmp_path / "none.json") == "plan.json: there is no such file"
    assert "is a folder, not a plan" in complaint(tmp_path)
    with pytest.raises(SpecError, match="is no valid file name"):
        read_plan("a\0b")
    binary = tmp_path / "plan.json"
    binary.write_bytes(b"\xff\xfe\x00")
    assert "is no valid JSON" in complaint(binary)


def test_an_endless_file_is_not_read_whole(tmp_path: Path) -> None:
    huge = tmp_path / "plan.json"
    with huge.open("wb") as file:
        file.truncate(17 * 1024 * 1024)
    assert "is larger than 16 MiB" in complaint(huge)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


@given(value=JSON, key=st.sampled_from(["name", "created_at", "deployment", "predictions"]))
def test_any_value_anywhere_is_read_or_refused_with_its_place(
    tmp_path_factory: pytest.TempPathFactory, value: object, key: str
) -> None:
    path = written(tmp_path_factory.getbasetemp(), {**PLAN, key: value})
    try:
        read_plan(path)
    except SpecError as error:
        assert "plan.json" in str(error)
