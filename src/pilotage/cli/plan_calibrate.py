"""``pilotage plan calibrate``: what this machine can do, measured by real steps of its engine."""

from __future__ import annotations

import json
import platform
import random
import statistics
import time
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import msgspec
import typer
from rich.console import Console

from pilotage.engines.engine import Engine, EngineRequest, SamplingParams
from pilotage.engines.opening import open_engine
from pilotage.errors import UsageError
from pilotage.fetch import default_home, fetch
from pilotage.serve.launch import plan_serving
from pilotage.spec import Deployment

if TYPE_CHECKING:
    from pilotage.plan.host import HostCalibration
    from pilotage.plan.step_model import Batch

FILE_NAME: Final = "host_calibration.json"
"""In the Pilotage home."""

_PREFILLS: Final = (16, 64, 128, 256)
_BATCHES: Final = (1, 2, 4, 8, 16, 32)
_CONTEXTS: Final = (48, 256)
_MOST_PROMPT_TOKENS: Final = 2048
"""Of all sequences of a kind of step together: reading more would take longer than it teaches."""

_STEPS: Final = 12
_REPEATS: Final = 3


def calibrate(
    source: Annotated[
        str | None,
        typer.Argument(help="The model to run.", show_default="the embedded model"),
    ] = None,
    *,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="Where to write it.", show_default=f"$PILOTAGE_HOME/{FILE_NAME}"
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Measure this machine: its memory's bandwidth, its FLOP/s, and steps of its engine.

    Takes half a minute or so, and wants the machine to itself. Plans then know "this machine" as a
    strategy.
    """
    found = calibrate_host(source)
    path = output or default_home() / FILE_NAME
    found.save(path)
    if as_json:
        typer.echo(json.dumps({"file": str(path), **asdict(found)}, indent=1))
        return
    device, eff = found.device, found.efficiency
    Console(highlight=False).print(
        f"{found.machine}, {found.cores} cores: {device.bandwidth / 1e9:.3g} GB/s, "
        f"{device.fp16 / 1e9:,.0f} GFLOP/s\n"
        f"{found.engine} on {found.model}: {eff.bandwidth:.0%} of the bandwidth, "
        f"{eff.compute:.0%} of the rate, {eff.step_s * 1e3:.2f} ms a step, "
        f"{eff.sequence_s * 1e6:.0f} us a sequence; its own steps within {found.error:.1%} "
        f"(median)\nwritten to {path}",
        soft_wrap=True,
    )


def calibrate_host(source: str | None = None) -> HostCalibration:
    """Fetch the model, run its engine in this process, and fit what it shows.

    Raises:
        UsageError: The model is not one that this machine's own engine generates with.
    """
    from pilotage.cli.flags import apply_overrides  # noqa: PLC0415
    from pilotage.cli.plan_model import planned_model  # noqa: PLC0415
    from pilotage.plan.host import (  # noqa: PLC0415  needs NumPy
        HostCalibration,
        fit_host,
        host_precision,
        measure_host,
    )
    from pilotage.plan.roofline import RooflineModel  # noqa: PLC0415

    deployment = Deployment()
    if source is not None:
        deployment = apply_overrides(deployment, {"model": {"source": source}})
    model = deployment.model
    anatomy = planned_model(model).anatomy
    fetched = fetch(model.source, sha256=model.sha256, revision=model.revision)
    with fetched.in_use():
        serving = plan_serving(deployment, [fetched.path])
        planned, piece = serving.models[0], serving.slices[0]
        if planned.files.engine != "openvino" or planned.files.task != "generate":
            raise UsageError(
                f"calibration runs the embedded engine, and this model is for "
                f"{planned.files.engine}",
                where="plan calibrate",
                hint="Take a GGUF file or an OpenVINO folder",
            )
        config = planned.engine_config(deployment.serving, default_home() / "compiled")
        device = measure_host(serving.free_bytes, piece.threads)
        with Console(stderr=True).status("Opening the model …") as status:
            # A cache of prompts would answer what is to be measured.
            engine = open_engine(msgspec.structs.replace(config, prefix_caching=False), piece)
            steps = []
            for step in measure_steps(engine, anatomy.vocab):
                steps.append(step)
                status.update(f"Measuring steps of its engine, {len(steps)} kinds so far …")
    found = fit_host(
        RooflineModel(anatomy, host_precision(anatomy), device),
        steps,
        f"{len(steps)} kinds of steps on this machine, {datetime.now(UTC).date()}",
    )
    return HostCalibration(
        machine=processor(),
        cores=piece.threads,
        date=datetime.now(UTC).date().isoformat(),
        model=planned.name,
        engine=engine.info.engine,
        device=found.device,
        efficiency=found.efficiency,
        error=found.error,
    )


def measure_steps(engine: Engine, vocab: int) -> Iterator[tuple[Batch, float]]:
    """Steps of several kinds, each with the median of the seconds it took."""
    from pilotage.plan.step_model import Batch  # noqa: PLC0415

    drawn = random.Random(0)  # noqa: S311  prompts, not secrets
    runner = _Runner(engine, vocab, drawn)
    for tokens in _PREFILLS:
        if tokens > engine.info.max_num_batched_tokens:
            continue
        took = [runner.prefill(tokens) for _ in range(_REPEATS)]
        yield (
            Batch(prefill_tokens=tokens, prefill_context=tokens * (tokens + 1) / 2),
            statistics.median(took),
        )
    for sequences in _BATCHES:
        for context in _CONTEXTS:
            room = sequences * (context + 3 * _STEPS) <= engine.info.kv_cache_tokens
            short = sequences * context <= _MOST_PROMPT_TOKENS
            if sequences > engine.info.max_num_seqs or not room or not short:
                continue
            seconds = runner.decode(sequences, context)
            read = sequences * (context + _STEPS / 2)
            yield Batch(decode_seqs=sequences, decode_context=read), seconds


class _Runner:
    """Runs one kind of step after another on an engine."""

    def __init__(self, engine: Engine, vocab: int, drawn: random.Random) -> None:
        self._engine, self._vocab, self._drawn = engine, vocab, drawn
        self._next = 1_000_000

    def prefill(self, tokens: int) -> float:
        """Seconds of a step that reads a whole prompt."""
        self._submit(tokens, 1)
        began = time.perf_counter()
        while self._engine.busy:
            self._engine.step()
        return time.perf_counter() - began

    def decode(self, sequences: int, context: int) -> float:
        """Median seconds of a step in which so many sequences get a token."""
        # The first go on while the last are still read: none may end before all are measured.
        reading = sequences * context // self._engine.info.max_num_batched_tokens + sequences
        completion = 2 * (_STEPS + reading)
        running = {self._submit(context, completion) for _ in range(sequences)}
        begun: set[int] = set()
        while begun != running:
            begun |= {one.id for one in self._engine.step() if one.token_ids}
        took = []
        for _ in range(_STEPS):
            began = time.perf_counter()
            self._engine.step()
            took.append(time.perf_counter() - began)
        for request in running:
            self._engine.cancel(request)
        while self._engine.busy:
            self._engine.step()
        return statistics.median(took)

    def _submit(self, tokens: int, completion: int) -> int:
        self._next += 1
        # The lowest ids are special tokens of most vocabularies.
        low = min(1000, self._vocab // 2)
        prompt = [self._drawn.randrange(low, self._vocab) for _ in range(tokens)]
        # Sampled as a request without fields is: drawing from a large vocabulary takes its time.
        params = SamplingParams(max_tokens=completion, seed=0, ignore_eos=True)
        self._engine.submit(EngineRequest(self._next, prompt, params))
        return self._next


def processor() -> str:
    """This machine's processor, as the operating system names it."""
    try:
        for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
