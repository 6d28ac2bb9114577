"""How long a fleet needs to have one model, and what the origin sends for it.

::

    python bench/fetch_swarm.py                 about four minutes
    python bench/fetch_swarm.py --nodes 1,4,16

Origin and nodes are hosts with uplinks of one and the same rate (see `fetch_swarm_network`). All
nodes begin at once, with nothing. Measured are the time until the last has the whole model, its
sha256 verified, and the bytes that the origin sent. The yardstick is one node that downloads from
the origin alone, with the same transfer engine. Plain downloads by all nodes are measured too,
with a smaller model, as they take that many times as long; ratios are to one node alone with the
same model.
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

if __package__ in {None, ""}:  # run as a file: the repository is not on the path yet
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from rich.console import Console
from rich.table import Table

from bench.fetch_swarm_network import Host, has_namespaces, network
from bench.machine import this_machine

MAKESPAN_LIMIT = 2.0
TRAFFIC_LIMIT = 1.5
HOST = Path(__file__).with_name("fetch_swarm_host.py")


@dataclass(frozen=True, slots=True)
class Row:
    """A fleet's fetch.

    Attributes:
        how: ``swarm`` or ``plain``.
        nodes: How many.
        model_bytes: The model's size.
        makespan_s: From the start to the last node's end, in seconds.
        makespan_ratio: To one node alone.
        origin_ratio: Bytes that the origin sent, to the model's size.
        ideal_ratio: The least that equal uplinks allow: 1 + floor(log2 nodes) / pieces for the
            swarm; nodes for plain downloads.
        cpu_s: CPU time of all nodes together, in seconds.
    """

    how: str
    nodes: int
    model_bytes: int
    makespan_s: float
    makespan_ratio: float
    origin_ratio: float
    ideal_ratio: float
    cpu_s: float


class Program:
    """A program on a host; its lines are JSON."""

    def __init__(self, host: Host, role: str, order: dict[str, Any]) -> None:
        self._process = subprocess.Popen(
            [*host.enter, sys.executable, str(HOST), role, json.dumps(order)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def line(self) -> Any:
        """Its next line."""
        assert self._process.stdout is not None
        text = self._process.stdout.readline()
        if not text:
            raise RuntimeError(f"a program of the bench ended with {self._process.wait()}")
        return json.loads(text)

    def go(self) -> None:
        """Let it begin."""
        assert self._process.stdin is not None
        self._process.stdin.write("go\n")
        self._process.stdin.flush()

    def end(self) -> None:
        """Close its input and wait."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()


@contextmanager
def running(host: Host, role: str, order: dict[str, Any]) -> Iterator[Program]:
    """A program, ended on the way out."""
    program = Program(host, role, order)
    try:
        yield program
    finally:
        program.end()


@dataclass(frozen=True, slots=True)
class Bench:
    """What is the same for all runs.

    Attributes:
        rate: Bytes a second of every uplink.
        scratch: Where the nodes write.
    """

    rate: int
    scratch: Path

    def run(self, how: str, nodes: int, size: int) -> Row:
        """Have `nodes` nodes fetch a model of `size` bytes."""
        own = 0 if has_namespaces() else self.rate
        rates: list[int | None] = [self.rate, None, *([self.rate] * nodes)]
        with ExitStack() as stack:
            hosts = stack.enter_context(network(rates))
            where = {"rate": own, "size": size}
            origin = stack.enter_context(
                running(hosts[0], "origin", {**where, "address": hosts[0].address})
            )
            origin_url = origin.line()["url"]
            tracker_url = None
            if how == "swarm":
                tracker = stack.enter_context(
                    running(hosts[1], "tracker", {"address": hosts[1].address})
                )
                tracker_url = tracker.line()["url"]
            folder = Path(tempfile.mkdtemp(dir=self.scratch))
            stack.callback(shutil.rmtree, folder, ignore_errors=True)
            programs = [
                stack.enter_context(
                    running(
                        host,
                        "node",
                        {
                            **where,
                            "address": host.address,
                            "origin": origin_url,
                            "tracker": tracker_url,
                            "folder": str(folder / str(number)),
                        },
                    )
                )
                for number, host in enumerate(hosts[2:])
            ]
            for program in programs:
                program.line()
            for program in programs:
                program.go()
            results = [program.line() for program in programs]
            sent = int(_asked(hosts[1], f"{origin_url}/sent"))
        return Row(
            how=how,
            nodes=nodes,
            model_bytes=size,
            makespan_s=max(r["ended"] for r in results) - min(r["begun"] for r in results),
            makespan_ratio=math.nan,
            origin_ratio=sent / size,
            ideal_ratio=nodes if how == "plain" else 1 + int(math.log2(nodes)) / (size / 65536),
            cpu_s=sum(r["cpu"] for r in results),
        )


def _asked(host: Host, url: str) -> str:
    """A URL's body, as the host sees it."""
    if not host.enter:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return str(answer.read().decode())
    program = f"import urllib.request as u; print(u.urlopen({url!r}, timeout=10).read().decode())"
    done = subprocess.run(
        [*host.enter, sys.executable, "-c", program], check=True, capture_output=True, text=True
    )
    return done.stdout


