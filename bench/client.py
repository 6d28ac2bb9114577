"""The load client: its own process, closed or open loop, cheap enough to share a small machine.

From Python, `run_load` and `LoadProcess`; from a shell::

    python -m bench.client --url URL --body '{"prompt": "Hi", "stream": true}' --streams 8
    python -m bench.client --url URL --body '…' --rate 20 --duration 60
    python -m bench.client --cost        what the client itself costs a chunk, on this machine
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import msgspec
import uvloop

from bench.load import ClosedLoop, Load, LoadResult, OpenLoop, Outcome, Record
from bench.processes import ROOT, kill_group
from bench.wire import Connection, Exchange, Pool


def run_load(load: Load) -> LoadResult:
    """Make `load` from a process of its own and wait for what comes of it.

    Raises:
        RuntimeError: The client itself failed.
    """
    with LoadProcess(load) as process:
        return process.result()


class LoadProcess:
    """A load client in a process of its own, so that the caller can do other things meanwhile.

    A context manager: leaving it ends the client.
    """

    def __init__(self, load: Load) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.client", "--load", "-"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
            start_new_session=True,
        )
        assert self._process.stdin is not None
        self._process.stdin.write(msgspec.json.encode(load))
        self._process.stdin.close()

    def __enter__(self) -> LoadProcess:
        return self

    def __exit__(self, *_: object) -> None:
        kill_group(self._process)
        assert self._process.stdout is not None
        self._process.stdout.close()

    def result(self) -> LoadResult:
        """Wait for the load's end.

        Raises:
            RuntimeError: The client itself failed; its words are on standard error.
        """
        assert self._process.stdout is not None
        output = self._process.stdout.read()
        if code := self._process.wait():
            raise RuntimeError(f"the load client ended with exit code {code}")
        try:
            return msgspec.json.decode(output, type=LoadResult)
        except msgspec.DecodeError as error:
            raise RuntimeError(
                f"the load client's result is not whole ({len(output)} bytes): {error}"
            ) from error


async def make_load(load: Load) -> LoadResult:
    """Make `load` inside this process and event loop, for a caller that shares neither.

    Raises:
        ValueError: The URL is not plain ``http://``, or there are no bodies.
    """
    return await _Generator(load).run()


class _Generator:
    """The state of one load."""

    def __init__(self, load: Load) -> None:
        self._load = load
        parts = urlsplit(load.url)
        if parts.scheme != "http" or parts.hostname is None:
            raise ValueError(f"{load.url}: the load client speaks plain http:// only")
        if not load.bodies:
            raise ValueError("a load needs at least one request body")
        self._pool = Pool(parts.hostname, parts.port or 80)
        self._requests = tuple(_request_bytes(load, parts.netloc, parts.path or "/"))
        self._records: list[Record] = []
        self._start = 0.0

    async def run(self) -> LoadResult:
        cpu = time.process_time()
        self._start = time.perf_counter()
        arrivals = self._load.arrivals
        if isinstance(arrivals, ClosedLoop):
            indices = iter(range(arrivals.requests))
            streams = min(arrivals.streams, arrivals.requests)
            await asyncio.gather(*(self._stream(indices) for _ in range(streams)))
        else:
            await self._arrive(arrivals)
        elapsed = max((record.end_s for record in self._records), default=0.0)
        self._pool.close()
        await asyncio.sleep(0)  # one turn of the loop closes the connections
        return LoadResult(tuple(self._records), elapsed, time.process_time() - cpu)

    async def _stream(self, indices: Iterator[int]) -> None:
        for index in indices:
            await self._one(index, time.perf_counter())

    async def _arrive(self, arrivals: OpenLoop) -> None:
        tasks = []
        for index, offset in enumerate(arrival_times(arrivals)):
            scheduled = self._start + offset
            if (delay := scheduled - time.perf_counter()) > 0:
                await asyncio.sleep(delay)
            tasks.append(asyncio.create_task(self._one(index, scheduled)))
        await asyncio.gather(*tasks)

    async def _one(self, index: int, scheduled: float) -> None:
        exchange = Exchange(asyncio.get_running_loop().create_future())
        sent = time.perf_counter()
        outcome: Outcome
        error: str | None = None
        connection: Connection | None = None
        try:
            async with asyncio.timeout(self._load.timeout_s):
                connection = await self._answered(index, exchange)
            outcome, error = _judge(exchange)
        except TimeoutError:
            outcome, error = "timeout", f"no whole answer in {self._load.timeout_s:g} s"
        except ConnectionError as broken:
            reached = exchange.done.done()
            outcome, error = ("broken" if reached else "unreachable"), str(broken)
        except OSError as unreachable:
            outcome, error = "unreachable", str(unreachable)
        ended = time.perf_counter()
        if connection is not None:
            self._pool.release(connection)
        began = self._start
        times = tuple(at - began for at in exchange.chunk_times)
        counted = exchange.usage_tokens
        self._records.append(
            Record(
                index=index,
                scheduled_s=scheduled - began,
                sent_s=sent - began,
                first_token_s=times[0] if times else None,
                end_s=ended - began,
                chunk_times_s=times,
                status=exchange.status,
                outcome=outcome,
                completion_tokens=len(times) if counted is None else counted,
                counted_by="chunks" if counted is None else "usage",
                finish_reason=exchange.finish_reason,
                retry_after=_header(exchange, b"retry-after"),
                retry_after_ms=_header(exchange, b"retry-after-ms"),
                error=error,
                text="".join(exchange.texts) if self._load.keep_text else None,
            )
        )

    async def _answered(self, index: int, exchange: Exchange) -> Connection:
        """The connection on which the whole answer arrived."""
        request = self._requests[index % len(self._requests)]
        connection = await self._pool.acquire()
        try:
            try:
                connection.send(request, exchange)
                await exchange.done
            except ConnectionError:
                # A kept connection that the server closed while idle says nothing about the
                # request, which it never read; every HTTP client sends again.
                if exchange.first_byte is not None or connection.exchanges < 2:
                    raise
                exchange.done = asyncio.get_running_loop().create_future()
                connection = await self._pool.acquire(fresh=True)
                connection.send(request, exchange)
                await exchange.done
        except BaseException:
            connection.abort()
            raise
        return connection


def arrival_times(arrivals: OpenLoop) -> Iterator[float]:
    """Seconds from the load's beginning at which requests arrive: a seeded Poisson process."""
    gaps = random.Random(arrivals.seed)
    at = gaps.expovariate(arrivals.rate)
    while at < arrivals.duration_s:
        yield at
        at += gaps.expovariate(arrivals.rate)


