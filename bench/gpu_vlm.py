"""The transformers engine with a model of Llama 3.2 11B Vision's shape: image in, 128 tokens out.

The weights are random and made on the device, so nothing is downloaded; speed does not depend on
what they say. Requests of one 512 x 512 image, a short question and 128 new tokens run through
the engine in this process, 1, 4 and 16 at a time: a new one starts when one ends.

The floor of a decode step is what must be read from memory in it: the text model's weights once,
and every sequence's keys and values, of its text and of its image::

    floor = (weights + sum over sequences of KV bytes) / bandwidth

with the bandwidth that a large copy reaches on the same device (``--bandwidth`` takes another).

    python bench/gpu_vlm.py                  on a CUDA device, about 30 GB
    python bench/gpu_vlm.py --small          a tiny shape, on the CPU
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import numpy as np
import torch
import transformers
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench.machine import this_machine
from pilotage.engines.engine import EngineRequest, Image, SamplingParams
from pilotage.engines.transformers.engine import TransformersEngine
from pilotage.engines.transformers.loading import build_engine
from pilotage.engines.transformers.vision import MllamaEyes
from pilotage.engines.transformers_memory import MemorySum
from pilotage.images import VisionInput

_QUESTION_TOKENS = 24
_ROUNDS = 3


@dataclass(frozen=True, slots=True)
class Shape:
    """A model's shape, and what is asked of it."""

    name: str
    config: transformers.MllamaConfig
    image_side: int
    new_tokens: int


class Row(msgspec.Struct, frozen=True):
    """Figures at one number of requests in flight. Times in milliseconds."""

    concurrent: int
    requests: int
    tokens_per_second: float
    e2e_p50_ms: float
    e2e_p99_ms: float
    ttft_p50_ms: float
    ttft_p99_ms: float
    tpot_p50_ms: float
    tpot_floor_ms: float
    times_floor: float


class Report(msgspec.Struct, frozen=True):
    """All of a run, with what it ran on."""

    date: str
    hardware: str
    command: str
    model: str
    dtype: str
    weights_gb: float
    bandwidth_gb_s: float
    load_s: float
    rows: tuple[Row, ...]


def llama_vision_11b() -> Shape:
    """The published shape: 40 text layers, 8 of them cross-attention; tiles of 560 pixels."""
    rope = {
        "rope_type": "llama3", "rope_theta": 500000.0, "factor": 8.0, "low_freq_factor": 1.0,
        "high_freq_factor": 4.0, "original_max_position_embeddings": 8192,
    }  # fmt: skip
    config = transformers.MllamaConfig(
        text_config={
            "vocab_size": 128256, "hidden_size": 4096, "intermediate_size": 14336,
            "num_hidden_layers": 40, "num_attention_heads": 32, "num_key_value_heads": 8,
            "cross_attention_layers": [3, 8, 13, 18, 23, 28, 33, 38],
            "max_position_embeddings": 131072, "rope_parameters": rope,
        },
        vision_config={
            "hidden_size": 1280, "intermediate_size": 5120, "num_hidden_layers": 32,
            "num_global_layers": 8, "attention_heads": 16, "image_size": 560, "patch_size": 14,
            "max_num_tiles": 4, "vision_output_dim": 7680,
            "intermediate_layers_indices": [3, 7, 15, 23, 30],
        },
        image_token_index=128256,
    )  # fmt: skip
    return Shape("Llama-3.2-11B-Vision's shape, random weights", config, 512, 128)


def small() -> Shape:
    """The same parts, some million times smaller work."""
    config = transformers.MllamaConfig(
        text_config={
            "vocab_size": 512, "hidden_size": 128, "intermediate_size": 256,
            "num_hidden_layers": 5, "num_attention_heads": 4, "num_key_value_heads": 2,
            "cross_attention_layers": [3], "max_position_embeddings": 1024,
            "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0},
            "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0,
        },
        vision_config={
            "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 3,
            "num_global_layers": 1, "attention_heads": 2, "image_size": 56, "patch_size": 14,
            "max_num_tiles": 4, "vision_output_dim": 128, "intermediate_layers_indices": [1],
        },
        image_token_index=512,
    )  # fmt: skip
    return Shape("a tiny Mllama, random weights", config, 48, 16)


