"""Files of scores in the forms they come in, and what is none of them."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotage.errors import UsageError
from pilotage.route.evaluation import read_matrix


def _file(folder: Path, text: str, name: str = "scores") -> Path:
    path = folder / name
    path.write_text(text, "utf-8")
    return path


def test_flags_and_answers_by_the_models_names(tmp_path: Path) -> None:
    text = (
        "prompt,org/Small-v0.1,big,org/Small-v0.1_response,big_response\n"
        '"One, or\ntwo?",True,False,"a ""b""\nc",d\n'
        "Three?,False,true,e,\n"
    )
    found = read_matrix(_file(tmp_path, text))
    assert found.models == ("org/Small-v0.1", "big")
    assert found.prompts == ("One, or\ntwo?", "Three?")
    assert found.scores.tolist() == [[1, 0], [0, 1]]
    assert found.answers == (('a "b"\nc', "e"), ("d", ""))


def test_marked_columns_among_others(tmp_path: Path) -> None:
    text = "subject,difficulty,row,prompt,a_correct,b_correct\nx,0.5,1,p,1,0\nx,0.25,2,q,,0.5\n"
    found = read_matrix(_file(tmp_path, text))
    assert found.models == ("a", "b")
    assert found.scores[0].tolist() == [1, 0]
    assert math.isnan(found.scores[1, 0]) and found.scores[1, 1] == 0.5
    assert found.answers == (None, None)
    assert len(found.complete()) == 1


def test_columns_that_hold_no_scores_are_passed_over(tmp_path: Path) -> None:
    text = "id,question,subject,a,b,note\n7,p,x,1,0,\n8,q,y,0,1.0,0.5 maybe\n"
    assert read_matrix(_file(tmp_path, text)).models == ("a", "b")


def test_json_lines_with_scores_by_model(tmp_path: Path) -> None:
    rows = [
        {"prompt": "p", "scores": {"a": 0.25, "b": 1}, "answers": {"a": "x", "b": "y"}},
        {"prompt": "q", "scores": {"b": True}, "kind": 1},
    ]
    for text in ("\n".join(map(json.dumps, rows)) + "\n\n", json.dumps(rows)):
        found = read_matrix(_file(tmp_path, text))
        assert found.models == ("a", "b")
        assert found.scores[0].tolist() == [0.25, 1]
        assert math.isnan(found.scores[1, 0]) and found.scores[1, 1] == 1
        assert found.answers == (("x", ""), ("y", ""))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "empty"),
        (" \n", "empty"),
        ("a,b\n1,0\n", "no column prompt"),
        ("prompt,a\np,1\n", "1 models"),
        ("prompt,a,b\np,1,7\n", "1 models"),
        ("prompt,a,b\np,1,0\nq,1,1\nr,0,no\ns,1,7\nt,1,1\n", "row 4 of the column 'b'.*'7'"),
        ("prompt,a,b\n", "no rows"),
        ("[]", "no rows"),
        ("prompt,a,b\n,1,0\n", "row 1 has no prompt"),
        ("prompt,a,b\np,1,0,1\n", "more fields"),
        ('prompt,a,b\n"p,1,0\n', "not CSV"),
        ('{"prompt": "p", "scores": [1, 0]}', "mapping"),
        ('{"prompt": "p"', "not JSON"),
        ("[1, 2]", "no object"),
        ("[" * 100_000, "not JSON"),
    ],
)
def test_what_is_no_matrix(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        read_matrix(_file(tmp_path, text))


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot read it"):
        read_matrix(tmp_path / "none.csv")
    with pytest.raises(UsageError, match="cannot read it"):
        read_matrix(tmp_path)
    binary = tmp_path / "binary"
    binary.write_bytes(b"prompt,a,b\n\xff\xfe,1,0\n")
    with pytest.raises(UsageError, match="UTF-8"):
        read_matrix(binary)


@given(st.text(max_size=200))
def test_any_text_is_a_matrix_or_a_clear_error(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    path = tmp_path_factory.getbasetemp() / "any-matrix"
    path.write_bytes(text.encode("utf-8", "replace"))
    try:
        found = read_matrix(path)
    except UsageError:
        return
    assert found.scores.shape == (len(found.prompts), len(found.models))


@given(
    st.lists(
        st.tuples(
            st.text(min_size=1).filter(lambda text: bool(text.strip())),
            st.floats(0, 1),
            st.sampled_from([0.0, 1.0]),
        ),
        min_size=1,
        max_size=8,
    )
)
def test_json_lines_come_back_as_they_were(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, float, float]]
) -> None:
    path = tmp_path_factory.getbasetemp() / "lines"
    lines = [json.dumps({"prompt": one, "scores": {"a": a, "b": b}}) for one, a, b in rows]
    path.write_text("\n".join(lines), "utf-8")
    found = read_matrix(path)
    assert found.prompts == tuple(row[0] for row in rows)
    assert np.array_equal(found.scores, np.array([row[1:] for row in rows]))
