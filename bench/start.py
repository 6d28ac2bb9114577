"""Start-up: how much faster a worker loads the embedded model the second time.

    make bench-start           (python bench/start.py [--repeats 3] [--json FILE])

The first start builds OpenVINO's model and tokenizer from the GGUF file and keeps them; later
starts read what was kept. Each start is a process of its own; the ratio is of medians.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import msgspec
from rich.console import Console

if __package__ in {None, ""}:  # run as a file: the repository is not on the path yet
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench.machine import this_machine
from bench.model import model_file

LOAD = """
import os, sys, time
from pathlib import Path
from pilotage.engines.memory import free_memory, plan_memory
from pilotage.engines.registry import inspect_model
began = time.perf_counter()
from pilotage.engines.openvino import OpenVinoEngine
files = inspect_model(Path(sys.argv[1]))
plan = plan_memory(files.shape, workers=1, free_bytes=free_memory(), memory_fraction=0.6)
OpenVinoEngine.open(
    files.path, plan, threads=len(os.sched_getaffinity(0)), cache=Path(sys.argv[2])
)
print(time.perf_counter() - began, flush=True)
os._exit(0)
"""


class Report(msgspec.Struct):
    """Seconds from import to a warmed-up engine, and the ratio."""

    machine: str
    first_s: list[float]
    second_s: list[float]
    ratio: float


def load_s(model: Path, cache: Path) -> float:
    """Seconds that one start takes."""
    done = subprocess.run(
        [sys.executable, "-c", LOAD, str(model), str(cache)],
        capture_output=True,
        text=True,
        check=True,
    )
    return float(done.stdout.split()[-1])


def main() -> int:
    """Measure, print, and fail if the second start is not faster."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    model = model_file(None)
    first, second = [], []
    for _ in range(arguments.repeats):
        with tempfile.TemporaryDirectory() as cache:
            first.append(load_s(model, Path(cache)))
            second.append(load_s(model, Path(cache)))
    ratio = statistics.median(first) / statistics.median(second)
    report = Report(str(this_machine()), first, second, ratio)
    console = Console()
    console.print(
        f"first start {statistics.median(first):.1f} s, second {statistics.median(second):.1f} s: "
        f"{ratio:.2f} x faster (medians of {arguments.repeats})"
    )
    console.print(report.machine)
    if arguments.json:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_bytes(msgspec.json.format(msgspec.json.encode(report)))
    return 0 if ratio > 1 else 1


if __name__ == "__main__":
    sys.exit(main())
