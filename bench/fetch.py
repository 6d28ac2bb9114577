"""Fetch on loopback: Pilotage against huggingface_hub and curl, the same bytes from one origin.

    make bench-fetch           (python bench/fetch.py [--quick] [--size MIB] [--json FILE])

The origin serves one large safetensors file and a few small ones from the page cache by
``sendfile``. Every tool runs as a process of its own into an empty folder, in an order that
rotates from round to round; ratios are medians of ratios within a round. Whatever arrived is
hashed once more after the tool's clock has stopped. Without ``--folder`` all of it is done twice,
in memory (tmpfs) and on this checkout's disk, and the targets are judged in both.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec
import psutil
from rich.console import Console

if __package__ in {None, ""}:  # run as a file: the repository is not on the path yet
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench.fetch_report import MIB, Place, Report, Run, arithmetic, ratio, table, targets, verdict
from bench.fetch_runs import MODEL, drain, make_model, origin, run, sha256_of
from bench.fetch_tools import CURL, HUB, OURS, OURS_BARE
from bench.machine import this_machine
from bench.processes import RESULTS, BusyError, StartError, sole_bench

SHARED_MEMORY = Path("/dev/shm")


def main() -> int:
    """Measure, print; fail when a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--size", type=int, metavar="MIB", help="default 1024, quick 128")
    parser.add_argument("--repeats", type=int, help="default 5, quick 3")
    parser.add_argument("--folder", type=Path, action="append", help="write here; several times")
    parser.add_argument("--quick", action="store_true", help="small: to see that it works")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    size = (arguments.size or (128 if arguments.quick else 1024)) * MIB
    repeats = arguments.repeats or (3 if arguments.quick else 5)
    console = Console(width=max(110, Console().width))
    try:
        with sole_bench():
            report = measure(size, repeats, arguments.folder or _folders(size, console), console)
    except (BusyError, StartError) as error:
        console.print(f"[red]{error}[/]")
        return 2
    for place in report.places:
        console.print(table(place, report.model_bytes))
        for target in place.targets:
            console.print(verdict(target))
        console.print()
    for line in [*arithmetic(report), report.machine]:
        console.print(line, highlight=False)
    if arguments.json:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_bytes(msgspec.json.format(msgspec.json.encode(report)))
    missed = [t for place in report.places for t in place.targets if t.met is False]
    return 1 if missed else 0


def measure(size: int, repeats: int, folders: Sequence[Path], console: Console) -> Report:
    """Serve a model of about `size` bytes and have every tool download it into each folder."""
    tools = [OURS, HUB, OURS_BARE, *([CURL] if shutil.which("curl") else [])]
    served_from = SHARED_MEMORY if _room(SHARED_MEMORY) > 3 * size else None
    with tempfile.TemporaryDirectory(dir=served_from, prefix="bench-fetch-") as source:
        digests = make_model(Path(source), size)
        with origin(Path(source)) as (url, process):
            places = []
            for folder in folders:
                runs = []
                for index in range(repeats):
                    turn = index % len(tools)
                    for tool in tools[turn:] + tools[:turn]:
                        console.print(f"[dim]{folder}: round {index + 1}, {tool}[/]")
                        runs.append(run(tool, url, folder, digests, process))
                places.append(_place(folder, runs))
            drained = [drain(url, list(digests)) for _ in range(3)] if CURL in tools else []
        total = sum(path.stat().st_size for path in Path(source).iterdir())
        sha256_s = min(_hash_s(Path(source, MODEL)) for _ in range(2))
    return Report(
        str(this_machine()),
        " ".join(["bench/fetch.py", *sys.argv[1:]]),
        total,
        sha256_s,
        statistics.median(drained) if drained else None,
        tuple(places),
    )


def _place(folder: Path, runs: Sequence[Run]) -> Place:
    compared = {
        "pilotage / huggingface_hub": ratio(runs, OURS, HUB),
        "pilotage / huggingface_hub, both until the disk has it": ratio(
            runs, OURS, HUB, flushed=True
        ),
        "pilotage unverified / curl": ratio(runs, OURS_BARE, CURL),
        "pilotage / curl": ratio(runs, OURS, CURL),
        "pilotage / curl, both until the disk has it": ratio(runs, OURS, CURL, flushed=True),
    }
    kind, mount = _filesystem(folder)
    return Place(
        f"{kind} at {mount}",
        kind in {"tmpfs", "ramfs"},
        tuple(runs),
        {what: figure for what, figure in compared.items() if figure is not None},
        targets(runs),
    )


def _folders(size: int, console: Console) -> list[Path]:
    disk = RESULTS / "fetch"
    disk.mkdir(parents=True, exist_ok=True)
    fitting = [folder for folder in (SHARED_MEMORY, disk) if _room(folder) > 4 * size]
    for folder in {SHARED_MEMORY, disk} - set(fitting):
        console.print(f"[yellow]{folder} has no room for four models: left out[/]")
    if not fitting:
        raise StartError("no filesystem has room for the bench; try a smaller --size")
    return fitting


def _room(folder: Path) -> int:
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return 0


def _filesystem(folder: Path) -> tuple[str, str]:
    mounts = [
        partition
        for partition in psutil.disk_partitions(all=True)
        if folder.resolve().is_relative_to(partition.mountpoint)
    ]
    found = max(mounts, key=lambda partition: len(partition.mountpoint), default=None)
    return (found.fstype, found.mountpoint) if found else ("unknown", str(folder))


def _hash_s(path: Path) -> float:
    began = time.perf_counter()
    sha256_of(path)
    return time.perf_counter() - began


if __name__ == "__main__":
    sys.exit(main())
