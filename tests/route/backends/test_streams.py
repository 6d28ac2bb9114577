"""Streams cut anywhere: parsed, and passed on."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotage.route.answer import Chunk, Usage
from pilotage.route.backends import raw_events, sse
from pilotage.route.backends.assembly import Assembly
from pilotage.route.backends.backend import BackendError, Fault
from pilotage.route.backends.chat_events import ChatEvents
from pilotage.route.backends.raw_events import RawEvents, RawWhole
from pilotage.route.backends.sse import EventReader

USAGE = {"prompt_tokens": 9, "completion_tokens": 2}
TRICKS = [
    '"usage":{"prompt_tokens":1}',
    "data: [DONE]",
    '\n\ndata: {"error":1}\n\n',
    '"choices":[]',
]
_texts = st.lists(st.one_of(st.sampled_from(TRICKS), st.text(max_size=12)), max_size=6)


def cut(data: bytes, places: list[int]) -> list[bytes]:
    ends = sorted({place % (len(data) + 1) for place in places})
    return [data[begin:end] for begin, end in zip([0, *ends], [*ends, len(data)], strict=True)]


def stream_of(texts: list[str], end: bytes, *, spaced: bool) -> bytes:
    separators = (", ", ": ") if spaced else (",", ":")
    choices: list[list[dict[str, Any]]] = [
        [{"index": 0, "delta": {"content": text}, "finish_reason": None}] for text in texts
    ]
    choices.append([{"index": 0, "delta": {}, "finish_reason": "stop"}])
    events: list[dict[str, Any]] = [{"model": "m", "choices": one} for one in choices]
    events.append({"model": "m", "choices": [], "usage": USAGE})
    lines = [
        b"data: " + json.dumps(one, separators=separators, ensure_ascii=False).encode()
        for one in events
    ]
    return b"".join(line + end for line in [*lines, b"data: [DONE]"])


_ends = st.sampled_from([b"\n\n", b"\r\n\r\n"])
_cuts = st.lists(st.integers(0, 5000), max_size=12)


@given(texts=_texts, end=_ends, spaced=st.booleans(), places=_cuts)
def test_parsed_wherever_it_is_cut(
    texts: list[str], end: bytes, spaced: bool, places: list[int]
) -> None:
    reader, events, got = EventReader(), ChatEvents(), []
    for piece in cut(stream_of(texts, end, spaced=spaced), places):
        for one in reader.feed(piece):
            chunk = events.event(one)
            if chunk is not None:
                got.append(chunk.text)
    assert got == [text for text in texts if text]
    assert events.done
    assert events.last() == Chunk(
        finish_reason="stop",
        usage=Usage(prompt_tokens=9, completion_tokens=2),
        model=None if "".join(texts) else "m",
    )


@given(texts=_texts, end=_ends, spaced=st.booleans(), places=_cuts, hide=st.booleans())
def test_passed_on_wherever_it_is_cut(
    texts: list[str], end: bytes, spaced: bool, places: list[int], hide: bool
) -> None:
    raw = RawEvents(hide_usage=hide)
    data = stream_of(texts, end, spaced=spaced)
    got = b"".join(raw.feed(piece) for piece in cut(data, places)) + raw.end()
    expected = data
    if hide:
        events = data.split(end)
        expected = end.join(one for index, one in enumerate(events) if index != len(events) - 3)
    assert got == expected
    assert raw.usage == Usage(prompt_tokens=9, completion_tokens=2)
    assert raw.model == "m"
    assert raw.done
    assert raw.finished
    assert raw.error is None
    assert raw.tokens == len(texts) + 1


def test_an_event_with_choices_and_usage_is_passed_on() -> None:
    raw = RawEvents(hide_usage=True)
    usage = b'"usage": {"prompt_tokens": 3, "completion_tokens": 1}'
    event = b'data: {"choices": [{"delta": {"content": "x"}}], ' + usage + b"}\n\n"
    assert raw.feed(event) == event
    assert raw.usage == Usage(prompt_tokens=3, completion_tokens=1)
    assert not raw.finished


def test_what_stands_before_an_error_is_passed_on_and_it_is_not() -> None:
    raw = RawEvents(hide_usage=True)
    first = b'data: {"choices": [{"delta": {"content": "x"}}]}\n\n'
    error = b'data: {"error": {"message": "broke", "code": 503}}\n\n'
    assert raw.feed(first + error + first) == first
    assert raw.error is not None
    assert raw.error.fault is Fault.OVERLOADED
    quiet = RawEvents(hide_usage=True)
    null = b'data: {"error": null, "choices": []}\n\n'
    assert quiet.feed(null) == null
    assert quiet.error is None


def test_a_last_event_without_its_blank_line_counts_if_its_line_is_whole() -> None:
    for data, count in ((b"data: a\n\ndata: b\n", 2), (b"data: a\n\ndata: b", 1)):
        reader = EventReader()
        assert len(reader.feed(data) + reader.end()) == count
        raw = RawEvents(hide_usage=False)
        assert (raw.feed(data) + raw.end()).count(b"data:") == count


def test_lines_comments_and_fields() -> None:
    reader = EventReader()
    data = b": hi\n\nevent: x\nid: 1\ndata: a\ndata:b\n\n\n\nretry: 5\n\ndata\n\ndata: c\r\n\r\n"
    assert reader.feed(data) == [b"a\nb", b"c"]


def test_events_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "MAX_EVENT", 1000)
    monkeypatch.setattr(raw_events, "MAX_EVENT", 1000)
    for feed in (EventReader().feed, RawEvents(hide_usage=False).feed):
        with pytest.raises(BackendError) as caught:
            for _ in range(30):
                feed(b"data: " + b"x" * 94)
        assert caught.value.fault is Fault.GARBAGE
    reader = EventReader()
    with pytest.raises(BackendError):
        for _ in range(30):
            reader.feed(b"data: " + b"x" * 94 + b"\n")


@given(st.binary(max_size=200), _cuts)
def test_rubbish_raises_nothing_but_its_error(data: bytes, places: list[int]) -> None:
    raw, reader, events = RawEvents(hide_usage=True), EventReader(), ChatEvents()
    for piece in cut(data, places):
        raw.feed(piece)
        for one in reader.feed(piece):
            try:
                events.event(one)
            except BackendError as error:
                assert error.fault in (Fault.GARBAGE, Fault.FAILED)
    raw.end()


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(
            ["choices", "usage", "error", "model", "delta", "index", "content", "tool_calls",
             "finish_reason", "logprobs", "function", "arguments", "prompt_tokens", "message"]
        ),
        inner,
        max_size=4,
    ),
    max_leaves=12,
)  # fmt: skip


@given(_json)
def test_any_json_is_an_answer_or_garbage(value: Any) -> None:
    data = json.dumps(value).encode()
    assembly = Assembly()
    try:
        chunk = ChatEvents().event(data)
        if chunk is not None:
            assembly.add(chunk)
    except BackendError as error:
        assert error.message
    else:
        assert assembly.tokens >= 0
        assert assembly.answer().finish_reason is None
    try:
        assert RawWhole(data).tokens >= 0
    except BackendError as error:
        assert error.message
    raw = RawEvents(hide_usage=True)
    try:
        raw.feed(b"data: " + data + b"\n\n")
    except BackendError as error:
        assert error.fault is Fault.GARBAGE


@pytest.mark.parametrize(
    ("choice", "tokens"),
    [
        ({"message": {"content": "eight by"}, "logprobs": {"content": [{}] * 99}}, 2),
        ({"message": {"content": None, "refusal": "no", "reasoning": "no"}}, 1),
        ({"message": {"content": "", "tool_calls": [{"id": "a"}]}}, 3),
        ({"text": "?"}, 4),
    ],
)
def test_a_whole_answer_without_usage_is_what_it_says(choice: Any, tokens: int) -> None:
    assert RawWhole(json.dumps({"choices": [choice]}).encode()).tokens == tokens


def test_tool_calls_are_put_together() -> None:
    assembly = Assembly()
    deltas: list[dict[str, Any]] = [
        {"index": 0, "id": "a", "type": "function", "function": {"name": "f", "arguments": ""}},
        {"index": 0, "function": {"arguments": '{"x"'}},
        {"index": 1, "id": "b", "function": {"name": "g", "arguments": "{}"}},
        {"index": 0, "function": {"arguments": ":1}"}},
    ]
    for delta in deltas:
        assembly.add(Chunk(tool_calls=(delta,)))
    assembly.add(Chunk(reasoning="so", logprobs=(-1.0,), finish_reason="tool_calls", model="m"))
    answer = assembly.answer()
    assert answer.tool_calls == (
        {"id": "a", "type": "function", "function": {"name": "f", "arguments": '{"x":1}'}},
        {"id": "b", "type": "function", "function": {"name": "g", "arguments": "{}"}},
    )
    assert (answer.reasoning, answer.logprobs, answer.model) == ("so", (-1.0,), "m")
    assert assembly.tokens == 3
    assert assembly.finished
