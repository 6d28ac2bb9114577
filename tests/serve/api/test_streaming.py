import asyncio
import json
import time

import httpx
import pytest

from pilotage.serve.api import Limits
from pilotage.serve.generation import GenerationFailed, Overloaded, TokenChunk, Unavailable

FIRST = TokenChunk([1000], None, None)
LAST = TokenChunk([1001], None, "stop")
BODY = {"model": "smollm2", "messages": [{"role": "user", "content": "hello"}]}


def wait_until_cancelled(gateway, count=1):
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        if len(gateway.dispatcher.generations) == count:
            break
        time.sleep(0.01)
    assert len(gateway.dispatcher.generations) == count
    for generation in gateway.dispatcher.generations:
        assert generation.cancelled.wait(10)


def events_of(answer):
    return [event.removeprefix("data: ") for event in answer.text.split("\n\n") if event]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("steps", [(), (FIRST, 60.0)])
def test_a_client_that_hangs_up_cancels_its_generations(gateway, stream, steps):
    gateway.follow(*steps, 60.0)  # without steps it waits in the queue
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(
            f"{gateway.url}/v1/chat/completions",
            json=BODY | {"stream": stream, "n": 2},
            timeout=0.3,
        )
    wait_until_cancelled(gateway, 2)


def test_a_stream_is_cancelled_when_its_reader_leaves(gateway):
    gateway.follow(FIRST, *[step for _ in range(1000) for step in (FIRST, 0.01)])
    with gateway.openai.chat.completions.create(**BODY, stream=True) as stream:
        next(iter(stream))
    wait_until_cancelled(gateway)


def test_a_queued_stream_has_no_status_yet(gateway):
    gateway.follow(0.1, Overloaded("Shed from the queue.", retry_after_s=2.5))
    answer = gateway.chat(stream=True)
    assert answer.status_code == 429
    assert answer.headers["retry-after"] == "3"
    assert answer.headers["retry-after-ms"] == "2500"
    assert answer.json()["error"]["code"] == "overloaded"


def test_failures_of_whole_answers(gateway):
    for status, code in ((500, "engine_error"), (503, "worker_lost"), (400, "bad_parameters")):
        gateway.follow(FIRST, GenerationFailed("It failed.", status=status, code=code))
        answer = gateway.chat(n=2)
        assert answer.status_code == status
        assert answer.json()["error"] | {"type": ""} == {
            "message": "It failed.", "type": "", "param": None, "code": code,
        }  # fmt: skip
    wait_until_cancelled(gateway, 6)


def test_a_failure_in_a_stream_is_an_event_and_its_end(gateway):
    gateway.follow(FIRST, GenerationFailed("The worker died.", status=503, code="worker_lost"))
    answer = gateway.chat(stream=True)
    assert answer.status_code == 200
    *_, last = events_of(answer)
    assert json.loads(last)["error"]["code"] == "worker_lost"
    assert "[DONE]" not in answer.text
    with pytest.raises(Exception, match="The worker died"):
        list(gateway.openai.chat.completions.create(**BODY, stream=True))


@pytest.mark.parametrize("reason", ["cancelled", "error", None])
def test_a_generation_that_breaks_off_is_never_a_complete_answer(gateway, reason):
    gateway.follow(FIRST, TokenChunk([], None, reason))
    assert gateway.chat().json()["error"]["code"] == "engine_error"
    assert "[DONE]" not in gateway.chat(stream=True).text


def test_an_unexpected_failure_shows_no_trace(gateway, caplog):
    gateway.follow(ValueError("secret prompt"))
    answer = gateway.chat()
    assert answer.status_code == 500
    assert answer.headers["x-request-id"] in answer.json()["error"]["message"]
    assert "secret" not in answer.text
    assert "Traceback" not in answer.text
    assert any(record.exc_info for record in caplog.records)
    gateway.follow(FIRST, ValueError("secret prompt"))
    answer = gateway.chat(stream=True)
    assert json.loads(events_of(answer)[-1])["error"]["code"] == "internal_error"
    assert "secret" not in answer.text


def test_overload_and_loading_are_told_before_anything_runs(gateway):
    gateway.dispatcher.refusal = Overloaded("Too much.", retry_after_s=0.2)
    answer = gateway.chat()
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "1")
    assert answer.headers["retry-after-ms"] == "200"
    assert answer.json()["error"]["type"] == "rate_limit_error"
    gateway.dispatcher.refusal = Unavailable("Loading.", retry_after_s=None, code="loading")
    answer = gateway.chat()
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "loading")
    assert int(answer.headers["retry-after"]) > 0


def test_the_official_client_waits_as_told(gateway):
    gateway.dispatcher.refusal = Overloaded("Too much.", retry_after_s=0.3)
    begun = time.monotonic()
    with pytest.raises(Exception, match="Too much"):
        gateway.client(max_retries=1).chat.completions.create(**BODY)
    assert 0.3 <= time.monotonic() - begun < 5


@pytest.mark.parametrize("stream", [False, True])
def test_time_is_up(start_gateway, stream):
    gateway = start_gateway(limits=Limits(request_timeout_s=0.3))
    gateway.follow(60.0)
    answer = gateway.chat(stream=stream)
    assert (answer.status_code, answer.json()["error"]["code"]) == (504, "request_timeout")
    gateway.follow(FIRST, 60.0)
    answer = gateway.chat(stream=stream)
    if stream:
        assert answer.status_code == 200
        assert json.loads(events_of(answer)[-1])["error"]["code"] == "request_timeout"
    else:
        assert answer.status_code == 504
    wait_until_cancelled(gateway, 2)


def test_many_streams_at_once(gateway):
    gateway.follow(FIRST, 0.01, FIRST, 0.01, LAST)

    async def all_of_them():
        async with httpx.AsyncClient(base_url=gateway.url, timeout=30) as client:
            body = BODY | {"stream": True}
            posts = [client.post("/v1/chat/completions", json=body) for _ in range(50)]
            return await asyncio.gather(*posts)

    answers = asyncio.run(all_of_them())
    assert all(answer.text.endswith("data: [DONE]\n\n") for answer in answers)
    assert len({json.loads(events_of(answer)[0])["id"] for answer in answers}) == 50


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_says_how_long_it_waited_for_a_worker(gateway, stream):
    answer = gateway.chat(stream=stream)
    assert answer.status_code == 200
    assert answer.headers["server-timing"] == "queue;dur=12.500"
    assert answer.headers["content-type"].startswith(
        "text/event-stream" if stream else "application/json"
    )


def test_of_several_choices_the_longest_wait_counts(start_gateway):
    gateway = start_gateway()
    waits = iter([0.001, 0.25, None])
    submit = gateway.dispatcher.submit

    def submit_waiting(requests):
        generations = submit(requests)
        for generation in generations:
            generation.queue_s = next(waits)
        return generations

    gateway.dispatcher.submit = submit_waiting
    assert gateway.chat(n=3).headers["server-timing"] == "queue;dur=250.000"
    counted = 'pilotage_request_queue_seconds_count{model="smollm2"} 1.0'
    deadline = time.monotonic() + 10
    while counted not in (text := gateway.get("/metrics").text):  # a moment after the answer
        assert time.monotonic() < deadline
    assert 'pilotage_request_queue_seconds_sum{model="smollm2"} 0.25' in text


def test_what_no_worker_took_says_nothing_of_a_wait(gateway):
    gateway.dispatcher.refusal = Overloaded("Full.", retry_after_s=1.0)
    assert "server-timing" not in gateway.chat().headers