def build(shape: Shape, device: torch.device, most: int) -> tuple[TransformersEngine, MemorySum]:
    """The model, made on the device, and an engine over it."""
    began = time.monotonic()
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    torch.manual_seed(0)
    # Nothing but the weights' shapes matters, so they are made where they stay.
    with device:
        model = transformers.MllamaForConditionalGeneration._from_config(
            shape.config, dtype=dtype
        ).eval()
    text, vision = shape.config.text_config, shape.config.vision_config
    cross = len(text.cross_attention_layers)
    head = text.hidden_size // text.num_attention_heads
    per_layer = 2 * text.num_key_value_heads * head * dtype.itemsize
    patches = (vision.image_size // vision.patch_size) ** 2 + 1
    plan = MemorySum(
        dtype=str(dtype).removeprefix("torch."),
        quantization=None,
        max_model_len=1024,
        max_num_seqs=most,
        max_num_batched_tokens=4096,
        weights=sum(weight.numel() for weight in model.parameters()) * dtype.itemsize,
        kv_per_token=(text.num_hidden_layers - cross) * per_layer,
        images_per_seq=patches * cross * per_layer,  # a 512 x 512 image is one tile
        activations=0,
        runtime=0,
    )
    eyes = MllamaEyes(
        VisionInput(
            family="mllama", width=0, height=0, image_token="<|image|>",
            preprocessor={
                "size": {"height": vision.image_size, "width": vision.image_size},
                "max_image_tiles": vision.max_num_tiles,
            },
        ),
        shape.config.image_token_index,
        vision.max_num_tiles,
    )  # fmt: skip
    return build_engine(model, plan, eyes=eyes, began=began), plan


@dataclass(slots=True)
class _Request:
    submitted: float
    first: float = 0.0
    ended: float = 0.0
    tokens: int = 0


@dataclass(slots=True)
class _Load:
    """Requests, ``concurrent`` of them in flight at any time."""

    engine: TransformersEngine
    shape: Shape
    draw: np.random.Generator
    requests: dict[int, _Request] = field(default_factory=dict)

    def run(self, concurrent: int, total: int) -> None:
        for _ in range(min(concurrent, total)):
            self._submit()
        while self.engine.busy:
            outputs = self.engine.step()
            now = time.perf_counter()
            for output in outputs:
                request = self.requests[output.id]
                if output.token_ids and not request.tokens:
                    request.first = now
                request.tokens += len(output.token_ids)
                if output.finish_reason is not None:
                    request.ended = now
                    if len(self.requests) < total:
                        self._submit()

    def _submit(self) -> None:
        side = self.shape.image_side
        pixels = self.draw.integers(0, 256, (side, side, 3), np.uint8).tobytes()
        most = self.shape.config.text_config.vocab_size
        text = self.draw.integers(3, most, _QUESTION_TOKENS).tolist()
        params = SamplingParams(max_tokens=self.shape.new_tokens, temperature=0.0, ignore_eos=True)
        number = len(self.requests)
        prompt = [1, self.shape.config.image_token_index, *text]
        began = time.perf_counter()
        self.engine.submit(EngineRequest(number, prompt, params, (Image(side, side, pixels),)))
        self.requests[number] = _Request(began)


def measure(
    engine: TransformersEngine, plan: MemorySum, shape: Shape, concurrent: int, bandwidth: float
) -> Row:
    """Run some rounds of requests and compare decoding with its floor."""
    draw = np.random.default_rng(concurrent)
    _Load(engine, shape, draw).run(concurrent, concurrent)  # warm: buffers have their size
    load = _Load(engine, shape, draw)
    began = time.perf_counter()
    load.run(concurrent, max(8, _ROUNDS * concurrent))
    took = time.perf_counter() - began
    done = list(load.requests.values())
    e2e = [1e3 * (r.ended - r.submitted) for r in done]
    ttft = [1e3 * (r.first - r.submitted) for r in done]
    tpot = [1e3 * (r.ended - r.first) / (r.tokens - 1) for r in done]
    length = 2 + _QUESTION_TOKENS + shape.new_tokens / 2
    held = concurrent * (plan.kv_per_token * length + plan.images_per_seq)
    floor = 1e3 * (_text_weights(engine) + held) / bandwidth
    return Row(
        concurrent=concurrent,
        requests=len(done),
        tokens_per_second=sum(r.tokens for r in done) / took,
        e2e_p50_ms=float(np.percentile(e2e, 50)),
        e2e_p99_ms=float(np.percentile(e2e, 99)),
        ttft_p50_ms=float(np.percentile(ttft, 50)),
        ttft_p99_ms=float(np.percentile(ttft, 99)),
        tpot_p50_ms=float(np.percentile(tpot, 50)),
        tpot_floor_ms=floor,
        times_floor=float(np.percentile(tpot, 50)) / floor,
    )


def _text_weights(engine: TransformersEngine) -> int:
    """Bytes a decode step reads: all but the vision encoder, and of embeddings only rows."""
    unread = ("vision_model", "multi_modal_projector", "embed_tokens")
    return sum(
        weight.nbytes
        for name, weight in engine.model.named_parameters()
        if not any(part in name for part in unread)
    )


def copy_bandwidth(device: torch.device) -> float:
    """Bytes a second that a large copy reads and writes."""
    size = (1 << 30) if device.type == "cuda" else (1 << 27)
    source = torch.zeros(size, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    best = float("inf")
    for _ in range(5):
        _wait(device)
        began = time.perf_counter()
        target.copy_(source)
        _wait(device)
        best = min(best, time.perf_counter() - began)
    return 2 * size / best


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def run(arguments: argparse.Namespace) -> Report:
    """All of it."""
    device = torch.device("cpu" if arguments.small else "cuda:0")
    if arguments.small:
        torch.set_num_threads(1)  # the shape is too small for more to help
    if device.type == "cuda" and not torch.cuda.is_available():
        sys.exit("no CUDA device here; --small runs a tiny shape on the CPU")
    shape = small() if arguments.small else llama_vision_11b()
    bandwidth = arguments.bandwidth * 1e9 if arguments.bandwidth else copy_bandwidth(device)
    began = time.monotonic()
    engine, plan = build(shape, device, max(arguments.concurrent))
    load_s = time.monotonic() - began
    rows = tuple(measure(engine, plan, shape, n, bandwidth) for n in arguments.concurrent)
    machine = this_machine()
    hardware = str(machine).partition(" · ")[2]
    if device.type == "cuda":
        hardware = f"{torch.cuda.get_device_name(device)}; {hardware}"
    return Report(
        date=machine.date,
        hardware=hardware,
        command=" ".join(["python bench/gpu_vlm.py", *arguments.given]),
        model=f"{shape.name}; {engine.info.engine}",
        dtype=plan.dtype,
        weights_gb=plan.weights / 1e9,
        bandwidth_gb_s=bandwidth / 1e9,
        load_s=load_s,
        rows=rows,
    )


def show(report: Report) -> None:
    """The report for people."""
    console = Console(width=110)
    console.print(f"{report.date} · {report.hardware}", highlight=False)
    console.print(f"$ {report.command}", highlight=False)
    console.print(
        f"{report.model}; {report.dtype}, {report.weights_gb:.3g} GB of weights, "
        f"memory {report.bandwidth_gb_s:.0f} GB/s, made in {report.load_s:.1f} s",
        highlight=False,
    )
    table = Table()
    for name in (
        "concurrent", "requests", "tokens/s", "e2e p50 ms", "p99", "TTFT p50 ms", "p99",
        "TPOT p50 ms", "floor ms", "times",
    ):  # fmt: skip
        table.add_column(name, justify="right")
    for row in report.rows:
        times = (
            row.e2e_p50_ms, row.e2e_p99_ms, row.ttft_p50_ms, row.ttft_p99_ms, row.tpot_p50_ms
        )  # fmt: skip
        table.add_row(
            str(row.concurrent), str(row.requests), f"{row.tokens_per_second:.0f}",
            *(f"{value:.1f}" for value in times), f"{row.tpot_floor_ms:.2f}",
            f"{row.times_floor:.1f}",
        )  # fmt: skip
    console.print(table)


def main(given: Sequence[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python bench/gpu_vlm.py", description=__doc__)
    parser.add_argument("--small", action="store_true", help="a tiny shape, on the CPU")
    parser.add_argument("--concurrent", type=int, nargs="+", default=[1, 4, 16])
    parser.add_argument("--bandwidth", type=float, help="GB/s, instead of measuring a copy")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    arguments = parser.parse_args(given)
    arguments.given = [str(part) for part in (sys.argv[1:] if given is None else given)]
    report = run(arguments)
    show(report)
    if arguments.json:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_bytes(msgspec.json.format(msgspec.json.encode(report)))


if __name__ == "__main__":
    main()
