import json
import random
import statistics
import urllib.error
import urllib.request
from collections.abc import Iterator

import numpy as np
import pytest
from bench.known_answers import MODEL
from bench.known_latency import Behaviour, due
from bench.load_peers.tool import Percentiles
from bench.loadgen_server import KnownServer, given, in_theory, known_server, middle_rate, truth

STALL = Behaviour(kind="stall", latency_s=0.02, stall_s=1.0, every_s=10.0)


@pytest.fixture(scope="module")
def known() -> Iterator[KnownServer]:
    with known_server(()) as server:
        yield server


def ask(known: KnownServer, route: str, **body: object) -> tuple[str, str]:
    """The media type and the text of an answer."""
    request = urllib.request.Request(
        known.base + route, data=json.dumps(body).encode() if body else None
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        return answer.headers["content-type"], answer.read().decode()


def events(text: str) -> list[dict[str, object]]:
    lines = [line.removeprefix("data: ") for line in text.split("\n\n") if line]
    assert lines.pop() == "[DONE]"
    return [json.loads(line) for line in lines]


def test_what_load_generators_ask_before_they_begin(known: KnownServer) -> None:
    assert json.loads(ask(known, "/v1/models")[1])["data"][0]["id"] == MODEL
    assert json.loads(ask(known, "/health")[1]) == {"status": "ok"}
    with pytest.raises(urllib.error.HTTPError, match="404"):
        ask(known, "/metrics")


@pytest.mark.parametrize(
    ("route", "text_of"),
    [
        ("/v1/chat/completions", lambda choice: choice["delta"]["content"]),
        ("/v1/completions", lambda choice: choice["text"]),
    ],
)
@pytest.mark.parametrize("gap_s", [0.0, 0.005])
def test_a_stream_has_every_token_and_usage_if_asked(known, route, text_of, gap_s) -> None:
    known.behave(Behaviour(chunks=3, gap_s=gap_s))
    kind, text = ask(known, route, stream=True, stream_options={"include_usage": True})
    *said, counted = events(text)
    assert kind == "text/event-stream"
    assert [text_of(event["choices"][0]) for event in said] == [" word"] * 3
    assert [event["choices"][0]["finish_reason"] for event in said] == [None, None, "length"]
    assert counted["usage"]["completion_tokens"] == 3
    assert len(events(ask(known, route, stream=True)[1])) == 3


def test_a_whole_answer(known: KnownServer) -> None:
    known.behave(Behaviour(chunks=2))
    kind, text = ask(known, "/v1/chat/completions", model=MODEL)
    answer = json.loads(text)
    assert kind == "application/json"
    assert answer["choices"][0]["message"]["content"] == " word word"
    assert answer["usage"]["completion_tokens"] == 2


def test_answers_leave_when_they_are_due_and_every_request_is_seen(known: KnownServer) -> None:
    known.behave(Behaviour(kind="log_normal", latency_s=0.01, sigma=0.5, seed=3))
    for _ in range(20):
        ask(known, "/v1/completions", stream=True)
    seen = known.seen()
    drawn = np.array(seen.due_s) - np.array(seen.arrived_s)
    again = random.Random(3)
    behaviour = Behaviour(kind="log_normal", latency_s=0.01, sigma=0.5, seed=3)
    assert drawn == pytest.approx([due(behaviour, 0.0, 0.0, again) for _ in range(20)], abs=1e-6)
    # Never early; how late depends on what else the machine does, and so is not asserted.
    assert np.all(np.array(seen.answered_s) >= np.array(seen.due_s))
    known.behave(Behaviour())
    assert known.seen().arrived_s == []


@pytest.mark.parametrize(
    ("arrived", "answered"),
    [
        (0.0, 0.02),
        (8.97, 8.99),
        (8.99, 10.0),  # begun before the stall, due in it
        (9.0, 10.02),
        (9.9, 10.02),
        (10.0, 10.02),
        (29.5, 30.02),
    ],
)
def test_nothing_is_answered_in_a_stall(arrived: float, answered: float) -> None:
    began = 1000.0
    assert due(STALL, began, began + arrived, random.Random()) - began == pytest.approx(answered)


def test_the_truth_of_a_stall_counts_from_the_due_time() -> None:
    at = np.arange(0.0, 30.0, 0.01)
    found = truth(STALL, 0.0, at)
    assert found.p50 == pytest.approx(0.02)
    assert found.p99 == pytest.approx(0.93, abs=0.02)
    assert in_theory(STALL).p99 == pytest.approx(found.p99, abs=0.01)


def test_the_log_normal_in_theory_is_what_is_drawn() -> None:
    behaviour = Behaviour(kind="log_normal", latency_s=0.06, sigma=0.6)
    dice = random.Random(7)
    drawn = Percentiles.of([due(behaviour, 0.0, 0.0, dice) for _ in range(50_000)])
    theory = in_theory(behaviour)
    for name in ("p50", "p90", "p99"):
        assert getattr(drawn, name) == pytest.approx(getattr(theory, name), rel=0.03)


def test_the_rate_is_of_the_middle(known: KnownServer) -> None:
    known.behave(Behaviour())
    for _ in range(50):
        ask(known, "/v1/completions", stream=True)
    seen = known.seen()
    assert middle_rate(seen) == pytest.approx(1 / statistics.mean(np.diff(seen.arrived_s)), rel=0.9)
    assert given(seen).p99 == 0.0  # answered in the same step of its loop
