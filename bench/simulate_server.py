"""The simulation against Pilotage's own server under overload.

The server's step times are measured while it is calm: decode steps at several numbers of streams,
prefill from short and long prompts. From these alone the simulation says what happens at three
times the capacity under a TTFT target: how many requests are refused, and how soon the others
have their first token. Then the same load is put on the server.
"""

from __future__ import annotations

import contextlib
import os
import statistics
from collections.abc import Iterator, Sequence

import httpx
import msgspec
import numpy as np
from rich.table import Table

from bench.client import run_load
from bench.load import ClosedLoop, Load, LoadResult, OpenLoop
from bench.peers.peer import chat_body, served_model
from bench.processes import RESULTS, ROOT, free_port, server
from bench.prompts import prompts
from pilotage.plan.simulate import Requests, poisson, simulate
from pilotage.plan.step_model import Batch, EngineLimits

TOKENS = 64
FACTOR = 3.0
SEQS = 16
BATCHED = 512
STREAMS = (1, 4, 8, SEQS)
PATIENT_S = 600.0


class MeasuredSteps:
    """Steps as measured: decode at some numbers of streams, between them in a straight line.

    Args:
        streams: Streams at which decode was measured, ascending.
        step_s: Seconds of a decode step at each.
        token_s: Seconds that a prompt token adds.
        alone_s: Seconds of a step without decode, prompt tokens apart.
    """

    def __init__(
        self, streams: Sequence[int], step_s: Sequence[float], token_s: float, alone_s: float
    ) -> None:
        self._streams, self._step_s = (0, *streams), (alone_s, *step_s)
        self._token_s = token_s

    def step_s(self, batch: Batch) -> float:
        """Expected seconds."""
        decode = float(np.interp(batch.decode_seqs, self._streams, self._step_s))
        return decode + self._token_s * batch.prefill_tokens

    floor_s = step_s


class ServerRun(msgspec.Struct):
    """Predicted and measured."""

    rate: float
    target_s: float
    capacity_rps: float
    predicted_capacity_rps: float
    reject_rate: float
    predicted_reject_rate: float
    ttft_p50_s: float
    predicted_ttft_p50_s: float
    ttft_p99_s: float
    predicted_ttft_p99_s: float
    step_s: dict[int, float]
    token_s: float

    def table(self) -> Table:
        """Both side by side."""
        table = Table(
            title=f"Overload of the server: {self.rate:.1f} requests/s, target {self.target_s:g} s"
        )
        for column in ("what", "predicted", "measured", "error"):
            table.add_column(column, justify="left" if column == "what" else "right")
        for what, predicted, measured in (
            ("capacity, requests/s", self.predicted_capacity_rps, self.capacity_rps),
            ("reject rate", self.predicted_reject_rate, self.reject_rate),
            ("TTFT p50, s", self.predicted_ttft_p50_s, self.ttft_p50_s),
            ("TTFT p99, s", self.predicted_ttft_p99_s, self.ttft_p99_s),
        ):
            off = f"{predicted / measured - 1:+.1%}" if measured else "-"
            table.add_row(what, f"{predicted:.3f}", f"{measured:.3f}", off)
        return table


def decode_step_s(result: LoadResult) -> float:
    """The median time between two pieces of an answer, which is a step's.

    Several pieces that arrive together were several steps, so times are taken over the answer's
    whole decode where the server puts pieces together.
    """
    steps = [
        (record.chunk_times_s[-1] - record.chunk_times_s[0]) / (record.completion_tokens - 1)
        for record in result.completed
        if record.completion_tokens > 1 and len(record.chunk_times_s) > 1
    ]
    return statistics.median(steps)


