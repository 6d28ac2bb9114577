import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pilotage.errors import UsageError
from pilotage.route.calibration.reading import read_data

NAMES = {"small": ["small", "org/Small-1B"], "large": ["large"]}
GOOD = {"prompt": "hello", "scores": {"small": 0, "large": 1}}


def read(tmp_path, text, name="data.jsonl"):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_data(path, NAMES).rows


def test_a_row_with_everything(tmp_path):
    row = {
        "messages": [
            {"role": "system", "content": "be kind"},
            {"role": "user", "content": [{"type": "text", "text": "hi"}, {"type": "image_url"}]},
        ],
        "tools": [{}],
        "scores": {"org/Small-1B": True, "large": 0.5, "another": 7},
        "answers": {"small": "hello there"},
        "logprobs": {"small": [-0.5, 0]},
        "judge": {"small": 0.75},
        "tokens": {"large": {"prompt": 5, "completion": 2}},
    }
    (found,) = read(tmp_path, json.dumps(row) + "\n\n")
    assert (found.prompt, found.prompt_chars, found.images, found.tools) == ("hi", 9, 1, True)
    assert found.scores == {"small": 1.0, "large": 0.5}
    assert list(found.logprobs["small"]) == [-0.5, 0]
    assert found.judge == {"small": 0.75}
    assert found.tokens == {"large": (5, 2)}
    assert found.answers == {"small": "hello there"}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"prompt": None}, "either prompt or messages"),
        ({"messages": []}, "either prompt or messages"),
        ({"prompt": 3}, "prompt should be a text"),
        ({"prompt": None, "messages": ["hi"]}, "messages should be a list"),
        ({"scores": {"small": 1}}, "scores has nothing for large"),
        ({"scores": [1, 2]}, "scores should be an object"),
        ({"scores": {"small": 2, "large": 1}}, "scores should be numbers from 0 to 1"),
        ({"scores": {"small": "1", "large": 1}}, "scores should be numbers from 0 to 1"),
        ({"scores": {"small": float("nan"), "large": 1}}, "scores should be numbers from 0 to 1"),
        ({"judge": {"small": -0.1}}, "judge should be numbers from 0 to 1"),
        ({"tokens": {"small": {"prompt": 1}}}, "tokens should be such as"),
        ({"tokens": {"small": {"prompt": 1, "completion": True}}}, "tokens should be such as"),
        ({"logprobs": {"small": [0.5]}}, "logprobs should be lists"),
        ({"logprobs": {"small": -0.5}}, "logprobs should be lists"),
        ({"logprobs": {"small": [float("nan")]}}, "logprobs should be lists"),
    ],
)
def test_a_wrong_row_is_named_by_its_line(tmp_path, change, said):
    with pytest.raises(UsageError, match=said) as caught:
        read(tmp_path, json.dumps(GOOD) + "\n" + json.dumps(GOOD | change) + "\n")
    assert caught.value.where == f"{tmp_path / 'data.jsonl'}:2"
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("line", [b"{", b"[]", b"\xff\xfe", b"[" * 100_000, b'{"a": 1} x'])
def test_what_is_no_object_is_named_by_its_line(tmp_path, line):
    with pytest.raises(UsageError) as caught:
        read(tmp_path, line)
    assert caught.value.where == f"{tmp_path / 'data.jsonl'}:1"


def test_a_log_probability_of_minus_infinity_is_taken(tmp_path):
    text = json.dumps(GOOD | {"logprobs": {"small": [float("-inf"), -1.0]}})
    (found,) = read(tmp_path, text)
    assert found.logprobs["small"][0] < -1e29


def test_csv_with_the_names_of_models(tmp_path):
    rows = read(
        tmp_path,
        "\ufeffsubject,prompt,org/Small-1B,large_correct,org/Small-1B_response\n"
        'maths,"two\nlines",True,0,"yes, it is"\nmaths,one,0.25,1,no\n',
        "data.csv",
    )
    assert [row.prompt for row in rows] == ["two\nlines", "one"]
    assert [row.scores for row in rows] == [
        {"small": 1.0, "large": 0.0},
        {"small": 0.25, "large": 1.0},
    ]
    assert rows[0].answers == {"small": "yes, it is"}


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("", 1, "no column prompt"),
        ("prompt,small\n", 1, "no column for the tier large"),
        ('prompt,small,large\n"a\nb",1,1\nc,maybe,1\n', 4, "from 0 to 1"),
        ("prompt,small,large\na,1,1\nb,1\n", 3, "2 fields, and the head has 3"),
        ('prompt,small,large\n"a"b,1,1\n', 2, "not CSV"),
        (b"prompt,small,large\n\xff,1,1\n", 1, "not UTF-8"),
    ],
)
def test_wrong_csv_is_named_by_its_line(tmp_path, text, line, said):
    with pytest.raises(UsageError, match=said) as caught:
        read(tmp_path, text, "data.csv")
    assert caught.value.where == f"{tmp_path / 'data.csv'}:{line}"


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(UsageError, match="cannot be read: no such file"):
        read_data(tmp_path / "none.jsonl", NAMES)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["small", "large", "role", "content", "prompt"]), inner)
    ),
    max_leaves=8,
)
fields = st.sampled_from(
    ["prompt", "messages", "scores", "judge", "tokens", "logprobs", "answers", "tools"]
)


@given(st.dictionaries(fields, values))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_json_is_read_or_refused(tmp_path, data):
    try:
        (row,) = read(tmp_path, json.dumps(GOOD | data))
    except UsageError:
        return
    assert set(row.scores) == {"small", "large"}
    assert row.usage("small", 10).completion_tokens >= 0


@given(st.binary(max_size=60), st.sampled_from(["a.csv", "a.jsonl"]))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_are_read_or_refused(tmp_path, data, name):
    try:
        rows = read(tmp_path, b"prompt,small,large\n" + data if name == "a.csv" else data, name)
    except UsageError as error:
        assert error.where is not None
        return
    assert all(0 <= value <= 1 for row in rows for value in row.scores.values())
