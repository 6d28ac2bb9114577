import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow

from pilotage.errors import UsageError
from pilotage.prove.load import Schedule
from pilotage.prove.payloads import PromptFile, RequestFormat, prompt_file

CHAT = RequestFormat("chat", "m")
USER = {"role": "user", "content": "Hi there"}


@pytest.fixture
def write(tmp_path):
    def written(*lines):
        path = tmp_path / "prompts.jsonl"
        texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
        path.write_text("".join(f"{text}\n" for text in texts), encoding="utf-8")
        return path

    return written


def bodies(source, count=1000, seed=1):
    return [json.loads(payload.body) for payload in source.payloads(count, seed=seed)]


def test_every_form_of_a_line(write, tmp_path):
    Pillow.new("RGB", (2, 2)).save(tmp_path / "a.png")
    path = write(
        '"just text"',
        {"prompt": "with a limit", "max_tokens": 7},
        "",
        {"messages": [{"role": "system", "content": "Be brief"}, USER]},
        {"body": {"messages": [USER], "temperature": 1}},
        {
            "custom_id": "x",
            "method": "POST",
            "url": "/v1/chat/completions",
            "body": {"model": "n", "messages": [USER], "max_tokens": 3},
        },
        {"prompt": "see", "image": "a.png"},
        {"messages": [USER], "images": ["a.png", "a.png"]},
    )
    source = PromptFile(path, CHAT, completion_tokens=50, shuffle=False)
    assert len(source) == 7
    assert "7 prompts from prompts.jsonl, in order" in source.description
    payloads = list(source.payloads(100, seed=1))
    sent = [json.loads(payload.body) for payload in payloads]
    contents = [body["messages"][-1]["content"] for body in sent]
    assert contents[:5] == ["just text", "with a limit", "Hi there", "Hi there", "Hi there"]
    assert [part["type"] for part in contents[6]] == ["text", "image_url", "image_url"]
    assert [payload.images for payload in payloads] == [0, 0, 0, 0, 0, 1, 2]
    assert [payload.asked_tokens for payload in payloads] == [50, 7, 50, None, 3, 50, 50]
    assert [body["model"] for body in sent] == ["m", "m", "m", "m", "n", "m", "m"]
    assert [body["stream"] for body in sent] == [True] * 7
    assert sent[3]["temperature"] == 1


def test_completions(write):
    path = write(
        '"a"', {"body": {"prompt": "b"}}, {"body": {"prompt": [1, 2]}, "url": "/v1/completions"}
    )
    source = PromptFile(path, RequestFormat("completions", "m", stream=False), shuffle=False)
    assert [body["prompt"] for body in bodies(source)] == ["a", "b", [1, 2]]
    assert {body["stream"] for body in bodies(source)} == {False}


def test_infer(write, tmp_path):
    Pillow.new("RGB", (2, 2)).save(tmp_path / "a.gif")
    path = write({"prompt": "what?", "image": "a.gif"})
    (payload,) = PromptFile(path, RequestFormat("infer", "m")).payloads(1, seed=1)
    assert b"image/gif" in payload.body
    assert payload.images == 1


def test_order(write):
    path = write(*(json.dumps(str(number)) for number in range(50)))
    in_order = [str(number) for number in range(50)]

    def order(seed, count=50, **options):
        sent = bodies(PromptFile(path, CHAT, **options), count, seed)
        return [body["messages"][0]["content"] for body in sent]

    assert order(1, shuffle=False) == in_order
    assert order(1) == order(1) != order(2)
    assert sorted(order(1)) == sorted(in_order)
    assert order(1, count=5) == order(1)[:5]


def test_prompts_are_counted_as_the_server_does(write, smollm):
    path = write(
        '"The quick brown fox"',
        {"messages": [USER]},
        {"body": {"messages": [USER, {"role": "assistant", "content": "Oh"}, USER]}},
        {"body": {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}},
    )
    source = PromptFile(path, CHAT, tokenizer=smollm, shuffle=False)
    payloads = list(source.payloads(4, seed=1))
    for payload in payloads[:3]:
        messages = json.loads(payload.body)["messages"]
        assert payload.prompt_tokens == len(smollm.encode_chat(messages))
    assert payloads[3].prompt_tokens is None
    assert payloads[3].images == 1
    told = PromptFile(path, CHAT, tokenizer=smollm, overhead_tokens=3, shuffle=False)
    assert next(told.payloads(1, seed=1)).prompt_tokens == 4 + 3
    plain = PromptFile(
        write('"The quick brown fox"', {"body": {"prompt": ["a", "b"]}}),
        RequestFormat("completions", "m"),
        tokenizer=smollm,
        shuffle=False,
    )
    assert [payload.prompt_tokens for payload in plain.payloads(2, seed=1)] == [4, None]


def test_a_trace_gives_the_times_only(write):
    load = Schedule(np.zeros(3), 1.0, "trace", prompt_tokens=np.array([9, 9, 9]))
    source = PromptFile(write('"a"', '"b"'), CHAT)
    assert list(source.payloads(3, seed=1, prescribed=load)) == list(source.payloads(3, seed=1))
    assert "a trace's are not followed" in source.description


def test_a_byte_order_mark_and_windows_line_ends(tmp_path):
    path = tmp_path / "p.jsonl"
    path.write_bytes(b'\xef\xbb\xbf"a"\r\n\r\n"b"')
    sent = bodies(PromptFile(path, CHAT, shuffle=False))
    assert [body["messages"][0]["content"] for body in sent] == ["a", "b"]


