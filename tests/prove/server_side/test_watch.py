"""Looking at a server while it runs: our own for real, and others that do not behave."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import httpx
import pytest

from pilotage.prove.result import ServerSide
from pilotage.prove.server_side.watch import MAX_BODY_BYTES, ServerMetrics, metrics_url
from pilotage.serve.telemetry.metrics import Metrics
from pilotage.serve.telemetry.request_record import RequestRecord
from pilotage.serve.telemetry.snapshot import Snapshot, WorkerSnapshot

sys.path.insert(0, str(Path(__file__).parents[1] / "serve"))  # for `running`

from running import serving

TEXT = b"vllm:num_requests_running 3\nprocess_cpu_seconds_total 1.5\n"
GPU = b'DCGM_FI_DEV_GPU_UTIL{gpu="0"} 75\n'

Answer = Callable[[str, asyncio.StreamWriter], Awaitable[None]]


@contextlib.asynccontextmanager
async def answering(answer: Answer) -> AsyncIterator[tuple[str, list[str]]]:
    """A server that answers each request by hand: its address, and the heads it was sent."""
    heads: list[str] = []
    serving_them: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        serving_them.add(task)
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                heads.append(head)
                await answer(head, writer)
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.transport.abort()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/metrics", heads
        for task in serving_them:
            task.cancel()
        await asyncio.gather(*serving_them)
    await asyncio.sleep(0.01)  # so that transports close before the loop does


async def until(condition: Callable[[], object]) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110  conditions span sockets and tasks
            await asyncio.sleep(0.005)


def saying(body: bytes, status: str = "200 OK", *headers: str) -> Answer:
    async def answer(_head: str, writer: asyncio.StreamWriter) -> None:
        lines = [f"HTTP/1.1 {status}", f"content-length: {len(body)}", *headers, "", ""]
        writer.write("\r\n".join(lines).encode() + body)

    return answer


async def seen(answer: Answer, **options: float) -> ServerSide:
    """What one look at a server that answers so comes to."""
    async with answering(answer) as (url, _):
        metrics = ServerMetrics(url, **options)
        start = time.monotonic()
        await metrics.look()
        return metrics.summary(start=start, from_s=0, to_s=60)


def missing(answer: Answer, **options: float) -> str:
    found = asyncio.run(seen(answer, **options))
    assert (found.mean, found.samples, found.kind) == (None, (), None)
    assert found.missing is not None
    return found.missing


def test_what_our_own_server_exposes_is_what_is_read() -> None:
    """The gateway's own metrics, before and after requests that wait for one slot."""
    metrics = Metrics(["m"])
    cpu_s = 1.0

    def snapshot() -> Snapshot:
        worker = WorkerSnapshot(
            worker="0", up=True, running_requests=1, kv_cache_usage_ratio=0.25, kv_cache_tokens=4096
        )
        return Snapshot(queue_requests=3, workers=(worker,), cpu_s={"worker-0": cpu_s})

    async def scenario() -> tuple[ServerSide, float]:
        async def answer(head: str, writer: asyncio.StreamWriter) -> None:
            await saying(metrics.render())(head, writer)

        async with answering(answer) as (url, _):
            seen = ServerMetrics(url)
            start = time.monotonic()
            await seen.look()
            nonlocal cpu_s
            cpu_s += 3.0
            for _ in range(24):
                metrics.step("0", 0.01, 1, 1)
            metrics.request_finished(
                RequestRecord(
                    model="m",
                    endpoint="/v1/completions",
                    operation="text_completion",
                    status=200,
                    prompt_tokens=5,
                    completion_tokens=24,
                    queue_s=0.25,
                    ttft_s=0.5,
                    tpot_s=0.01,
                    duration_s=0.75,
                )
            )
            await seen.look()
            summary = seen.summary(start=start, from_s=0, to_s=time.monotonic() - start)
            return summary, seen.looks[1].at - seen.looks[0].at

    metrics.watch(snapshot)
    found, between_s = asyncio.run(scenario())
    assert (found.kind, found.missing) == ("pilotage", None)
    assert found.mean is not None
    assert found.peak is not None
    assert (found.peak.running, found.peak.waiting) == (1, 3)
    assert found.mean.batch_size == pytest.approx(1)
    assert found.mean.kv_usage == pytest.approx(0.25)
    assert found.mean.cpu == pytest.approx(3.0 / between_s)
    assert found.mean.output_tokens_rate == pytest.approx(24 / between_s)
    assert (found.queue_mean, found.ttft_mean) == (pytest.approx(0.25), pytest.approx(0.5))


