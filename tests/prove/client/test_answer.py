"""Answers as servers send them, cut anywhere, and as they should not."""

import email.utils
import itertools
import json
import time
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotage.prove.client.answer import MAX_BYTES, Answer, printable


def _event(**fields: object) -> bytes:
    return b"data: " + json.dumps(fields).encode() + b"\n\n"


def _chunk(text: str | None, finish: str | None = None) -> bytes:
    delta = {} if text is None else {"content": text}
    return _event(choices=[{"index": 0, "delta": delta, "finish_reason": finish}])


_STREAM = (
    _event(choices=[{"index": 0, "delta": {"role": "assistant", "content": ""}}])
    + _chunk("Par")
    + _chunk("is")
    + _chunk(None, "stop")
    + _event(choices=[], usage={"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11})
    + b"data: [DONE]\n\n"
)


def _answer(*pieces: bytes, status: int = 200, kind: bytes = b"text/event-stream") -> Answer:
    answer = Answer(keep_text=True)
    answer.header(b"content-type", kind)
    answer.begin(status)
    for number, piece in enumerate(pieces):
        answer.body(piece, float(number))
    return answer


@given(st.lists(st.integers(0, len(_STREAM)), max_size=8))
def test_a_stream_reads_the_same_wherever_it_is_cut(cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(_STREAM)]
    answer = _answer(*(_STREAM[a:b] for a, b in itertools.pairwise(edges)))
    assert answer.ended() == ("complete", None)
    assert answer.text == "Paris"
    assert answer.chunks == 2
    assert len(answer.gaps) == 1
    assert (answer.prompt_tokens, answer.completion_tokens) == (9, 2)
    assert answer.finish_reason == "stop"


def test_times_are_those_of_content_not_of_the_role() -> None:
    role = _event(choices=[{"delta": {"role": "assistant", "content": ""}}])
    answer = _answer(role, _chunk("a"), _chunk("b") + _chunk("c"), b"data: [DONE]\n\n")
    assert (answer.first_at, answer.last_at) == (1.0, 2.0)
    assert answer.gaps.tolist() == [1.0, 0.0]


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
def test_thinking_counts_as_tokens(field: str) -> None:
    answer = _answer(_event(choices=[{"delta": {field: "hm"}}]), b"data: [DONE]\n\n")
    assert answer.chunks == 1


def test_line_ends_of_every_kind_and_data_over_lines() -> None:
    text = b'data: {"choices": [{"delta":\r\ndata: {"content": "x"}}]}\r\n\r\ndata:[DONE]\r\n\r\n'
    answer = _answer(b": a comment\r\n\r\n", text)
    assert answer.ended() == ("complete", None)
    assert answer.text == "x"


def test_completions_and_infer_streams() -> None:
    answer = _answer(_event(choices=[{"text": "x"}]), _event(text="y"), b"data: [DONE]\n\n")
    assert answer.text == "xy"


@pytest.mark.parametrize(
    ("pieces", "outcome", "words"),
    [
        ((_chunk("a"),), "broken", "without [DONE]"),
        (
            (_chunk("a"), _event(error={"message": "out of\nmemory"})),
            "error_event",
            "out of memory",
        ),
        ((b"data: {oops}\n\n",), "garbage", "not JSON: {oops}"),
        ((b'data: {"choices": {}}\n\n',), "garbage", '{"choices": {}}'),
        ((_event(usage={"completion_tokens": 10**30}),), "garbage", "completion_tokens"),
        ((_event(usage={"completion_tokens": -3}),), "garbage", "completion_tokens"),
        ((b'data: {"usage": {"completion_tokens": 1e400}}\n\n',), "garbage", "1e400"),
        ((b'data: {"usage": {"completion_tokens": NaN}}\n\n',), "garbage", "NaN"),
        ((b"data: \xff\xfe\n\n",), "garbage", "not JSON"),
        ((b'data: {"error": ' + b"[" * 100_000 + b"\n\n",), "garbage", "not JSON"),
    ],
)
def test_a_stream_that_fails(pieces: tuple[bytes, ...], outcome: str, words: str) -> None:
    ended, error = _answer(*pieces).ended()
    assert ended == outcome
    assert words in str(error)


def test_a_stream_without_done_is_whole_when_it_gave_a_reason_to_stop() -> None:
    assert _answer(_chunk("a"), _chunk(None, "length")).ended() == ("complete", None)


def test_a_whole_object() -> None:
    body = json.dumps(
        {
            "choices": [{"message": {"content": "Paris"}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 9, "completion_tokens": 1},
        }
    ).encode()
    answer = _answer(body[:20], body[20:], kind=b"application/json")
    assert answer.ended() == ("complete", None)
    assert (answer.text, answer.first_at, answer.chunks) == ("Paris", None, 0)
    assert answer.completion_tokens == 1


@pytest.mark.parametrize(
    ("body", "outcome", "words"),
    [
        (b"<html>hello</html>", "garbage", "<html>hello</html>"),
        (b"", "garbage", "empty"),
        (b"[1]", "garbage", "[1]"),
        (b'{"error": {"message": "no"}}', "error_event", "no"),
    ],
)
def test_an_object_that_is_none(body: bytes, outcome: str, words: str) -> None:
    ended, error = _answer(body, kind=b"text/html").ended()
    assert (ended, words in str(error)) == (outcome, True)


@pytest.mark.parametrize(
    ("status", "body", "outcome", "error"),
    [
        (429, b'{"error": {"message": "busy"}}', "rejected", "429: busy"),
        (503, b"", "rejected", "503"),
        (404, b'{"detail": "no such model"}', "refused", "404: no such model"),
        (500, b"<h1>Oh\x1b[2Jno</h1>", "server_error", "500: <h1>Oh [2Jno</h1>"),
        (301, b"", "redirected", "301: a redirect, which is not followed"),
        (206, b"", "garbage", "206"),
    ],
)
def test_refusals(status: int, body: bytes, outcome: str, error: str) -> None:
    assert _answer(body, status=status, kind=b"application/json").ended() == (outcome, error)


def test_an_error_status_with_an_event_stream_is_read_too() -> None:
    assert _answer(b'{"error": "x"}', status=500).ended() == ("server_error", "500: x")


def test_an_endless_answer_is_given_up() -> None:
    answer = _answer(kind=b"application/json")
    piece = b"x" * (16 * 1024 * 1024)
    for _ in range(MAX_BYTES // len(piece) + 1):
        answer.body(piece, 0.0)
    assert answer.hopeless
    assert answer.ended() == ("garbage", "the answer is larger than 64 MiB")


def test_an_endless_line_is_given_up() -> None:
    answer = _answer(b"data: " + b"x" * (9 * 1024 * 1024))
    assert answer.hopeless


def test_retry_after_in_seconds_milliseconds_and_as_a_date() -> None:
    answer = Answer(keep_text=False)
    answer.header(b"retry-after", b"3")
    assert answer.retry_after_s == 3
    answer.header(b"retry-after-ms", b"250")
    assert answer.retry_after_s == 0.25
    answer = Answer(keep_text=False)
    soon = datetime.fromtimestamp(time.time(), UTC) + timedelta(seconds=30)
    answer.header(b"retry-after", email.utils.format_datetime(soon).encode())
    assert answer.retry_after_s is not None
    assert 25 < answer.retry_after_s <= 30
    answer = Answer(keep_text=False)
    answer.header(b"retry-after", b"soon")
    assert answer.retry_after_s is None


def test_dates_that_no_calendar_has() -> None:
    answer = Answer(keep_text=False)
    answer.header(b"retry-after", b"Mon, 01 Jan 2024 00:00:00 +99999999999999")
    assert answer.retry_after_s is None


def test_a_compressed_answer_is_not_taken_for_a_broken_one() -> None:
    answer = Answer(keep_text=False)
    answer.header(b"content-type", b"text/event-stream")
    answer.header(b"content-encoding", b"gzip")
    answer.begin(200)
    answer.body(b"\x1f\x8b", 0.0)
    assert answer.ended() == ("garbage", "the answer is compressed (gzip), which was not asked")


def test_the_servers_queue_time() -> None:
    answer = Answer(keep_text=False)
    answer.header(b"server-timing", b'db;dur=1, queue;desc="waiting";dur=12.5')
    assert answer.queue_s == 0.0125


def test_printable_is_one_short_line() -> None:
    assert printable("a\x00\nb\u2028c") == "a b c"
    assert len(printable("x" * 1000)) == 300


@given(st.binary(max_size=200), st.sampled_from([b"text/event-stream", b"application/json"]))
def test_nothing_that_arrives_raises(data: bytes, kind: bytes) -> None:
    outcome, _ = _answer(data, b"\n\n", kind=kind).ended()
    assert outcome in {"complete", "broken", "garbage", "error_event"}
