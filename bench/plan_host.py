"""The planner against this machine: calibrated, predicted, then measured with ``prove``.

    python -m bench.plan_host [--streams 1,8,32] [--seconds 40] [--json]

1. ``pilotage plan calibrate`` runs the embedded engine on the server's cores.
2. From that alone TTFT, TPOT and output tokens a second are predicted for a closed loop of so many
   streams: engine steps are played one after the other with the roofline's durations, new prompts
   as soon as an answer ends, the token budget shared out as the engine does.
3. ``pilotage serve`` is started with a worker on the same cores and ``pilotage prove
   --concurrency`` measures, both with their gateway and clients on the first core: an engine whose
   cores others use too is another machine than the one that was calibrated.

Prints the relative errors and their median; the target is 15 %. It wants a quiet machine.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from bench.processes import ROOT, free_port, keeping_to, server, sole_bench
from pilotage.catalog import read_header
from pilotage.catalog.anatomies import anatomy_from_gguf
from pilotage.fetch import fetch
from pilotage.plan.host import HostCalibration, host_precision
from pilotage.plan.roofline import RooflineModel
from pilotage.plan.step_model import Batch
from pilotage.prove.report import read_report
from pilotage.spec import ModelSpec

PROMPT, COMPLETION = 128, 64
BATCHED_TOKENS = 256
MAX_SEQS = 64
TARGET = 0.15


@dataclass
class Predicted:
    """Of a closed loop; medians in seconds, and output tokens a second."""

    ttft: float
    tpot: float
    tokens_per_s: float


def main() -> None:
    """Calibrate, predict, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--streams", default="1,8,32")
    parser.add_argument("--seconds", type=float, default=40.0)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    streams = [int(one) for one in args.streams.split(",")]
    client_cores, server_cores = _cores()
    with sole_bench(), tempfile.TemporaryDirectory() as folder:
        host = calibrated(Path(folder), server_cores)
        model = step_model(host)
        rows = []
        with serving(Path(folder), server_cores) as url:
            for count in streams:
                said = predict(model, count)
                seen = measured(url, count, args.seconds, Path(folder), client_cores)
                rows += [
                    {
                        "streams": count,
                        "metric": metric,
                        "predicted": getattr(said, metric),
                        "measured": seen[metric],
                        "error": getattr(said, metric) / seen[metric] - 1,
                    }
                    for metric in ("ttft", "tpot", "tokens_per_s")
                ]
    median = statistics.median(abs(row["error"]) for row in rows)
    result = {
        "median_error": median,
        "target": TARGET,
        "fit_error": host.error,
        "machine": host.machine,
        "cores": host.cores,
        "load_average": os.getloadavg()[0],
        "rows": rows,
    }
    if args.json:
        print(json.dumps(result, indent=1))
        return
    print(f"{'streams':>8}{'metric':>14}{'predicted':>12}{'measured':>12}{'error':>9}")
    for row in rows:
        print(
            f"{row['streams']:>8}{row['metric']:>14}{row['predicted']:>12.4g}"
            f"{row['measured']:>12.4g}{row['error']:>+9.1%}"
        )
    print(
        f"median error {median:.1%}, target {TARGET:.0%}; the fit's own steps {host.error:.1%}; "
        f"load average {result['load_average']:.1f}"
    )


def calibrated(folder: Path, cores: tuple[int, ...]) -> HostCalibration:
    """What `pilotage plan calibrate` finds on these cores."""
    path = folder / "host.json"
    command = [sys.executable, "-m", "pilotage.cli.main", "plan", "calibrate", "-o", str(path)]
    with keeping_to(cores):
        subprocess.run(command, check=True, cwd=ROOT, stdout=subprocess.DEVNULL)
    found = HostCalibration.load(path)
    assert found is not None
    return found


def step_model(host: HostCalibration) -> RooflineModel:
    """The embedded model on the calibrated machine."""
    spec = ModelSpec()
    file = fetch(spec.source, sha256=spec.sha256).path
    anatomy = anatomy_from_gguf(read_header(file), spec.name)
    return RooflineModel(anatomy, host_precision(anatomy), host.device, efficiency=host.efficiency)


@dataclass
class _Stream:
    began: float = 0.0
    left: int = PROMPT
    read: int = 0
    written: int = 0
    first: float = 0.0
    seen: bool = True