# Slow for its server's start; the test above reads the same metrics of the same gateway, and
# `test_docs_example` watches a real server.
@pytest.mark.slow
def test_our_own_server_is_seen_from_inside(embedded_model: Path) -> None:
    """Requests that wait for one slot: all that the report wants to know is there."""
    assert embedded_model.exists()

    async def scenario(base: str) -> ServerSide:
        metrics = ServerMetrics(metrics_url(base), interval_s=0.1)
        start = time.monotonic()
        watching = asyncio.create_task(metrics.watch())
        async with httpx.AsyncClient(base_url=base, trust_env=False, timeout=120) as client:
            body = {
                "model": (await client.get("/models")).json()["data"][0]["id"],
                "prompt": "Once upon a time",
                "max_tokens": 24,
                "ignore_eos": True,
            }
            answers = await asyncio.gather(
                *(client.post("/completions", json=body) for _ in range(4))
            )
        assert [answer.status_code for answer in answers] == [200] * 4
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        end = time.monotonic() - start
        await metrics.look()
        return metrics.summary(start=start, from_s=0, to_s=end)

    with serving("--ttft-p99", "120s", "--max-num-seqs", "1") as server:
        found = asyncio.run(scenario(server.url))

    assert found.source == f"{server.base}/metrics"
    assert (found.kind, found.missing) == ("pilotage", None)
    assert found.mean is not None
    assert found.peak is not None
    assert (found.peak.running, found.peak.waiting) == (1, 3)
    assert found.mean.batch_size == pytest.approx(1)
    assert found.mean.kv_usage is not None
    assert found.mean.cpu is not None
    assert 0 < found.mean.cpu < 64
    assert found.mean.output_tokens_rate is not None
    assert found.mean.output_tokens_rate > 0
    assert found.queue_mean is not None
    assert found.ttft_mean is not None
    assert 0 < found.queue_mean < found.ttft_mean


def test_it_looks_once_an_interval_until_it_is_cancelled() -> None:
    async def scenario() -> None:
        async with answering(saying(TEXT)) as (url, heads):
            metrics = ServerMetrics(url, {"authorization": "Bearer secret"}, interval_s=0.05)
            began = time.monotonic()
            watching = asyncio.create_task(metrics.watch())
            await until(lambda: len(metrics.looks) >= 4)
            watching.cancel()
            with pytest.raises(asyncio.CancelledError):
                await watching
            assert metrics.looks[-1].at - began >= 0.05 * (len(metrics.looks) - 1)
            assert all("authorization: Bearer secret" in head.replace("\r", "") for head in heads)

    asyncio.run(scenario())


def test_looks_that_a_slow_answer_overlapped_are_left_out() -> None:
    async def scenario() -> None:
        asked: list[float] = []

        async def slow_at_first(head: str, writer: asyncio.StreamWriter) -> None:
            asked.append(time.monotonic())
            if len(asked) == 1:
                await asyncio.sleep(0.5)
            await saying(TEXT)(head, writer)

        async with answering(slow_at_first) as (url, _):
            began = time.monotonic()
            watching = asyncio.create_task(ServerMetrics(url, interval_s=0.2).watch())
            await until(lambda: len(asked) >= 4)
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
            # None to catch up: those of 0.2 and 0.4 s are gone, the grid is kept.
            assert asked[3] - began >= 1.0

    asyncio.run(scenario())


@pytest.mark.parametrize("status", ["401 Unauthorized", "404 Not Found", "302 Found"])
def test_where_there_is_nothing_it_asks_no_more(status: str) -> None:
    async def scenario() -> None:
        async with answering(saying(b"", status, "location: /elsewhere")) as (url, heads):
            metrics = ServerMetrics(url, interval_s=0.01)
            await asyncio.wait_for(metrics.watch(), 10)
            assert len(heads) == 1
            found = metrics.summary(start=0, from_s=0, to_s=1)
            assert status[:3] in str(found.missing)

    asyncio.run(scenario())


