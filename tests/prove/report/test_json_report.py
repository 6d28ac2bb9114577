"""report.json: whatever is written reads back the same, and what is not ours is told apart."""

from __future__ import annotations

import functools
import json
import types
import typing
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sample_report import a_report, a_search_report, an_empty_report

from pilotage.errors import UsageError
from pilotage.prove.report import read_report, report_schema, write_json
from pilotage.prove.result import Report


@pytest.mark.parametrize("make", [a_report, a_search_report, an_empty_report])
def test_what_is_written_reads_back(tmp_path: Path, make) -> None:
    assert read_report(write_json(make(), tmp_path / "report.json")) == make()


_PLAIN: dict[Any, st.SearchStrategy[Any]] = {
    int: st.integers(-(2**63), 2**63 - 1),
    float: st.floats(allow_nan=False, allow_infinity=False),  # JSON has no others
    str: st.text(st.characters(codec="utf-8"), max_size=20),
}


@functools.cache
def built(kind: Any) -> st.SearchStrategy[Any]:
    """Any value of a type of the report's schema."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        hints = typing.get_type_hints(kind)
        return st.builds(kind, **{name: built(hint) for name, hint in hints.items()})
    if origin in (types.UnionType, typing.Union):
        return st.one_of([built(one) for one in arguments])
    if origin is tuple and arguments[-1] is Ellipsis:
        return st.lists(built(arguments[0]), max_size=2).map(tuple)
    if origin is tuple:
        return st.tuples(*[built(one) for one in arguments])
    if origin is dict:
        return st.dictionaries(*[built(one) for one in arguments], max_size=3)
    return _PLAIN[kind] if kind in _PLAIN else st.from_type(kind)


@given(report=st.deferred(lambda: built(Report)))
@settings(max_examples=20, suppress_health_check=list(HealthCheck))
def test_any_report_reads_back(tmp_path_factory: pytest.TempPathFactory, report: Report) -> None:
    path = tmp_path_factory.getbasetemp() / "any" / "report.json"

    assert read_report(write_json(report, path)) == report


def test_fields_that_a_newer_pilotage_added_are_left_out(tmp_path: Path) -> None:
    path = write_json(a_report(), tmp_path / "report.json")
    path.write_text(json.dumps({**json.loads(path.read_text()), "new": [1]}))

    assert read_report(path) == a_report()


def changed(path: Path, **fields: object) -> Path:
    path.write_text(json.dumps({**msgspec.to_builtins(a_report()), **fields}))
    return path


def test_another_version_names_both(tmp_path: Path) -> None:
    path = changed(tmp_path / "report.json", schema="pilotage.prove/2")

    with pytest.raises(UsageError, match=r'"pilotage.prove/2".*"pilotage.prove/1"') as caught:
        read_report(path)
    assert caught.value.where == f"{path}, $.schema"
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("content", "problem", "place"),
    [
        ("{", "not JSON", ""),
        ("", "not JSON", ""),
        (b"\xff\xfe", "not JSON", ""),
        ('{"schema": "pilotage.prove/1", "name": "\xff"}'.encode("latin-1"), "", ""),
        ('{"x": ' + "[" * 100_000, "not JSON", ""),
        ("[]", "expected `object`", ", $"),
        ("{}", "no schema", ", $.schema"),
        ('{"schema": 1}', "expected `str", ", $.schema"),
        ('{"schema": "pilotage.prove.comparison/1"}', "not a report", ", $.schema"),
        ('{"schema": "pilotage.prove/1"}', "missing required field `name`", ", $"),
    ],
)
def test_what_is_no_report_is_told_why(
    tmp_path: Path, content: str | bytes, problem: str, place: str
) -> None:
    path = tmp_path / "report.json"
    path.write_bytes(content.encode() if isinstance(content, str) else content)

    with pytest.raises(UsageError) as caught:
        read_report(path)
    assert problem in caught.value.message
    assert caught.value.where is not None
    assert caught.value.where == f"{path}{place}"
    assert caught.value.hint


def test_a_wrong_type_is_named_by_its_place(tmp_path: Path) -> None:
    verdict = {**msgspec.to_builtins(a_report().verdict), "confidence": "high"}

    with pytest.raises(UsageError, match="expected `float`, got `str`") as caught:
        read_report(changed(tmp_path / "report.json", verdict=verdict))
    assert caught.value.where is not None
    assert caught.value.where.endswith("report.json, $.verdict.confidence")


@pytest.mark.parametrize("name", ["missing.json", "."])
def test_a_missing_file_or_a_folder_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="cannot be read") as caught:
        read_report(tmp_path / name)
    assert caught.value.where == str(tmp_path / name)


def test_the_schema_describes_what_is_written() -> None:
    schema = report_schema()
    fields = schema["$defs"]["Report"]["properties"]

    assert set(fields) == set(msgspec.to_builtins(a_report()))
    assert fields["schema"]["enum"] == ["pilotage.prove/1"]


def test_a_file_is_replaced_whole_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "report.json"
    write_json(a_report(name="old"), path)
    write_json(a_report(name="new"), path)

    assert read_report(path).name == "new"
    assert [file.name for file in path.parent.iterdir()] == ["report.json"]


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(UsageError, match="cannot be written") as caught:
        write_json(a_report(), tmp_path / "file" / "report.json")
    assert caught.value.where == str(tmp_path / "file" / "report.json")