def _cores() -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The client's core, and the engine's: an engine whose cores others use is a slower one."""
    first, *others = sorted(os.sched_getaffinity(0))
    return ((first,), tuple(others)) if others else ((), ())


@contextlib.contextmanager
def _serving(target_s: float) -> Iterator[tuple[str, str]]:
    port = free_port()
    base = f"http://127.0.0.1:{port}"
    spec = RESULTS / "simulate.yaml"
    cores = f"{{cores: {list(_cores()[1])}}}" if _cores()[1] else ""
    spec.write_text(f"serving: {{worker_map: [{cores}]}}\n")
    command = [ROOT / ".venv/bin/pilotage", "serve", spec, "--port", str(port)]
    command += ["--ttft-p99", f"{target_s}s", "--max-num-seqs", str(SEQS)]
    command += ["--max-num-batched-tokens", str(BATCHED), "--no-prefix-caching"]
    ready = f"{base}/health/ready"
    with server("simulate", command, ready_url=ready, ready_timeout_s=180):
        yield base, served_model(base)


def _prompt_tokens(base: str, body: dict[str, object]) -> int:
    plain = {name: value for name, value in body.items() if name != "stream_options"}
    answer = httpx.post(
        f"{base}/v1/chat/completions",
        json={**plain, "stream": False, "max_tokens": 1},
        timeout=PATIENT_S,
        trust_env=False,
    )
    return int(answer.json()["usage"]["prompt_tokens"])


def run_server(seconds: float, target_s: float = 4.0) -> ServerRun:
    """Measure steps, predict, overload, compare."""
    extra = {"ignore_eos": True, "stream_options": {"include_usage": True}}
    client = _cores()[0]

    def bodies(model: str, texts: Sequence[str], tokens: int) -> tuple[dict[str, object], ...]:
        return tuple(chat_body(model, text, tokens, **extra) for text in texts)

    with _serving(PATIENT_S) as (base, model):
        url = f"{base}/v1/chat/completions"
        # Warm; then decode at several widths.
        run_load(Load(url, bodies(model, prompts(8), 8), ClosedLoop(4, 8), cpus=client))
        steps: dict[int, float] = {}
        capacity = 0.0
        for streams in STREAMS:
            requests = 3 * streams
            load = Load(
                url,
                bodies(model, prompts(requests, skip=50 * streams), TOKENS),
                ClosedLoop(streams, requests),
                cpus=client,
            )
            found = run_load(load)
            steps[streams] = decode_step_s(found)
            capacity = len(found.completed) / found.elapsed_s
        # Prefill: short prompts, and eight of them in one.
        short = prompts(8, skip=2000)
        long = ["\n".join(prompts(8, skip=3000 + 8 * i)) for i in range(8)]
        times, tokens = [], []
        for texts in (short, long):
            one = bodies(model, texts, 1)
            tokens.append(_prompt_tokens(base, one[0]))
            done = run_load(Load(url, one, ClosedLoop(1, len(one)), cpus=client))
            times.append(statistics.median(done.ttfts_s))
    token_s = (times[1] - times[0]) / (tokens[1] - tokens[0])
    alone_s = max(0.0, times[0] - token_s * tokens[0])
    # Decode in a closed loop carries the prefill of those that join: one prompt in `TOKENS` steps
    # for each stream. Taken off, so that the model does not count it twice.
    widths = {
        n: max(alone_s / 2, step - n * token_s * tokens[0] / TOKENS) for n, step in steps.items()
    }
    model_of = MeasuredSteps(tuple(widths), tuple(widths.values()), token_s, alone_s)
    limits = EngineLimits(
        max_num_seqs=SEQS, max_num_batched_tokens=BATCHED, kv_tokens=10**6, max_model_len=4096
    )

    def requests_at(rate: float, duration_s: float) -> Requests:
        arrivals = poisson(rate, duration_s, np.random.default_rng(5))
        count = len(arrivals)
        return Requests(arrivals, np.full(count, tokens[0]), np.full(count, TOKENS), duration_s)

    full = simulate(requests_at(10 * capacity, 60.0), model_of, limits)
    rate = FACTOR * capacity
    # The measured run begins with an empty server too, so the prediction keeps its beginning;
    # it is repeated over a longer time only for its percentiles to be steady.
    predicted = simulate(
        requests_at(rate, max(seconds, 300.0)), model_of, limits, admission_ttft_s=target_s
    )
    with _serving(target_s) as (base, model):
        url = f"{base}/v1/chat/completions"
        run_load(Load(url, bodies(model, prompts(8), TOKENS), ClosedLoop(4, 8), cpus=client))
        load = Load(
            url,
            bodies(model, prompts(512, skip=300), TOKENS),
            OpenLoop(rate, seconds, seed=1),
            timeout_s=120,
            cpus=client,
        )
        result = run_load(load)
    accepted = [record for record in result.records if record.status == 200]
    ttfts = [record.ttft_s for record in accepted if record.ttft_s is not None]
    assert predicted.ttft is not None
    return ServerRun(
        rate=rate,
        target_s=target_s,
        capacity_rps=capacity,
        predicted_capacity_rps=full.requests_per_s,
        reject_rate=1 - len(accepted) / len(result.records),
        predicted_reject_rate=predicted.reject_rate,
        ttft_p50_s=float(np.quantile(ttfts, 0.5)),
        predicted_ttft_p50_s=predicted.ttft.p50,
        ttft_p99_s=float(np.quantile(ttfts, 0.99)),
        predicted_ttft_p99_s=predicted.ttft.p99,
        step_s=steps,
        token_s=token_s,
    )
