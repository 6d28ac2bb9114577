"""The server of known latency, running, as the parts of `bench/loadgen.py` use it."""

from __future__ import annotations

import contextlib
import random
import sys
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np

from bench.known_latency import Behaviour, Seen, due
from bench.load_peers.tool import Percentiles, Times
from bench.processes import free_port, get, server


@dataclass(frozen=True, slots=True)
class KnownServer:
    """A server process that answers with known latency.

    Attributes:
        base: Its address, without ``/v1``.
    """

    base: str

    def behave(self, behaviour: Behaviour) -> None:
        """Behave so from now on, and forget what was seen."""
        request = urllib.request.Request(
            f"{self.base}/control", data=msgspec.json.encode(behaviour), method="POST"
        )
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=10):
            pass

    def seen(self) -> Seen:
        """What it saw since then."""
        answer = get(f"{self.base}/seen", timeout_s=30)
        if answer is None:
            raise RuntimeError("the server of known latency does not answer")
        return msgspec.json.decode(answer, type=Seen)


@contextlib.contextmanager
def known_server(cpus: Sequence[int]) -> Iterator[KnownServer]:
    """Start one on these CPU cores, or on all if none is named.

    Raises:
        StartError: It did not start.
    """
    port = free_port()
    base = f"http://127.0.0.1:{port}"
    with server(
        "known_latency",
        [sys.executable, "-m", "bench.known_latency", port],
        ready_url=f"{base}/health",
        ready_timeout_s=20,
        cpus=cpus,
    ):
        yield KnownServer(base)


def given(seen: Seen) -> Percentiles:
    """The latency that the server gave to the requests it saw, its own lateness included."""
    return Percentiles.of(np.array(seen.answered_s) - np.array(seen.arrived_s))


def lateness(seen: Seen) -> Times:
    """How late the server itself was with each answer: what the rest of the machine does to it."""
    late: Times = np.array(seen.answered_s) - np.array(seen.due_s)
    return late


def truth(
    behaviour: Behaviour, began_s: float, due_s: Times, late_s: Times | float = 0.0
) -> Percentiles:
    """The latency of requests that were due then, whether or not they were sent then.

    Only for behaviours without chance.

    Args:
        behaviour: The server's.
        began_s: See `Seen`.
        due_s: When the requests were due.
        late_s: The server's own lateness, all told or request by request.
    """
    no_chance = random.Random()
    exact = np.array([due(behaviour, began_s, at, no_chance) - at for at in due_s])
    return Percentiles.of(exact + late_s)


def in_theory(behaviour: Behaviour) -> Percentiles:
    """The latency of requests that come at any moment, for ever."""
    if behaviour.kind == "log_normal":
        normal = np.array([0.0, 1.2815515655446004, 2.3263478740408408])
        return Percentiles(*(behaviour.latency_s * np.exp(behaviour.sigma * normal)).tolist())
    moments = np.linspace(0.0, behaviour.every_s, 100_000, endpoint=False)
    return truth(behaviour, 0.0, moments)


def middle_rate(seen: Seen) -> float:
    """Requests a second that arrived, without the first and the last tenth of the time."""
    at = np.array(seen.arrived_s)
    if len(at) < 10 or at[-1] <= at[0]:
        return 0.0
    tenth = (at[-1] - at[0]) / 10
    inside = np.count_nonzero((at >= at[0] + tenth) & (at < at[-1] - tenth))
    return float(inside / (8 * tenth))
