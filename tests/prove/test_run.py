"""Runs by real sender processes against a real server in the test's own event loop."""

import asyncio
import contextlib
import json
import os
import resource
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import psutil
import pytest

from pilotage.errors import PilotageError, UsageError
from pilotage.prove.load import ClosedLoop, Load, Schedule
from pilotage.prove.payload import Payload
from pilotage.prove.run import Moment, Stop, prepared, run, senders_for
from pilotage.prove.target.endpoint import Endpoint, parse_endpoint
from pilotage.prove.trial import Trial

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


_WHOLE = b'{"choices": [{"message": {"content": "ok"}, "finish_reason": "stop"}]}'


@dataclass
class Numbered:
    """Payloads that hold their own number."""

    most: int = 1_000_000
    description: str = "numbers"

    def payloads(
        self, count: int, *, seed: int, prescribed: Schedule | None = None
    ) -> Iterator[Payload]:
        for number in range(min(count, self.most)):
            yield Payload(json.dumps({"n": number, "seed": seed}).encode(), prompt_tokens=number)


Reply = Callable[[asyncio.StreamWriter, int], Awaitable[None]]


@dataclass
class Server:
    """Answers every POST by `reply` and notes what it was asked."""

    reply: Reply
    numbers: list[int] = field(default_factory=list)
    in_flight: int = 0
    most_in_flight: int = 0
    port: int = 0
    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def endpoint(self) -> Endpoint:
        return parse_endpoint(f"http://127.0.0.1:{self.port}", model="m", key="k")

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[Endpoint]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0, backlog=512)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self.endpoint
        finally:
            server.close()
            for task in self.tasks:
                task.cancel()
            await asyncio.gather(*self.tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.tasks.add(asyncio.current_task())
        try:
            await self._answer(reader, writer)
        finally:
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while not writer.is_closing():
                head = await reader.readuntil(b"\r\n\r\n")
                assert b"Authorization: Bearer k\r\n" in head
                length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
                number = json.loads(await reader.readexactly(length))["n"]
                self.numbers.append(number)
                self.in_flight += 1
                self.most_in_flight = max(self.most_in_flight, self.in_flight)
                try:
                    await self.reply(writer, number)
                finally:
                    self.in_flight -= 1


def _json(writer: asyncio.StreamWriter, body: bytes = _WHOLE, status: str = "200 OK") -> None:
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    writer.write(head.encode() + b"\r\n" + body)


async def _at_once(writer: asyncio.StreamWriter, number: int) -> None:
    _json(writer)


def _every(gap_s: float, count: int) -> Schedule:
    return Schedule(np.arange(count) * gap_s, gap_s * count, "constant")


async def _run(endpoint: Endpoint, load: Load, source: Numbered | None = None, **more) -> Trial:
    with prepared(load, source or Numbered(), seed=1) as spool:
        return await run(endpoint, load, spool, **{"timeout_s": 10.0, **more})


def _senders() -> list[psutil.Process]:
    children = psutil.Process().children()
    return [each for each in children if "pilotage.prove.client.sender_process" in each.cmdline()]


def _outcomes(trial: Trial) -> dict[str, int]:
    return dict(Counter(record.outcome for record in trial.records))


async def test_every_request_is_sent_once_by_whichever_sender() -> None:
    server = Server(_at_once)
    load = _every(0.004, 101)
    async with server.serving() as endpoint:
        trial = await _run(endpoint, load, senders=2)
    assert sorted(server.numbers) == list(range(101))
    assert [record.index for record in trial.records] == list(range(101))
    assert _outcomes(trial) == {"complete": 101}
    assert {record.sender for record in trial.records} == {0, 1}
    for record in trial.records:
        assert record.scheduled_s == load.times_s[record.index]
        assert record.sent_s is not None
        assert record.scheduled_s <= record.started_s <= record.sent_s <= record.end_s
        assert record.expected_prompt_tokens == record.index
    assert (trial.due_s, trial.planned, trial.stopped) == (pytest.approx(0.404), 101, None)
    assert [stats.sender for stats in trial.senders] == [0, 1]


async def test_latency_counts_from_when_a_request_was_due() -> None:
    """A server that stops for half a second is late for everything due meanwhile."""
    begin: list[float] = []

    async def stall(writer: asyncio.StreamWriter, number: int) -> None:
        # The whole event loop stands still, as a blocked server does.
        if number == 10:
            time.sleep(0.5)  # noqa: ASYNC251
            begin.append(time.monotonic())
        _json(writer)

    async with Server(stall).serving() as endpoint:
        trial = await _run(endpoint, _every(0.02, 50))
    stalled = trial.records[10]
    for record in trial.records[11:30]:
        assert record.e2e_s >= stalled.end_s - record.scheduled_s - 0.001
    assert trial.records[11].e2e_s > 0.4
    assert trial.records[45].e2e_s < 0.4


async def test_streams_are_timed_chunk_by_chunk() -> None:
    async def stream(writer: asyncio.StreamWriter, number: int) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n")
        writer.write(b"Server-Timing: queue;dur=7\r\nTransfer-Encoding: chunked\r\n\r\n")
        event = b'data: {"choices": [{"delta": {"content": "a"}}]}\n\n'
        for _ in range(3):
            await asyncio.sleep(0.03)
            writer.write(b"%x\r\n%s\r\n" % (len(event), event))
        writer.write(b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n")

    async with Server(stream).serving() as endpoint:
        trial = await _run(endpoint, _every(0.01, 5), keep_text=True)
    for record in trial.records:
        assert (record.outcome, record.chunks, record.text) == ("complete", 3, "aaa")
        assert record.ttft_s is not None
        assert record.tpot_s is not None
        assert 0.03 <= record.ttft_s < record.e2e_s
        assert record.queue_s == 0.007
        gaps = np.frombuffer(record.gaps, "<f4")
        assert len(gaps) == 2
        assert record.tpot_s == pytest.approx(gaps.mean(), rel=1e-3)


async def test_a_closed_loop_keeps_its_clients_busy_and_no_more() -> None:
    async def slowly(writer: asyncio.StreamWriter, number: int) -> None:
        await asyncio.sleep(0.01)
        _json(writer)

    server = Server(slowly)
    async with server.serving() as endpoint:
        trial = await _run(endpoint, ClosedLoop(7, None, 100), senders=2)
    assert server.most_in_flight == 7
    assert _outcomes(trial) == {"complete": 100}
    assert sorted(record.index for record in trial.records) == list(range(100))
    assert not trial.open_loop


async def test_a_closed_loop_ends_in_time_and_goes_round_in_its_payloads() -> None:
    async with Server(_at_once).serving() as endpoint:
        trial = await _run(endpoint, ClosedLoop(2, 0.3), Numbered(most=5))
    assert len(trial.records) > 10
    assert max(record.repeat for record in trial.records) >= 1
    assert all(record.scheduled_s <= 0.31 for record in trial.records)


async def test_nothing_is_sent_before_the_start() -> None:
    async with Server(_at_once).serving() as endpoint:
        trials = [await _run(endpoint, ClosedLoop(2, None, 4)) for _ in range(2)]
    assert all(len(trial.measured) == 4 for trial in trials)
    assert min(record.scheduled_s for trial in trials for record in trial.records) >= 0


async def test_a_closed_loop_does_not_hammer_a_server_that_refuses() -> None:
    async def refuse(writer: asyncio.StreamWriter, number: int) -> None:
        _json(writer, b'{"error": "busy"}', "429 Too Many Requests")

    async with Server(refuse).serving() as endpoint:
        trial = await _run(endpoint, ClosedLoop(3, 0.5))
    assert set(_outcomes(trial)) == {"rejected"}
    assert len(trial.records) <= 3 * 7


async def test_no_request_outlives_its_time() -> None:
    async def never(writer: asyncio.StreamWriter, number: int) -> None:
        await asyncio.sleep(3600)

    moments: list[Moment] = []
    async with Server(never).serving() as endpoint:
        trial = await _run(
            endpoint, _every(0.02, 20), timeout_s=0.6, end_by_s=0.2, on_moment=moments.append
        )
    assert _outcomes(trial) == {"timeout": 20}
    assert all(0.6 <= record.e2e_s < 5 for record in trial.records)
    assert max(moment.overdue for moment in moments) > 5
    assert sum(len(moment.new) for moment in moments) == 20
    moments.clear()
    async with Server(never).serving() as endpoint:
        await _run(
            endpoint, _every(0.02, 20), timeout_s=0.6, end_by_s=0.2, on_moment=moments.append,
            warm_up_s=10,
        )  # fmt: skip
    assert max(moment.overdue for moment in moments) == 0


async def test_connections_that_close_after_an_answer_cost_no_request() -> None:
    async def close(writer: asyncio.StreamWriter, number: int) -> None:
        _json(writer)
        await writer.drain()
        writer.close()

    async with Server(close).serving() as endpoint:
        trial = await _run(endpoint, _every(0.01, 30))
    assert _outcomes(trial) == {"complete": 30}


async def test_what_is_not_http_and_what_breaks_off() -> None:
    async def odd(writer: asyncio.StreamWriter, number: int) -> None:
        if number % 2:
            writer.write(b"\x00\x01garbage\r\n\r\n")
        else:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{")
            await writer.drain()
            writer.close()

    async with Server(odd).serving() as endpoint:
        trial = await _run(endpoint, _every(0.02, 10))
    assert _outcomes(trial) == {"garbage": 5, "broken": 5}


async def test_a_server_that_crashes_over_a_request_is_not_asked_again() -> None:
    """On a kept connection as on a new one: only a close that can be a race is no failure."""

    async def crash(writer: asyncio.StreamWriter, number: int) -> None:
        if number % 2:
            await asyncio.sleep(1.2)
            writer.close()
        else:
            _json(writer)

    server = Server(crash)
    async with server.serving() as endpoint:
        trial = await _run(endpoint, _every(0.02, 10))
    assert sorted(server.numbers) == list(range(10))
    assert _outcomes(trial) == {"complete": 5, "broken": 5}


async def test_a_connection_that_closes_just_then_is_tried_again_and_told() -> None:
    dropped: set[int] = set()

    async def race(writer: asyncio.StreamWriter, number: int) -> None:
        if number == 3 and number not in dropped:
            dropped.add(number)
            writer.close()
        else:
            _json(writer)

    async with Server(race).serving() as endpoint:
        trial = await _run(endpoint, _every(0.05, 6))
    assert _outcomes(trial) == {"complete": 6}
    assert [record.resent for record in trial.records] == [0, 0, 0, 1, 0, 0]


_FRAMED = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(_WHOLE), _WHOLE)


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (_FRAMED * 2, "complete"),  # the second one is nobody's
        (_FRAMED + b"\x00\x01", "complete"),
        (b"HTTP/1.1 100 Continue\r\n\r\n" * 3 + _FRAMED, "complete"),
        (b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nxx", "garbage"),
        (b"HTTP/1.1 200 OK\r\n" + b"X-More: and more\r\n" * 100_000, "garbage"),
        (b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * 2_000_000, "garbage"),
    ],
)
async def test_odd_answers_end_their_own_request_only(answer: bytes, outcome: str) -> None:
    async def odd(writer: asyncio.StreamWriter, number: int) -> None:
        writer.write(answer)
        await writer.drain()

    async with Server(odd).serving() as endpoint:
        trial = await _run(endpoint, _every(0.002, 20), timeout_s=5)
    assert _outcomes(trial) == {outcome: 20}


async def test_numbers_that_fit_nowhere_end_their_own_request_only() -> None:
    body = b'{"choices": [], "usage": {"completion_tokens": %d}}' % 10**30

    async def boast(writer: asyncio.StreamWriter, number: int) -> None:
        _json(writer, body if number % 2 else _WHOLE)

    async with Server(boast).serving() as endpoint:
        trial = await _run(endpoint, _every(0.005, 10))
    assert _outcomes(trial) == {"complete": 5, "garbage": 5}


async def test_an_answer_before_the_request_is_sent_does_not_hold_up_the_next() -> None:
    """413 to a large body: the connection still has to carry what is left of it."""

    @dataclass
    class Large(Numbered):
        def payloads(
            self, count: int, *, seed: int, prescribed: Schedule | None = None
        ) -> Iterator[Payload]:
            for number in range(count):
                yield Payload(b"x" * (16 << 20 if number == 0 else 10))

    class Hasty(Server):
        connections = 0

        async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self.connections += 1
            with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
                while b"Content-Length: 10\r" in await reader.readuntil(b"\r\n\r\n"):
                    await reader.readexactly(10)
                    _json(writer)
                _json(writer, b"{}", "413 Content Too Large")
                await asyncio.sleep(0.5)

    server = Hasty(_at_once)
    async with server.serving() as endpoint:
        trial = await _run(endpoint, _every(0.2, 3), Large())
    assert [record.outcome for record in trial.records] == ["refused", "complete", "complete"]
    assert server.connections == 2


async def test_waiting_for_a_file_is_the_clients_delay() -> None:
    """With no file left for a connection, the time until there is one is not the server's."""

    async def slowly(writer: asyncio.StreamWriter, number: int) -> None:
        await asyncio.sleep(0.5)
        _json(writer)

    # What a sender inherits: 64 files are kept for other things, so two connections are left.
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    async with Server(slowly).serving() as endpoint:
        load = _every(0.01, 6)
        with prepared(load, Numbered(), seed=1) as spool:
            running = asyncio.ensure_future(run(endpoint, load, spool, timeout_s=1.3))
            while not (senders := _senders()):  # noqa: ASYNC110  no event tells of a process
                await asyncio.sleep(0.001)
            resource.prlimit(senders[0].pid, resource.RLIMIT_NOFILE, (66, 66))
            trial = await running
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == before
    delays = sorted(round(record.send_delay_s, 1) for record in trial.records)
    assert delays[:2] == [0, 0]
    assert delays[2] >= 0.4
    assert delays[-1] >= 0.9


async def test_nobody_there() -> None:
    async with Server(_at_once).serving() as endpoint:
        pass
    trial = await _run(endpoint, _every(0.02, 5))
    assert _outcomes(trial) == {"unreachable": 5}
    assert all("refused" in str(record.error).lower() for record in trial.records)


async def test_a_stop_keeps_what_was_measured() -> None:
    async def slowly(writer: asyncio.StreamWriter, number: int) -> None:
        await asyncio.sleep(0.2 if number < 5 else 60)
        _json(writer)

    stop = Stop()

    def watch(moment: Moment) -> None:
        if moment.ended == 5:
            stop.now("Ctrl-C")
            stop.now("later")

    async with Server(slowly).serving() as endpoint:
        trial = await _run(endpoint, _every(0.01, 6000), on_moment=watch, stop=stop)
    outcomes = _outcomes(trial)
    assert outcomes["complete"] == 5
    assert outcomes["cancelled"] > 5
    assert trial.stopped == "Ctrl-C"
    assert trial.due_s < 30
    assert len(trial.measured) == 5


@pytest.mark.parametrize("stop_after_s", [0.0, 0.15, 0.4, None])
async def test_every_request_has_one_record_whatever_fails_and_whenever_it_stops(
    stop_after_s: float | None,
) -> None:
    async def fail(writer: asyncio.StreamWriter, number: int) -> None:
        match number % 8:
            case 1:
                writer.close()
            case 2:
                writer.write(b"\x00garbage")
            case 3:
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{")
                await writer.drain()
                writer.transport.abort()
            case 4:
                await asyncio.sleep(60)
            case 5:
                _json(writer, b"{}", "429 Too Many Requests")
            case 6:
                writer.write(_FRAMED * 2)
            case 7:
                writer.write(b"HTTP/1.0 200 OK\r\n\r\n" + _WHOLE)
                await writer.drain()
                writer.close()
            case _:
                _json(writer)

    load, stop = _every(0.003, 200), Stop()

    def watch(moment: Moment) -> None:
        if stop_after_s is not None and moment.at >= stop_after_s:
            stop.now("Ctrl-C")

    async with Server(fail).serving() as endpoint:
        trial = await _run(endpoint, load, timeout_s=0.5, senders=2, on_moment=watch, stop=stop)
    indices = [record.index for record in trial.records]
    assert len(set(indices)) == len(indices)
    if stop_after_s is None:
        assert indices == list(range(200))
        assert _outcomes(trial)["complete"] == 75
        assert _outcomes(trial)["timeout"] == _outcomes(trial)["rejected"] == 25
    for sender in range(2):
        # All of a sender's that were due, without a hole.
        own = [index for index in indices if index % 2 == sender]
        assert own == list(range(sender, sender + 2 * len(own), 2))
        due = [time for time in load.times_s[sender::2] if time < trial.due_s - 0.05]
        assert len(own) >= len(due)


async def test_a_dead_sender_is_an_error() -> None:
    def kill(moment: Moment) -> None:
        for child in psutil.Process().children():
            if "pilotage.prove.client.sender_process" in child.cmdline():
                os.kill(child.pid, signal.SIGKILL)

    async with Server(_at_once).serving() as endpoint:
        with pytest.raises(PilotageError, match="sender process died with exit code -9"):
            await _run(endpoint, _every(0.01, 1000), on_moment=kill)


async def test_a_source_without_prompts() -> None:
    with pytest.raises(UsageError, match="no prompt"), prepared(_every(1, 1), Numbered(0), seed=0):
        pass


def test_how_many_senders_a_load_gets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    assert senders_for(_every(1, 10)) == 1
    assert senders_for(_every(1 / 2500, 5000)) == 3
    assert senders_for(_every(1e-5, 200_000)) == 7
    assert senders_for(ClosedLoop(64, 1)) == 1
    assert senders_for(ClosedLoop(600, 1)) == 3
