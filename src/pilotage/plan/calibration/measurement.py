"""Published measurements: rows of a CSV with the columns of shared/data/measured/inference.csv."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from pilotage.errors import SourceError
from pilotage.plan.precision import canonical_name

Kind = Literal[
    "static_batch_throughput",
    "first_token_latency",
    "decode_step",
    "saturated_throughput",
    "memory_per_gpu",
]
KINDS: tuple[Kind, ...] = get_args(Kind)
_COLUMNS = ("kind", "model", "accelerator", "weight_dtype", "metric", "value")
_SECONDS = {"s": 1.0, "ms": 1e-3, "us": 1e-6}
_BYTES = {"gib": 2.0**30, "mib": 2.0**20, "gb": 1e9, "mb": 1e6, "b": 1.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """One row.

    Attributes:
        id: Of the row.
        kind: What was measured.
        model: Its name, as its publisher writes it.
        accelerator: Likewise.
        accelerators: How many.
        tensor_parallel: How many share every layer.
        weight_dtype: "fp16", "int4-awq" …
        kv_dtype: Of the cache; None when not given.
        batch: Sequences at once; None for as many as fit.
        input_tokens: Prompt of each; None when not given.
        output_tokens: Completion of each; likewise.
        metric: What the value is: "ttft", "tpot_p50", "output_tokens_per_second_per_gpu" …
        value: In seconds, bytes, or a second.
        engine: Key of the software's generation, see `engine_key`.
    """

    id: str
    kind: Kind
    model: str
    accelerator: str
    accelerators: int
    tensor_parallel: int
    weight_dtype: str
    kv_dtype: str | None
    batch: int | None
    input_tokens: int | None
    output_tokens: int | None
    metric: str
    value: float
    engine: str


def engine_key(engine: str, kind: str = "") -> str:
    """The generation of the software: "vllm", "tensorrt-llm" or "tensorrt-llm-2023".

    Static batches and first tokens of TensorRT-LLM come from its tables of v0.5 and v0.6 (2023):
    NCCL all-reduces, and a decode kernel that did not share a group's keys and values among its
    query heads (the kernel that does came with v0.7). Its saturated rows are of 2025.
    """
    name = engine.strip().lower().replace("_", "-").replace(" ", "-")
    if "tensorrt" in name or "trt" in name:
        old = kind in ("static_batch_throughput", "first_token_latency") or "2023" in name
        return "tensorrt-llm-2023" if old else "tensorrt-llm"
    return "vllm" if name in ("", "vllm") else name


def read_measurements(path: Path) -> tuple[list[Measurement], list[str]]:
    """The rows of a file, and a note for each row that cannot be used.

    Raises:
        SourceError: The file cannot be read, or lacks columns.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return parse_measurements(csv.DictReader(file), where=str(path))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SourceError(f"cannot read the measurements: {error}", where=str(path)) from error


def parse_measurements(
    reader: csv.DictReader[str], where: str = "measurements"
) -> tuple[list[Measurement], list[str]]:
    """As `read_measurements`, of an open reader."""
    missing = [name for name in _COLUMNS if name not in (reader.fieldnames or ())]
    if missing:
        raise SourceError(
            f"lacks the column{'s' if len(missing) > 1 else ''} {', '.join(missing)}",
            where=where,
            hint="The columns are those of shared/data/measured/inference.csv",
        )
    return _parsed(reader)


def _parsed(rows: Iterable[dict[str, str]]) -> tuple[list[Measurement], list[str]]:
    found: list[Measurement] = []
    notes: list[str] = []
    for number, row in enumerate(rows, start=2):
        name = (row.get("id") or f"line {number}").strip()
        try:
            found.append(_measurement(name, row))
        except ValueError as error:
            notes.append(f"{name}: {error}")
    return found, notes


def _measurement(name: str, row: dict[str, str]) -> Measurement:
    def text(column: str) -> str:
        return (row.get(column) or "").strip()

    def count(column: str) -> int | None:
        value = text(column)
        if value.lower() in ("", "max"):
            return None
        number = float(value)
        if not 0 < number < 1e9:
            raise ValueError(f"{column} should be a positive number, got {value}")
        return round(number)

    kind = text("kind")
    if kind not in KINDS:
        raise ValueError(f"unknown kind {kind!r}")
    value = float(text("value"))
    if not 0 < value < float("inf"):
        raise ValueError(f"value should be positive, got {text('value')}")
    unit = text("unit").lower()
    factor = _SECONDS.get(unit) or _BYTES.get(unit) or 1.0
    ranks = count("tensor_parallel") or 1
    return Measurement(
        id=name,
        kind=kind,
        model=text("model"),
        accelerator=text("accelerator"),
        accelerators=count("accelerators") or ranks,
        tensor_parallel=ranks,
        weight_dtype=canonical_name(text("weight_dtype")),
        kv_dtype=text("kv_dtype") or None,
        batch=count("batch"),
        input_tokens=count("input_tokens"),
        output_tokens=count("output_tokens"),
        metric=text("metric"),
        value=value * factor,
        engine=engine_key(text("engine"), kind),
    )
