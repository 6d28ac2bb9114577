"""What the load client itself costs, so that nobody need trust that it is cheap."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from bench.client import run_load
from bench.load import ClosedLoop, Load
from bench.processes import free_port, server


@dataclass(frozen=True, slots=True)
class ClientCost:
    """The client's own CPU time.

    Attributes:
        streams: Streams it read at the same time.
        chunks: Pieces of content it received.
        cpu_per_chunk_s: Its CPU seconds for one of them, its start and its requests included.
        cores: Share of a core it took: CPU seconds a second.
        chunks_per_second: The rate at which it received them.
    """

    streams: int
    chunks: int
    cpu_per_chunk_s: float
    cores: float
    chunks_per_second: float


def measure_cost(*, streams: int, chunks: int = 128, interval_s: float = 0.02) -> ClientCost:
    """Load a server that does nothing but stream, and read the client's own clock of CPU time."""
    port = free_port()
    url = f"http://127.0.0.1:{port}/"
    command = [sys.executable, "-m", "bench.trivial_server", str(port), str(chunks)]
    with server("trivial_server", [*command, str(interval_s)], ready_url=url, ready_timeout_s=20):
        requests = ClosedLoop(streams, streams * 2)
        result = run_load(Load(url, ({"stream": True},), requests))
    return ClientCost(
        streams=streams,
        chunks=result.chunks,
        cpu_per_chunk_s=result.client_cpu_s / max(result.chunks, 1),
        cores=result.client_cpu_s / result.elapsed_s,
        chunks_per_second=result.chunks / result.elapsed_s,
    )


def print_cost(*, streams: int) -> None:
    """Measure and print it."""
    cost = measure_cost(streams=streams)
    print(
        f"load client: {cost.cpu_per_chunk_s * 1e6:.1f} µs of CPU a chunk "
        f"({cost.streams} streams, {cost.chunks_per_second:,.0f} chunks/s, "
        f"{cost.cores:.1%} of a core)"
    )