def predict(model: RooflineModel, streams: int, rounds: int = 6) -> Predicted:
    """A closed loop, step by step: each stream asks again as soon as it is answered."""
    now, all_of = 0.0, [_Stream() for _ in range(streams)]
    ttfts: list[float] = []
    tpots: list[float] = []
    written, begun = 0, None
    while len(tpots) < rounds * streams:
        decoding = [one for one in all_of if not one.left]
        room = BATCHED_TOKENS - len(decoding)
        tokens, seen, finished_prompts = 0, 0.0, []
        for one in sorted(all_of, key=lambda stream: stream.began):
            if not one.left or room <= 0 or not one.seen:
                continue
            chunk = min(one.left, room)
            seen += chunk * one.read + chunk * (chunk + 1) / 2
            one.left -= chunk
            one.read += chunk
            room -= chunk
            tokens += chunk
            if not one.left:
                finished_prompts.append(one)
        context = float(sum(one.read + one.written for one in decoding))
        now += model.step_s(
            Batch(
                prefill_tokens=tokens,
                prefill_context=seen,
                decode_seqs=len(decoding),
                decode_context=context,
            )
        )
        for one in all_of:
            one.seen = True
        for one in finished_prompts:
            one.written, one.first = 1, now
            ttfts.append(now - one.began)
        for one in decoding:
            one.written += 1
        # The first round starts all at once and is not counted.
        if begun is None and len(tpots) >= streams:
            begun = now
            ttfts, written = [], 0
        written += len(decoding) + len(finished_prompts)
        for place, one in enumerate(all_of):
            if one.written >= COMPLETION:
                tpots.append((now - one.first) / (COMPLETION - 1))
                # Its next request comes while the following step is in hand already.
                all_of[place] = _Stream(began=now, seen=False)
    assert begun is not None
    return Predicted(
        ttft=statistics.median(ttfts),
        tpot=statistics.median(tpots[streams:]),
        tokens_per_s=written / (now - begun),
    )


class serving:  # noqa: N801  a context manager, named as one reads it
    """`pilotage serve` with its worker on some cores; gives its address."""

    def __init__(self, folder: Path, cores: tuple[int, ...]) -> None:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        spec = folder / "pilotage.yaml"
        spec.write_text(f"serving: {{worker_map: [{{cores: {list(cores)}}}]}}\n")
        command = (
            sys.executable, "-m", "pilotage.cli.main", "serve", spec, "--port", port,
            "--ttft-p99", "1h", "--queue-timeout", "1h", "--max-num-seqs", MAX_SEQS,
            "--max-num-batched-tokens", BATCHED_TOKENS, "--no-prefix-caching",
        )  # fmt: skip
        self._server = server(
            "plan_host",
            command,
            ready_url=f"{self.url}/health/ready",
            ready_timeout_s=180,
        )

    def __enter__(self) -> str:
        self._server.__enter__()
        return self.url

    def __exit__(self, *error: object) -> None:
        self._server.__exit__(*error)  # type: ignore[arg-type]


def measured(
    url: str, streams: int, seconds: float, folder: Path, cores: tuple[int, ...]
) -> dict[str, float]:
    """What `pilotage prove` sees."""
    out = folder / f"prove-{streams}"
    command = [
        sys.executable, "-m", "pilotage.cli.main", "prove", url, "--concurrency", str(streams),
        "--duration", f"{seconds:g}s", "--prompt-tokens", str(PROMPT),
        "--completion-tokens", str(COMPLETION), "--timeout", "10m", "-o", str(out), "--json",
    ]  # fmt: skip
    with keeping_to(cores):
        subprocess.run(command, check=True, cwd=ROOT, stdout=subprocess.DEVNULL)
    (path,) = out.rglob("report.json")
    found = read_report(path).measures
    assert found.ttft is not None
    assert found.tpot is not None
    return {
        "ttft": found.ttft.p50.value,
        "tpot": found.tpot.p50.value,
        "tokens_per_s": found.output_tokens_rate,
    }


def _cores() -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The client's core, and the engine's: all the others."""
    first, *others = sorted(os.sched_getaffinity(0))
    if not others:
        sys.exit("this bench needs two cores: one for the client, one for the engine")
    return (first,), tuple(others)


if __name__ == "__main__":
    main()
