import base64
import json
from email.parser import BytesParser
from email.policy import HTTP

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotage.errors import UsageError
from pilotage.prove.payloads import Image, RequestFormat

JPEG = Image(b"\xff\xd8\xff one", "image/jpeg")
PNG = Image(b"\x89PNG two\r\n--", "image/png")


def form_parts(payload):
    """The parts of a multipart body, by a parser that is not ours."""
    head = f"Content-Type: {payload.content_type}\r\n\r\n".encode()
    message = BytesParser(policy=HTTP).parsebytes(head + payload.body)
    assert message.is_multipart()
    assert not message.defects
    return [
        (
            part.get_param("name", header="content-disposition"),
            part.get_filename(),
            part.get_content_type(),
            part.get_payload(decode=True),
        )
        for part in message.iter_parts()
    ]


def test_a_streamed_chat():
    payload = RequestFormat("chat", "m").encode("Hi", max_tokens=5, prompt_tokens=31)
    assert json.loads(payload.body) == {
        "model": "m",
        "messages": [{"role": "user", "content": "Hi"}],
        "max_tokens": 5,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    assert payload.content_type == "application/json"
    assert (payload.prompt_tokens, payload.asked_tokens) == (31, 5)
    assert payload.stream
    assert payload.images == 0


def test_a_completion_without_a_stream():
    form = RequestFormat("completions", "m", stream=False, extra={"temperature": 0})
    payload = form.encode("Hi")
    assert json.loads(payload.body) == {
        "model": "m",
        "prompt": "Hi",
        "stream": False,
        "temperature": 0,
    }
    assert payload.asked_tokens is None
    assert not payload.stream


def test_end_of_text_is_ignored_only_where_there_is_a_limit():
    form = RequestFormat("chat", "m", ignore_eos=True)
    assert json.loads(form.encode("Hi", max_tokens=5).body)["ignore_eos"] is True
    assert "ignore_eos" not in json.loads(form.encode("Hi").body)


def test_the_limits_new_name_is_the_chats():
    chat = RequestFormat("chat", "m", limit_field="max_completion_tokens")
    assert json.loads(chat.encode("Hi", max_tokens=5).body)["max_completion_tokens"] == 5
    completions = RequestFormat("completions", "m", limit_field="max_completion_tokens")
    assert json.loads(completions.encode("Hi", max_tokens=5).body)["max_tokens"] == 5


def test_images_in_a_chat():
    payload = RequestFormat("chat", "m").encode("What is it?", images=[JPEG, PNG])
    (message,) = json.loads(payload.body)["messages"]
    text, *images = message["content"]
    assert text == {"type": "text", "text": "What is it?"}
    for part, image in zip(images, (JPEG, PNG), strict=True):
        assert part["type"] == "image_url"
        head, _, data = part["image_url"]["url"].partition(",")
        assert head == f"data:{image.media_type};base64"
        assert base64.b64decode(data, validate=True) == image.data
    assert payload.images == 2


def test_images_join_the_last_message_of_the_user():
    messages = [
        {"role": "user", "content": "one"},
        {"role": "user", "content": [{"type": "text", "text": "two"}]},
        {"role": "assistant", "content": "three"},
    ]
    payload = RequestFormat("chat", "m").encode_messages(messages, images=[JPEG])
    sent = json.loads(payload.body)["messages"]
    assert sent[0] == messages[0]
    assert [part["type"] for part in sent[1]["content"]] == ["text", "image_url"]
    assert sent[2] == messages[2]
    assert len(messages[1]["content"]) == 1
    with pytest.raises(UsageError, match="no user message"):
        RequestFormat("chat", "m").encode_messages(messages[2:], images=[JPEG])


def test_a_form():
    form = RequestFormat("infer", "m", ignore_eos=True, extra={"temperature": 0.5, "mode": "x"})
    payload = form.encode("Wie heißt\r\ndas?", images=[JPEG, PNG], max_tokens=7)
    assert form_parts(payload) == [
        ("text_prompt", None, "text/plain", "Wie heißt\r\ndas?".encode()),
        ("model", None, "text/plain", b"m"),
        ("max_new_tokens", None, "text/plain", b"7"),
        ("ignore_eos", None, "text/plain", b"true"),
        ("stream", None, "text/plain", b"true"),
        ("temperature", None, "text/plain", b"0.5"),
        ("mode", None, "text/plain", b"x"),
        ("image", "image-0.jpeg", "image/jpeg", JPEG.data),
        ("image", "image-1.png", "image/png", PNG.data),
    ]
    assert payload.images == 2
    assert payload.asked_tokens == 7


@given(prompt=st.text(st.characters(exclude_categories=["Cs"])), data=st.binary())
def test_any_content_survives_the_form(prompt, data):
    payload = RequestFormat("infer", "", stream=False).encode(
        prompt, images=[Image(b"\x00" + data, "image/png")]
    )
    parts = form_parts(payload)
    assert [part[3] for part in parts] == [prompt.encode(), b"\x00" + data]


def test_a_boundary_is_the_same_until_it_is_in_the_content():
    form = RequestFormat("infer", "m")
    usual = form.encode("a").content_type
    assert form.encode("b", images=[JPEG]).content_type == usual
    boundary = usual.partition("boundary=")[2]
    payload = form.encode(f"x\r\n--{boundary}--\r\n")
    assert payload.content_type != usual
    assert form_parts(payload)[0][3] == f"x\r\n--{boundary}--\r\n".encode()


def test_a_whole_body_is_filled_in_where_it_does_not_say():
    form = RequestFormat("chat", "m", ignore_eos=True, extra={"temperature": 0, "seed": 1})
    body = {"messages": [{"role": "user", "content": "Hi"}], "temperature": 1}
    payload = form.encode_body({**body, "max_completion_tokens": 9})
    assert json.loads(payload.body) == {
        **body,
        "model": "m",
        "max_completion_tokens": 9,
        "ignore_eos": True,
        "seed": 1,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    assert payload.asked_tokens == 9


@pytest.mark.parametrize("stream", [False, True])
def test_a_whole_body_has_its_own_way(stream):
    form = RequestFormat("chat", "m", stream=not stream)
    body = {"model": "n", "messages": [], "stream": stream}
    payload = form.encode_body(body)
    assert payload.stream is stream
    assert json.loads(payload.body) == body | (
        {"stream_options": {"include_usage": True}} if stream else {}
    )


def test_what_does_not_go_together():
    with pytest.raises(UsageError, match="no images"):
        RequestFormat("completions", "m").encode("Hi", images=[JPEG])
    with pytest.raises(UsageError, match="chat API"):
        RequestFormat("completions", "m").encode_messages([{"role": "user", "content": "Hi"}])
    with pytest.raises(UsageError, match="infer"):
        RequestFormat("infer", "m").encode_body({})
    with pytest.raises(UsageError, match="max_tokens cannot be given as an extra field"):
        RequestFormat("chat", "m", extra={"max_tokens": 3})
    with pytest.raises(UsageError, match="is not JSON"):
        RequestFormat("chat", "m", extra={"stop": object()})


def test_a_server_that_refuses_stream_options_is_not_sent_them():
    form = RequestFormat("chat", "m", include_usage=False)
    assert "stream_options" not in json.loads(form.encode("Hi").body)
    own = form.encode_body({"messages": [], "stream_options": {"x": 1}})
    assert json.loads(own.body)["stream_options"] == {"x": 1}