def test_a_server_that_comes_back_is_asked_again() -> None:
    async def scenario() -> None:
        bodies = [("200 OK", TEXT), ("404 Not Found", b""), ("503 Busy", b""), ("200 OK", TEXT)]

        async def answer(head: str, writer: asyncio.StreamWriter) -> None:
            status, body = bodies.pop(0) if len(bodies) > 1 else bodies[0]
            await saying(body, status)(head, writer)

        async with answering(answer) as (url, heads):
            metrics = ServerMetrics(url, interval_s=0.01)
            watching = asyncio.create_task(metrics.watch())
            await until(lambda: len(metrics.looks) >= 2)
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
            assert len(heads) >= 4

    asyncio.run(scenario())


def test_the_gpu_may_be_told_by_another_exporter_that_gets_no_key() -> None:
    async def scenario() -> None:
        async with answering(saying(TEXT)) as (url, _), answering(saying(GPU)) as (gpu, heads):
            metrics = ServerMetrics(url, {"authorization": "Bearer secret"}, gpu_url=gpu)
            await metrics.look()
            (look,) = metrics.looks
            assert (look.running, look.gpu) == (3, 0.75)
            assert "secret" not in heads[0]

    asyncio.run(scenario())


def test_an_exporter_of_the_gpu_that_is_away_takes_nothing_else_with_it() -> None:
    async def scenario() -> None:
        async with answering(saying(TEXT)) as (url, _):
            metrics = ServerMetrics(url, gpu_url="http://127.0.0.1:1/metrics")
            await metrics.look()
            (look,) = metrics.looks
            assert (look.running, look.gpu) == (3, None)

    asyncio.run(scenario())


def test_answers_that_are_no_metrics_are_a_reason_and_no_error() -> None:
    html = b"<html><body>Welcome to nginx!</body></html>"
    assert "not Prometheus text" in missing(saying(html))
    assert "none of its metrics are known" in missing(saying(b"go_goroutines 12\n"))
    assert "not Prometheus text" in missing(saying(b"\xff\xfe\x00garbage"))
    assert "compressed" in missing(saying(b"\x1f\x8b", "200 OK", "content-encoding: gzip"))
    assert "HTTP 500" in missing(saying(b"", "500 Oh"))
    too_long = TEXT * (MAX_BODY_BYTES // len(TEXT) + 1)
    assert "longer than 4 MiB" in missing(saying(too_long))


def test_a_server_that_never_answers_or_is_not_there_is_a_reason_and_no_error() -> None:
    async def silence(_head: str, _writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(60)

    async def not_http(_head: str, writer: asyncio.StreamWriter) -> None:
        writer.write(b"\x00\x01\x02 this is not HTTP\r\n\r\n")

    assert "no answer within 0.1 s" in missing(silence, timeout_s=0.1)
    assert "cannot be reached" in missing(not_http)

    async def away(url: str) -> str | None:
        metrics = ServerMetrics(url, timeout_s=2)
        await metrics.look()
        return metrics.summary(start=0, from_s=0, to_s=1).missing

    assert "cannot be reached" in str(asyncio.run(away("http://127.0.0.1:1/metrics")))
    assert "cannot be reached" in str(asyncio.run(away("nonsense://host/metrics")))
    assert "cannot be reached" in str(asyncio.run(away("http://[::1/metrics")))


@pytest.mark.parametrize(
    ("base", "url"),
    [
        ("http://host:8000/v1", "http://host:8000/metrics"),
        ("http://host:8000/v1/", "http://host:8000/metrics"),
        ("http://host:8000", "http://host:8000/metrics"),
        ("https://host/models/a/v1?x=1#y", "https://host/models/a/metrics"),
    ],
)
def test_the_metrics_are_beside_the_api(base: str, url: str) -> None:
    assert metrics_url(base) == url


def test_no_secret_of_the_address_is_told() -> None:
    metrics = ServerMetrics("http://user:secret@host:9/metrics?key=secret#secret")
    assert metrics.source == "http://host:9/metrics"