def _request_bytes(load: Load, host: str, path: str) -> Iterator[bytes]:
    extra = "".join(f"{name}: {value}\r\n" for name, value in load.headers.items())
    for body in load.bodies:
        payload = msgspec.json.encode(body)
        head = (
            f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(payload)}\r\n{extra}\r\n"
        )
        yield head.encode() + payload


def _judge(exchange: Exchange) -> tuple[Outcome, str | None]:
    if exchange.status is None or exchange.status >= 400:
        return "rejected", exchange.error
    if exchange.error is not None:
        return "error_event", exchange.error
    if exchange.streamed and not exchange.saw_done_mark:
        return "broken", "the stream ended without [DONE]"
    return "complete", None


def _header(exchange: Exchange, name: bytes) -> str | None:
    value = exchange.headers.get(name)
    return None if value is None else value.decode("latin-1")


def _generate(load: Load) -> LoadResult:
    if load.cpus:
        os.sched_setaffinity(0, load.cpus)
    result: LoadResult = uvloop.run(make_load(load))
    return result


def main() -> int:
    """Run the command; see the module's docstring."""
    parser = argparse.ArgumentParser(prog="python -m bench.client", description=__doc__)
    parser.add_argument("--load", choices=["-"], help="read a load as JSON from standard input")
    parser.add_argument("--cost", action="store_true", help="measure the client itself")
    parser.add_argument("--url")
    parser.add_argument("--body", help="JSON body of every request")
    parser.add_argument("--streams", type=int, default=1, help="closed loop: requests in flight")
    parser.add_argument("--requests", type=int, help="closed loop: requests in total")
    parser.add_argument("--rate", type=float, help="open loop: arrivals a second")
    parser.add_argument("--duration", type=float, default=10.0, help="open loop: seconds")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--timeout", type=float, default=600.0)
    given = parser.parse_args()
    if given.cost:
        from bench.client_cost import print_cost  # noqa: PLC0415 - it imports this module

        print_cost(streams=max(given.streams, 32))
        return 0
    if given.load:
        load = msgspec.json.decode(sys.stdin.buffer.read(), type=Load)
    elif given.url and given.body:
        requests = given.requests or given.streams
        arrivals: ClosedLoop | OpenLoop = ClosedLoop(given.streams, requests)
        if given.rate:
            arrivals = OpenLoop(given.rate, given.duration, given.seed)
        bodies = (msgspec.json.decode(given.body, type=dict),)
        load = Load(given.url, bodies, arrivals, timeout_s=given.timeout)
    else:
        parser.error("give --url and --body, or --load -, or --cost")
    sys.stdout.buffer.write(msgspec.json.encode(_generate(load)) + b"\n")
    sys.stdout.buffer.flush()
    return 0


if __name__ == "__main__":
    # The parent ends this process with SIGTERM; there is nothing to tidy up.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    sys.exit(main())
