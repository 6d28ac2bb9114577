"""How far the planner's predictions are from published measurements.

::

    make bench-plan      (python bench/plan_accuracy.py [--data FILE] [--json] [--rows] [--write])

By default the 54 rows of ``../shared/data/measured/inference.csv``: errors in-sample, and with
every model and every accelerator left out in turn, the calibration fitted anew on the rest. With
``--data FILE`` (another file of the same columns) the shipped calibration is put to the test, and
nothing is fitted. ``--json`` prints ``{kind: {n, median_ape, p90_ape}}`` and nothing else: with
``--data`` the errors on that file, else the larger of the two held-out errors of each kind.
Memory's constants (38.2 B of the sampler, 0.13 GiB outside PyTorch) come from the same rows and
are not fitted anew: leaving any model out moves the first between 38.19 and 38.27 and the second
not at all; only the 0.42 GiB of NCCL rest on a single row, which is therefore no prediction.

``--write`` fits on all rows and writes the calibration that is shipped.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

if __package__ in {None, ""}:  # run as a file: the repository is not on the path yet
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from pilotage.errors import PilotageError, SourceError
from pilotage.plan.calibration import (
    KINDS,
    Measurement,
    Prepared,
    Setting,
    Unusable,
    efficiency_of,
    fit,
    predict_memory,
    prepare,
    read_measurements,
    shipped,
)

ROOT = Path(__file__).resolve().parents[1]
DEFAULT = ROOT.parent / "shared" / "data" / "measured" / "inference.csv"
SHIPPED = ROOT / "src" / "pilotage" / "plan" / "calibration" / "efficiencies.json"
TARGETS = {
    "memory_per_gpu": 0.05,
    "decode_step": 0.12,
    "first_token_latency": 0.12,
    "static_batch_throughput": 0.20,
    "saturated_throughput": 0.20,
}

Errors = dict[str, float]
"""Absolute relative error by a row's id."""


class Rows:
    """The usable rows of a file: of speed, made ready, and of memory with their predictions."""

    def __init__(self, path: Path) -> None:
        measurements, self.notes = read_measurements(path)
        self.speed: list[Prepared] = []
        self.memory: list[tuple[Measurement, float]] = []
        for row in measurements:
            try:
                if row.kind == "memory_per_gpu":
                    self.memory.append((row, predict_memory(row)))
                else:
                    self.speed.append(prepare(row))
            except Unusable as reason:
                self.notes.append(f"{row.id}: {reason}")

    def memory_errors(self) -> Errors:
        """Of the memory rows: nothing there is fitted by this program."""
        return {row.id: abs(found / row.value - 1) for row, found in self.memory}


def family(name: str) -> str:
    """A model whatever its packaging: "nvidia/Llama-3.3-70B-Instruct-FP8" is "llama-3.3-70b"."""
    short = name.lower().split("/")[-1]
    return re.sub(r"-(hf|instruct|chat|awq|gptq|fp8|fp4|nvfp4|int4|int8|base)\b", "", short)


def errors_of(rows: Sequence[Prepared], parameters: dict[str, float]) -> Errors:
    """How far these parameters are off."""
    found = {}
    for row in rows:
        setting = Setting.of(row.accelerator, row.precision, row.measurement.engine)
        predicted = row.value(efficiency_of(parameters, setting, ""))
        found[row.measurement.id] = abs(predicted / row.measurement.value - 1)
    return found


def held_out(rows: Sequence[Prepared], key: Callable[[Prepared], str]) -> Errors:
    """Errors with the rows of each value of ``key`` left out of the fit in turn."""
    found: Errors = {}
    for value in sorted({key(row) for row in rows}):
        out = [row for row in rows if key(row) == value]
        found |= errors_of(out, fit([row for row in rows if key(row) != value]))
    return found


def summary(rows: Rows, errors: Errors) -> dict[str, dict[str, float]]:
    """``{kind: {n, median_ape, p90_ape}}``, as fractions."""
    kinds = {row.measurement.id: row.measurement.kind for row in rows.speed}
    kinds |= {row.id: row.kind for row, _ in rows.memory}
    found = {}
    for kind in KINDS:
        values = [error for name, error in errors.items() if kinds[name] == kind]
        if values:
            found[kind] = {
                "n": len(values),
                "median_ape": round(float(np.median(values)), 4),
                "p90_ape": round(float(np.quantile(values, 0.9)), 4),
            }
    return found


def worse(first: Errors, second: Errors, rows: Rows) -> dict[str, dict[str, float]]:
    """Of two ways of holding out, the one with the larger median, kind by kind."""
    one, two = summary(rows, first), summary(rows, second)
    return {kind: max(one[kind], two[kind], key=lambda found: found["median_ape"]) for kind in one}


