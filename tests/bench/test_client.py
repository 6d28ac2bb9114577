import asyncio
import itertools
import subprocess
import sys

import msgspec
import pytest
from bench.client import arrival_times, make_load, run_load
from bench.client_cost import measure_cost
from bench.load import ClosedLoop, Load, LoadResult, OpenLoop
from bench.processes import ROOT, free_port

BODY = {"model": "m", "stream": True}
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"


def event(content: str) -> bytes:
    return b"data: " + msgspec.json.encode({"choices": [{"delta": {"content": content}}]}) + b"\n\n"


async def three_words(request: bytes, writer: asyncio.StreamWriter) -> None:
    writer.write(HEAD)
    for word in ("one", " two", " three"):
        writer.write(event(word))
        await writer.drain()
        await asyncio.sleep(0.01)
    writer.write(b"data: [DONE]\n\n")
    writer.close()


def load(url: str, streams: int = 1, requests: int = 1, **more: object) -> Load:
    return Load(url, (BODY,), ClosedLoop(streams, requests), **more)


def result_of(served, answer, streams: int = 1, requests: int = 1, **more: object) -> LoadResult:
    async def go() -> LoadResult:
        async with served(answer) as url:
            return await make_load(load(url, streams, requests, **more))

    return asyncio.run(go())


def test_a_closed_loop_keeps_its_streams_busy_and_no_more(served):
    open_now, most = 0, 0

    async def answer(request: bytes, writer: asyncio.StreamWriter) -> None:
        nonlocal open_now, most
        open_now += 1
        most = max(most, open_now)
        await three_words(request, writer)
        open_now -= 1

    result = result_of(served, answer, streams=4, requests=12, keep_text=True)
    assert most == 4
    assert len(result.completed) == 12
    assert sorted(record.index for record in result.records) == list(range(12))
    assert {record.text for record in result.records} == {"one two three"}
    for record in result.records:
        assert record.completion_tokens == 3 and record.counted_by == "chunks"
        assert record.first_token_s == record.chunk_times_s[0] < record.end_s
        assert record.scheduled_s <= record.sent_s < record.first_token_s
    assert result.tokens_per_second == pytest.approx(36 / result.elapsed_s)


def test_a_rejection_keeps_its_advice(served):
    async def busy(request: bytes, writer: asyncio.StreamWriter) -> None:
        body = b'{"error": {"message": "queue full", "type": "overloaded"}}'
        writer.write(
            b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 2\r\nretry-after-ms: 1250\r\n"
            b"Content-Length: %d\r\n\r\n%s" % (len(body), body)
        )

    (record,) = result_of(served, busy).records
    assert (record.outcome, record.status) == ("rejected", 429)
    assert (record.retry_after, record.retry_after_ms) == ("2", "1250")
    assert record.error is not None and "queue full" in record.error
    assert record.first_token_s is None


def test_a_stream_that_stops_short_is_broken(served):
    async def cut(request: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD + event("one"))
        writer.close()

    (record,) = result_of(served, cut).records
    assert record.outcome == "broken"
    assert record.completion_tokens == 1


def test_an_error_event_is_not_a_silence(served):
    async def failing(request: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD + event("one") + b'data: {"error": {"message": "lost"}}\n\n')
        writer.write(b"data: [DONE]\n\n")
        writer.close()

    (record,) = result_of(served, failing).records
    assert record.outcome == "error_event"


def test_a_request_that_takes_too_long_ends(served):
    async def never(request: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD + event("one"))
        await writer.drain()
        await asyncio.sleep(1)

    (record,) = result_of(served, never, timeout_s=0.1).records
    assert record.outcome == "timeout"
    assert record.end_s < 0.9


def test_a_kept_connection_that_was_closed_meanwhile_is_opened_again(served):
    answered = 0

    async def once_a_connection(request: bytes, writer: asyncio.StreamWriter) -> None:
        nonlocal answered
        if answered % 2:  # the second request on a connection is never read by a real server
            answered = 0
            writer.close()
            return
        answered += 1
        writer.write(b'HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n{"text":"ok"}')

    result = result_of(served, once_a_connection, requests=2)
    assert [record.outcome for record in result.records] == ["complete", "complete"]


def test_nobody_there_is_unreachable():
    result = asyncio.run(make_load(load(f"http://127.0.0.1:{free_port()}/")))
    assert result.records[0].outcome == "unreachable"
    assert result.records[0].status is None


def test_an_open_loop_does_not_wait_for_answers(served):
    async def slow(request: bytes, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.3)
        await three_words(request, writer)

    async def go() -> LoadResult:
        async with served(slow) as url:
            return await make_load(Load(url, (BODY,), OpenLoop(60, 0.5, seed=3)))

    result = asyncio.run(go())
    planned = list(arrival_times(OpenLoop(60, 0.5, seed=3)))
    assert len(result.completed) == len(planned) > 10
    assert sorted(record.scheduled_s for record in result.records) == pytest.approx(planned)
    assert result.worst_send_lag_s < 0.2


def test_arrivals_are_poisson_and_repeatable():
    arrivals = OpenLoop(rate=50, duration_s=200, seed=1)
    times = list(arrival_times(arrivals))
    assert times == list(arrival_times(arrivals))
    assert len(times) == pytest.approx(10_000, rel=0.05)
    gaps = [b - a for a, b in itertools.pairwise(times)]
    mean = sum(gaps) / len(gaps)
    spread = (sum((gap - mean) ** 2 for gap in gaps) / len(gaps)) ** 0.5
    assert spread == pytest.approx(mean, rel=0.1)  # exponential: deviation equals mean


def test_only_plain_http_is_spoken():
    with pytest.raises(ValueError, match="plain http"):
        asyncio.run(make_load(load("https://127.0.0.1/")))


def test_the_client_runs_in_its_own_process_and_costs_little():
    cost = measure_cost(streams=8, chunks=50, interval_s=0.005)
    assert cost.chunks == 8 * 2 * 50
    assert cost.cpu_per_chunk_s < 0.001


def test_a_failing_client_says_so():
    with pytest.raises(RuntimeError, match="exit code 1"):
        run_load(Load("ftp://127.0.0.1/", (BODY,), ClosedLoop(1, 1)))


def test_the_command_prints_the_result_as_json():
    port = free_port()
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "bench.client",
            "--url",
            f"http://127.0.0.1:{port}/",
            "--body",
            "{}",
        ],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    result = msgspec.json.decode(done.stdout, type=LoadResult)
    assert result.records[0].outcome == "unreachable"