def measured(bench: Bench, nodes: Sequence[int], size: int, small: int, say: Any) -> list[Row]:
    """All runs; ratios are to one node that downloads the same model plainly."""
    alone: dict[int, float] = {}
    rows = []
    runs = [("plain", 1, small), ("plain", 1, size)]
    runs += [("plain", n, small) for n in nodes if n > 1]
    runs += [("swarm", n, size) for n in nodes]
    for how, count, bytes_ in runs:
        row = bench.run(how, count, bytes_)
        if how == "plain" and count == 1:
            alone[bytes_] = row.makespan_s
        row = Row(**{**asdict(row), "makespan_ratio": row.makespan_s / alone[bytes_]})
        rows.append(row)
        say(
            f"  {how}, {count} nodes, {bytes_ >> 20} MiB: {row.makespan_s:.1f} s "
            f"({row.makespan_ratio:.2f} x), origin {row.origin_ratio:.2f} x the model"
        )
    return rows


def table(rows: Sequence[Row]) -> Table:
    """The rows for people."""
    shown = Table("nodes", "how", "model", "makespan", "to one alone", "origin sent", "CPU")
    for row in sorted(rows, key=lambda r: (r.nodes, r.how, r.model_bytes)):
        shown.add_row(
            str(row.nodes),
            row.how,
            f"{row.model_bytes >> 20} MiB",
            f"{row.makespan_s:.1f} s",
            f"{row.makespan_ratio:.2f} x",
            f"{row.origin_ratio:.2f} x",
            f"{row.cpu_s:.1f} s",
        )
    return shown


def draw(rows: Sequence[Row], path: Path, title: str) -> None:
    """The scaling curve."""
    import matplotlib  # noqa: PLC0415 - slow to import, and only here

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415

    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4.2))
    swarm = sorted((r for r in rows if r.how == "swarm"), key=lambda r: r.nodes)
    small = min(r.model_bytes for r in rows)
    plain = sorted(
        (r for r in rows if r.how == "plain" and r.model_bytes == small), key=lambda r: r.nodes
    )
    for axes, field, limit, name in (
        (left, "makespan_ratio", MAKESPAN_LIMIT, "time until the last node is done,\nx one alone"),
        (right, "origin_ratio", TRAFFIC_LIMIT, "bytes that the origin sent,\nx the model"),
    ):
        for series, label in ((plain, "plain downloads"), (swarm, "swarm")):
            axes.plot(
                [r.nodes for r in series], [getattr(r, field) for r in series], "o-", label=label
            )
        axes.axhline(limit, color="grey", linestyle="--", linewidth=1, label=f"target {limit:g}")
        axes.set_xscale("log", base=2)
        axes.set_yscale("log", base=2)
        ticks = [r.nodes for r in swarm]
        axes.set_xticks(ticks, [str(t) for t in ticks])
        axes.set_yticks([1, 2, 4, 8, 16], ["1", "2", "4", "8", "16"])
        axes.set_xlabel("nodes")
        axes.set_ylabel(name)
        axes.legend()
        axes.grid(alpha=0.3)
    figure.suptitle(title, fontsize=9)
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    plt.close(figure)


def main() -> int:
    """Run the benchmark; 0 whether or not the targets are met."""
    given = _arguments()
    console = Console()
    nodes = [int(text) for text in given.nodes.split(",")]
    kernel = has_namespaces()
    how = (
        "network namespaces, uplinks bounded by the kernel"
        if kernel
        else "loopback, programs bound themselves"
    )
    machine = this_machine()
    title = f"every uplink {given.rate} MiB/s, {given.size} MiB; {how} · {machine}"
    console.print(title, highlight=False)
    scratch = Path(tempfile.mkdtemp(prefix="pilotage-swarm-", dir=given.scratch))
    try:
        rows = measured(
            Bench(given.rate << 20, scratch),
            nodes,
            given.size << 20,
            given.plain_size << 20,
            lambda line: console.print(line, highlight=False),
        )
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    console.print(table(rows))
    most = max((r for r in rows if r.how == "swarm"), key=lambda r: r.nodes)
    targets = [
        {
            "claim": f"{most.nodes} nodes: makespan at most {MAKESPAN_LIMIT:g} x one node alone",
            "measured": most.makespan_ratio,
            "met": most.makespan_ratio <= MAKESPAN_LIMIT,
        },
        {
            "claim": f"{most.nodes} nodes: the origin sends at most {TRAFFIC_LIMIT:g} x the model",
            "measured": most.origin_ratio,
            "met": most.origin_ratio <= TRAFFIC_LIMIT,
        },
    ]
    for target in targets:
        mark = "[green]met[/]" if target["met"] else "[red]missed[/]"
        console.print(f"{mark}: {target['claim']} ({target['measured']:.2f})", highlight=False)
    if given.json is not None:
        given.json.parent.mkdir(parents=True, exist_ok=True)
        report = {
            "machine": asdict(machine),
            "network": how,
            "rate_bytes_per_second": given.rate << 20,
            "rows": [asdict(row) for row in rows],
            "targets": targets,
        }
        given.json.write_text(json.dumps(report, indent=2, default=str) + "\n")
    if png := given.png or (given.json and given.json.with_suffix(".png")):
        draw(rows, png, title)
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--nodes", default="1,2,4,8,16", help="fleet sizes")
    parser.add_argument("--size", type=int, default=64, help="the model's size in MiB")
    parser.add_argument(
        "--plain-size", type=int, default=8, help="its size in MiB for plain downloads"
    )
    parser.add_argument("--rate", type=int, default=4, help="MiB a second of every uplink")
    parser.add_argument("--scratch", type=Path, help="where the nodes write")
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--png", type=Path, help="draw the curve here (default: beside --json)")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