def write(rows: Rows, errors: dict[str, dict[str, float]], path: Path) -> None:
    """Fits on all rows and writes the calibration that is shipped."""
    counts: dict[str, int] = {}
    for row in rows.speed:
        key = Setting.of(row.accelerator, row.precision, row.measurement.engine).key
        counts[key] = counts.get(key, 0) + 1
    data = {
        "fitted_on": f"{len(rows.speed)} published rows of speed"
        f" (shared/data/measured/inference.csv, {date.today().isoformat()})",
        "errors": {kind: found["median_ape"] for kind, found in errors.items()},
        "rows": dict(sorted(counts.items())),
        "parameters": {name: round(value, 5) for name, value in fit(rows.speed).items()},
    }
    path.write_text(json.dumps(data, indent=2) + "\n", encoding="utf-8")


def tables(console: Console, found: dict[str, dict[str, dict[str, float]]]) -> None:
    """Prints the errors, one row a kind, one column a way of holding out."""
    table = Table("kind", "n", *found, "target", title="median / p90 absolute percentage error")
    for kind in KINDS:
        cells = [one.get(kind) for one in found.values()]
        if not any(cells):
            continue
        target = TARGETS[kind]
        shown = []
        for cell in cells:
            if cell is None:
                shown.append("-")
                continue
            colour = "green" if cell["median_ape"] <= target else "red"
            shown.append(f"[{colour}]{cell['median_ape']:.1%}[/{colour}] / {cell['p90_ape']:.1%}")
        count = next(cell["n"] for cell in cells if cell)
        table.add_row(kind, str(count), *shown, f"≤ {target:.0%}")
    console.print(table)


def each_row(console: Console, rows: Rows, found: dict[str, Errors]) -> None:
    """Prints the error of every row."""
    table = Table("row", "kind", "model", "accelerator", "measured", *found)
    measured = [row.measurement for row in rows.speed] + [row for row, _ in rows.memory]
    for row in measured:
        table.add_row(
            row.id,
            row.kind,
            f"{family(row.model)} {row.weight_dtype}",
            f"{row.accelerators} x {row.accelerator}",
            f"{row.value:,.4g}",
            *(f"{errors[row.id]:.1%}" if row.id in errors else "-" for errors in found.values()),
        )
    console.print(table)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the bench; 2 for a file that cannot be read, 1 when no row of it can be used."""
    parser = argparse.ArgumentParser(description="Predictions against published measurements.")
    parser.add_argument("--data", type=Path, help="another CSV of the same columns")
    parser.add_argument("--json", action="store_true", help="print only the errors by kind")
    parser.add_argument("--rows", action="store_true", help="print the error of every row, too")
    parser.add_argument("--write", action="store_true", help="write the shipped calibration")
    options = parser.parse_args(arguments)
    own = options.data is None or options.data.resolve() == DEFAULT
    try:
        rows = _read(options.data or DEFAULT)
    except PilotageError as error:
        print(f"plan_accuracy: {error}", file=sys.stderr)
        return 2
    for note in rows.notes:
        print(f"skipped {note}", file=sys.stderr)
    if rows.notes:
        print(f"skipped {len(rows.notes)} rows in all", file=sys.stderr)
    if not rows.speed and not rows.memory:
        print("plan_accuracy: no row can be used", file=sys.stderr)
        return 1
    memory = rows.memory_errors()
    errors: dict[str, Errors] = {}
    if own:
        # Memory has no part in the fit: its three figures were taken from these rows' H100 logs.
        errors["in-sample"] = errors_of(rows.speed, fit(rows.speed)) | memory
        errors["model left out"] = (
            held_out(rows.speed, lambda row: family(row.measurement.model)) | memory
        )
        errors["accelerator left out"] = (
            held_out(rows.speed, lambda row: row.accelerator.name) | memory
        )
        answer = worse(errors["model left out"], errors["accelerator left out"], rows)
    else:
        errors["shipped calibration"] = errors_of(rows.speed, shipped().parameters) | memory
        answer = summary(rows, errors["shipped calibration"])
    if options.write:
        if not own:
            parser.error("--write is for the default data")
        write(rows, answer, SHIPPED)
    if options.json:
        print(json.dumps(answer, indent=2))
        return 0
    console = Console(width=140)
    tables(console, {name: summary(rows, found) for name, found in errors.items()})
    if options.rows:
        each_row(console, rows, errors)
    return 0


def _read(path: Path) -> Rows:
    if not path.exists():
        raise SourceError(
            "no such file",
            where=str(path),
            hint="Name a CSV of the same columns with --data FILE",
        )
    return Rows(path)


if __name__ == "__main__":
    sys.exit(main())
