"""Random schedules of faults: nothing is lost or paid twice, and the rows say what was served."""

import asyncio
import contextlib
import json
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Literal

from chat_faults import (
    LIES,
    PRICE,
    WORDS,
    ChatServer,
    Rows,
    Served,
    call,
    chat_server,
    posted,
    tier_of,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from pilotage.route.answer import Usage
from pilotage.route.attempt import Attempt, Outcome
from pilotage.route.backends.backend import BackendError, Fault
from pilotage.route.backends.tier import Tier

_TOLD = Usage(prompt_tokens=20, completion_tokens=WORDS, cache_read_tokens=8)
_FREE = {"unreachable", "rate_limited", "overloaded", "refused", "denied"}
_BEHAVIOURS = [
    "ok", "ok", "ok", "silent", "hang", "dead", "429", "500", "503", "400", "401", "cut",
    "cut-clean", "error-event", "garbage-event", "web-page", "not-http", "no-done", *LIES,
]  # fmt: skip

Way = Literal["chunks", "raw", "whole"]


@dataclass
class Client:
    """One request: how it is asked for, and what its client does.

    Attributes:
        leaves_after: Pieces after which it hangs up; None to read all.
        cancelled_after_s: When its task is cancelled; None for never.
    """

    name: str
    way: Way
    leaves_after: int | None
    cancelled_after_s: float | None
    deadline_s: float
    got: list[str] = field(default_factory=list)
    error: BackendError | None = None
    whole: bool = False
    cancelled: bool = False

    async def run(self, tier: Tier) -> None:
        deadline = time.monotonic() + self.deadline_s
        stream = (
            tier.answer(call(self.name, deadline=deadline))
            if self.way == "chunks"
            else tier.forward(
                posted(self.name, stream=self.way == "raw"),
                stream=self.way == "raw",
                request_id=f"r-{self.name}",
                deadline=deadline,
            )
        )
        try:
            async with stream:
                count = 0
                async for piece in stream:
                    self.got.append(piece.decode() if isinstance(piece, bytes) else piece.text)
                    count += 1
                    if count == self.leaves_after:
                        return
            self.whole = True
        except BackendError as error:
            self.error = error
        except asyncio.CancelledError:
            self.cancelled = True

    @property
    def text(self) -> str:
        """The answer's words, however they came."""
        if self.way == "chunks":
            return "".join(self.got)
        if self.way == "whole":
            return "".join(
                json.loads(body)["choices"][0]["message"]["content"] for body in self.got
            )
        events = "".join(self.got).split("\n\n")
        choices = [
            choice
            for event in events
            if event.startswith('data: {"')  # garbage is passed on as well
            for choice in json.loads(event.removeprefix("data: "))["choices"]
        ]
        return "".join(choice["delta"].get("content", "") for choice in choices)


_clients = st.lists(
    st.builds(
        Client,
        name=st.just(""),
        way=st.sampled_from(["chunks", "chunks", "raw", "whole"]),
        leaves_after=st.sampled_from([None, None, None, 1, 3]),
        cancelled_after_s=st.sampled_from([None, None, None, 0.0, 0.001, 0.02]),
        deadline_s=st.sampled_from([0.03, 0.15, 20.0]),
    ),
    min_size=1,
    max_size=5,
)


@settings(max_examples=120)
@given(
    first=st.lists(st.sampled_from(_BEHAVIOURS), max_size=8),
    second=st.lists(st.sampled_from(_BEHAVIOURS), max_size=8),
    clients=_clients,
    together=st.booleans(),
)
def test_rows_say_what_was_served(
    first: list[str], second: list[str], clients: list[Client], together: bool
) -> None:
    for index, client in enumerate(clients):
        client.name = str(index)
    asyncio.run(_check(first, second, clients, together))


async def _check(
    first: list[str], second: list[str], clients: list[Client], together: bool
) -> None:
    rows = Rows()
    async with chat_server(*first) as a, chat_server(*second) as b:
        b.serials_from = 1000
        tier = tier_of(rows, a.url, b.url, timeout_s=0.12, first_token_timeout_s=0.06)
        running: list[asyncio.Task[None]] = []
        for client in clients:
            task = asyncio.get_running_loop().create_task(client.run(tier))
            if client.cancelled_after_s is not None:
                asyncio.get_running_loop().call_later(client.cancelled_after_s, task.cancel)
            running.append(task)
            if not together:
                await _ended(task, client)
        for task, client in zip(running, clients, strict=True):
            await _ended(task, client)
        health = tier.health
        await tier.close()
    # Nothing is left over.
    assert [one.in_flight for one in health] == [0, 0]
    assert sum(one.attempts for one in health) == len(rows)
    assert len({row.id for row in rows}) == len(rows)
    served = {one.model: one for server in (a, b) for one in server.served}
    for client in clients:
        _check_client(client, [row for row in rows if row.request_id == f"r-{client.name}"], served)
    _check_rows(rows, served)
    _check_counts(rows, (a, b), clients)


async def _ended(task: asyncio.Task[None], client: Client) -> None:
    """No request is lost: each ends by its deadline. The rest is for a machine that is slow."""
    with contextlib.suppress(asyncio.CancelledError):
        async with asyncio.timeout(client.deadline_s + 10):
            await task


def _check_client(client: Client, rows: list[Attempt], served: dict[str, Served]) -> None:
    ended = client.whole or client.error is not None or client.leaves_after is not None
    assert ended or client.cancelled or client.cancelled_after_s is not None
    # What was read is of one answer, from its beginning: the last attempt's.
    if client.text:
        one = served[rows[-1].served_model]
        assert one.text.startswith(client.text)
        assert one.body["messages"][0]["content"] == client.name
        if client.whole:
            assert client.text == one.text
    for row in rows[:-1]:
        assert row.outcome is Outcome.ERROR
        assert row.decision == f"{row.fault}: tried again"
    if client.whole:
        assert rows[-1].outcome is Outcome.OK
    if client.error is not None and rows:
        assert rows[-1].fault == client.error.fault
    if client.error is not None and not rows:
        assert client.error.fault in (Fault.OVERLOADED, Fault.TIMEOUT)


def _check_rows(rows: Rows, served: dict[str, Served]) -> None:
    told = [row.served_model for row in rows if row.served_model in served]
    # No answer is charged twice.
    assert len(set(told)) == len(told)
    for row in rows:
        one = served.get(row.served_model)
        if row.outcome is Outcome.OK:
            assert one is not None
            assert one.complete
            if one.behaviour in LIES:
                assert row.usage.estimated
                assert row.usage.completion_tokens > 0
            else:
                assert row.usage == _TOLD
        elif one is not None and row.usage.estimated:
            # Of an answer that broke off no more is billed than was sent of it.
            assert row.usage.completion_tokens <= max(len(one.sent), WORDS)
        if row.fault in _FREE:
            assert (row.usage, row.cost) == (Usage(), 0)
        elif row.usage == Usage():
            assert row.cost == 0
        else:
            assert row.cost == PRICE.cost(row.usage) > 0


def _check_counts(rows: Rows, servers: tuple[ChatServer, ...], clients: list[Client]) -> None:
    """A row for each request that a server saw, and none without, but where somebody left."""
    seen: Counter[str] = Counter()
    dead: Counter[str] = Counter()
    for server in servers:
        for one in server.served:
            name = f"r-{one.body['messages'][0]['content']}"
            seen[name] += 1
            # On a kept connection that closes without a byte a request is sent once more, as part
            # of the same attempt: nothing can have been served.
            dead[name] += one.behaviour == "dead"
    made = Counter(row.request_id for row in rows)
    for client in clients:
        name = f"r-{client.name}"
        assert made[name] >= seen[name] - dead[name]
        ended_by_time = [
            row
            for row in rows
            if row.request_id == name
            and (row.outcome is Outcome.CANCELLED or row.fault in ("timeout", "unreachable"))
        ]
        assert made[name] <= seen[name] + len(ended_by_time)