@pytest.mark.parametrize("text", ["", "\n\n  \n", "\ufeff"])
def test_an_empty_file(tmp_path, text):
    path = tmp_path / "empty.jsonl"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match="the file of prompts is empty") as caught:
        PromptFile(path, CHAT)
    assert caught.value.where == str(path)


@pytest.mark.parametrize("name", ["gone.jsonl", "."])
def test_a_file_that_cannot_be_read(tmp_path, name):
    with pytest.raises(UsageError, match="cannot be read"):
        PromptFile(tmp_path / name, CHAT)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{not json", "not JSON"),
        ('"\\ud800"', "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("42", "no prompt"),
        ('["a"]', "no prompt"),
        ("{}", "one of prompt, messages and body, has nothing"),
        ({"text": "a"}, 'has "text"'),
        ({"prompt": "a", "messages": [USER]}, "has prompt and messages"),
        ({"prompt": "a", "temprature": 1, "top_p": 1}, 'unknown keys "temprature", "top_p"'),
        ({"body": {"messages": [USER]}, "max_tokens": 3}, 'unknown key "max_tokens" beside body'),
        ({"prompt": 3}, "prompt should be a string"),
        ('""', "the prompt is empty"),
        ({"messages": []}, "messages should be a list"),
        ({"messages": ["a"]}, "each message should be an object with a role"),
        ({"prompt": "a", "max_tokens": 0}, "max_tokens should be a whole number"),
        ({"prompt": "a", "max_tokens": True}, "max_tokens should be a whole number"),
        ({"prompt": "a", "image": 3}, "image should be a path"),
        ({"prompt": "a", "images": "a.png"}, None),
        ({"prompt": "a", "image": "b.png", "images": ["a.png"]}, "both image and images"),
        ({"prompt": "a", "image": "missing.png"}, r"missing\.png cannot be read"),
        ({"prompt": "a", "image": "prompts.jsonl"}, "no JPEG, PNG, WebP or GIF"),
        ({"messages": [{"role": "system", "content": ""}], "image": "a.png"}, "no user message"),
        ({"body": "a"}, "body should be an object"),
        ({"body": {"prompt": "a"}}, "the body has no messages"),
        ({"body": {"messages": 3}}, "messages should be a list"),
        ({"body": {"messages": [USER], "stream_options": 3}}, "stream_options should be"),
        ({"body": {"messages": [USER]}, "method": "GET"}, 'method should be POST, got "GET"'),
        ({"body": {"messages": [USER]}, "url": "/v1/embeddings"}, 'is for "/v1/embeddings"'),
        ({"body": {"messages": [USER]}, "url": "/v1/completions"}, 'is for "/v1/completions"'),
    ],
)
def test_bad_lines_are_named(write, tmp_path, line, message):
    Pillow.new("RGB", (2, 2)).save(tmp_path / "a.png")
    path = write('"fine"', "", line)
    if message is None:  # one path is as good as a list of one
        assert len(PromptFile(path, CHAT)) == 2
        return
    with pytest.raises(UsageError, match=message) as caught:
        PromptFile(path, CHAT)
    assert caught.value.where == f"{path}:3"
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("api", "line", "message"),
    [
        ("completions", {"messages": [USER]}, "messages need the chat API"),
        ("completions", {"body": {"messages": [USER]}}, "has no prompt"),
        ("completions", {"prompt": "a", "image": "a.png"}, "no images"),
        ("completions", {"body": {"prompt": "a"}, "url": "/v1/chat/completions"}, "is for"),
        ("infer", {"body": {"prompt": "a"}}, "cannot be sent to the infer API"),
        ("infer", {"messages": [USER]}, "messages need the chat API"),
    ],
)
def test_lines_for_another_api(write, api, line, message):
    with pytest.raises(UsageError, match=message):
        PromptFile(write(line), RequestFormat(api, "m"))


def test_what_is_not_text(tmp_path):
    path = tmp_path / "p.jsonl"
    path.write_bytes(b'"a"\n"\xff\xfe"\n')
    with pytest.raises(UsageError, match="not JSON") as caught:
        PromptFile(path, CHAT)
    assert caught.value.where == f"{path}:2"


def test_too_large(write, monkeypatch):
    path = write('"fine"', json.dumps("long" * 100))
    monkeypatch.setattr(prompt_file, "MAX_LINE_BYTES", 300)
    with pytest.raises(UsageError, match="longer than 32 MiB") as caught:
        PromptFile(path, CHAT)
    assert caught.value.where == f"{path}:2"
    monkeypatch.setattr(prompt_file, "MAX_FILE_BYTES", 300)
    with pytest.raises(UsageError, match="larger than 1 GiB"):
        PromptFile(path, CHAT)


def test_a_file_that_changes_while_it_is_read(write):
    source = PromptFile(write('"a"', '"b"'), CHAT, shuffle=False)
    write('"', "[]", "3")
    with pytest.raises(UsageError, match="not JSON"):
        list(source.payloads(2, seed=1))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.floats(allow_nan=False),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "prompt",
                    "messages",
                    "body",
                    "role",
                    "content",
                    "max_tokens",
                    "url",
                    "stream",
                    "type",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
@given(value=JSON, api=st.sampled_from(["chat", "completions", "infer"]))
def test_any_json_is_a_payload_or_a_clear_error(write, smollm, value, api):
    path = write(json.dumps(value))
    try:
        (payload,) = PromptFile(path, RequestFormat(api, "m"), tokenizer=smollm).payloads(1, seed=1)
    except UsageError as error:
        assert error.where == f"{path}:1"
    else:
        assert payload.body
