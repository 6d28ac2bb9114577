import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotage.route.handler.chat_request import ChatRequest, read_chat
from pilotage.route.handler.event import EventKind, Request
from pilotage.route.handler.refusal import Refusal
from pilotage.spec.routing import RoutingSpec

TIER = {"backends": [{"kind": "openai", "url": "http://127.0.0.1:1/v1", "model": "m"}]}
ROUTING = RoutingSpec.model_validate(
    {"tiers": [{"name": "small", **TIER}, {"name": "large", **TIER}], "max_history": 4}
)
USER = {"role": "user", "content": "Hi"}


def read(
    body: Any,
    kind: EventKind = EventKind.FUNCTION_URL,
    history: Any = "refuse",
    headers: dict[str, str] | None = None,
) -> ChatRequest:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    request = Request(
        kind=kind, method="POST", path="/v1/chat/completions", headers=headers or {}, body=raw
    )
    return read_chat(request, ROUTING, history)


def test_the_body_goes_on_without_what_is_the_routers() -> None:
    asked = read(
        {
            "model": "small",
            "messages": [USER],
            "stream": True,
            "stream_options": {"include_usage": True},
            "n": 1,
            "temperature": 0.2,
            "tools": [],
        }
    )
    assert asked == ChatRequest(
        model="small",
        body={"messages": [USER], "temperature": 0.2, "tools": []},
        stream=True,
        include_usage=True,
        dropped=0,
    )


def test_without_a_model_it_is_routed() -> None:
    assert read({"messages": [USER]}).model == "auto"


def test_a_direct_prompt_becomes_a_conversation() -> None:
    asked = read({"prompt": "Hi", "system": "Be short.", "max_tokens": 5}, EventKind.DIRECT)
    assert asked.body == {
        "messages": [{"role": "system", "content": "Be short."}, USER],
        "max_tokens": 5,
    }
    assert read({"prompt": "Hi"}, EventKind.DIRECT).body == {"messages": [USER]}


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "messages"),
        ({"prompt": "Hi"}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": "Hi"}, "messages"),
        ({"messages": [USER, "Hi"]}, "messages[1]"),
        ({"messages": [{"content": "Hi"}]}, "messages[0].role"),
        ({"messages": [{"role": ["user"], "content": "Hi"}]}, "messages[0].role"),
        ({"messages": [{"role": "user"}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": []}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": [{"type": "x"}]}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": [{"type": []}]}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages[0].content"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]},
            "messages[0].content",
        ),
        ({"messages": [{"role": "user", "content": ["text"]}]}, "messages[0].content"),
        ({"messages": [{"role": "assistant", "content": None}]}, "messages[0].content"),
        ({"messages": [USER], "max_tokens": 0}, "max_tokens"),
        ({"messages": [USER], "max_completion_tokens": True}, "max_completion_tokens"),
        ({"messages": [USER], "n": 2}, "n"),
        ({"messages": [USER], "stream": "yes"}, "stream"),
        ({"messages": [USER], "logprobs": True}, "logprobs"),
        ({"messages": [USER], "functions": []}, "functions"),
        ({"messages": [USER], "model": "huge"}, "model"),
        ({"messages": [USER], "model": {}}, "model"),
    ],
)
def test_what_is_wrong_is_named(body: dict[str, Any], param: str) -> None:
    with pytest.raises(Refusal) as caught:
        read(body)
    assert caught.value.param == param


@pytest.mark.parametrize(
    "body",
    [
        {"prompt": "Hi", "messages": [USER]},
        {"prompt": ""},
        {"prompt": 1},
        {"prompt": "Hi", "system": 1},
        {"prompt": "Hi", "stream": True},
    ],
)
def test_direct_events_that_make_no_sense(body: dict[str, Any]) -> None:
    with pytest.raises(Refusal):
        read(body, EventKind.DIRECT)


@pytest.mark.parametrize(
    ("raw", "headers", "status"),
    [
        (b"", {}, 400),
        (b"{", {}, 400),
        (b"[]", {}, 400),
        (b"\xff", {}, 400),
        (b"[" * 100_000, {}, 400),
        (b"{}", {"content-type": "text/plain"}, 415),
        (b"{}", {"content-encoding": "gzip"}, 415),
    ],
)
def test_bodies_that_are_no_json_object(raw: bytes, headers: dict[str, str], status: int) -> None:
    with pytest.raises(Refusal) as caught:
        read(raw, headers=headers)
    assert caught.value.status == status


def test_a_conversation_that_is_too_long() -> None:
    talk = [USER, {"role": "assistant", "content": "Hello"}] * 3 + [USER]
    with pytest.raises(Refusal) as caught:
        read({"messages": talk})
    assert caught.value.code == "history_too_long"
    assert "7 messages; at most 4" in caught.value.message
    asked = read({"messages": talk}, history="trim")
    assert asked.dropped == 4
    assert asked.body["messages"] == talk[4:]
    with pytest.raises(Refusal):  # nothing sensible is left
        read({"messages": [{"role": "system", "content": "x"}] * 5 + [USER]}, history="trim")


def test_messages_with_tools_and_images() -> None:
    talk = [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "What is it?"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}},
            ],
        },
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "1", "type": "function", "function": {"name": "f"}}],
        },
        {"role": "tool", "tool_call_id": "1", "content": "a cat"},
    ]
    assert read({"messages": talk}).body["messages"] == talk


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)
FIELDS = st.sampled_from(
    ["messages", "model", "stream", "n", "max_tokens", "prompt", "stream_options", "logprobs"]
)


@given(
    st.dictionaries(FIELDS, JSON, max_size=4).map(json.dumps).map(str.encode) | st.binary(),
    st.sampled_from(list(EventKind)),
    st.sampled_from(["refuse", "trim"]),
)
def test_no_body_does_more_than_be_refused(raw: bytes, kind: EventKind, history: str) -> None:
    try:
        asked = read(raw, kind, history)
    except Refusal as refusal:
        assert 400 <= refusal.status < 500
        return
    assert asked.body["messages"]
    assert asked.model in ("auto", "small", "large")
