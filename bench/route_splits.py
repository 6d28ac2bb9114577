"""``pilotage route evaluate`` on random splits of published scores: means over seeds.

    make bench-route     (python -m bench.route_splits [--seeds N] [--share 0.5] [--data DIR])

DIR holds the files of RouteLLM and LLMRouter, as ../shared/data/routing does. Each split fits on
one part and measures on the other; what is printed is the mean and worst of each policy.
"""

from __future__ import annotations

import argparse
import csv
import json
import random
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from bench.processes import ROOT

DATA = ROOT.parent / "shared" / "data" / "routing"
FILES = ("nine_models.jsonl", "gsm8k_two_models.csv", "mmlu_two_models.csv")


def split(path: Path, seed: int, share: float, folder: Path) -> tuple[Path, Path]:
    """The rows of a file in two files: to fit on, to measure on."""
    drawn = random.Random(seed)
    fit, test = folder / f"fit{path.suffix}", folder / f"test{path.suffix}"
    if path.suffix == ".jsonl":
        rows = path.read_text().splitlines()
        drawn.shuffle(rows)
        cut = round(share * len(rows))
        fit.write_text("\n".join(rows[:cut]) + "\n")
        test.write_text("\n".join(rows[cut:]) + "\n")
        return fit, test
    with path.open(newline="") as file:
        head, *cells = csv.reader(file)
    drawn.shuffle(cells)
    cut = round(share * len(cells))
    for part, chosen in ((fit, cells[:cut]), (test, cells[cut:])):
        with part.open("w", newline="") as file:
            csv.writer(file).writerows([head, *chosen])
    return fit, test


def evaluate(path: Path, seed: int, share: float) -> dict[str, dict[str, object]]:
    """What the command says of one split, by policy."""
    with tempfile.TemporaryDirectory() as text:
        fit, test = split(path, seed, share, Path(text))
        command = [sys.executable, "-m", "pilotage.cli.main", "route", "evaluate", "--json"]
        command += ["--fit", str(fit), "--test", str(test)]
        if path.suffix == ".jsonl":
            command += ["--prices", str(path.with_name("nine_models_prices.json"))]
        done = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE)
    found = json.loads(done.stdout)["policies"]
    return found if isinstance(found, dict) else {one["name"]: one for one in found}


def main() -> None:
    """Split, evaluate, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--share", type=float, default=0.5, help="of the rows, to fit on")
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--files", nargs="*", default=list(FILES))
    given = parser.parse_args()
    for name in given.files:
        runs = [evaluate(given.data / name, seed, given.share) for seed in range(given.seeds)]
        print(f"{name}, {given.seeds} splits, {given.share:.0%} to fit")
        for policy in runs[0]:
            for figure in ("gap_closed", "saved_at_95"):
                values = [run[policy].get(figure) for run in runs if policy in run]
                # Some figures come with an interval around them.
                plain = [v["value"] if isinstance(v, dict) and "value" in v else v for v in values]
                numbers = [v for v in plain if isinstance(v, int | float)]
                if numbers:
                    mean, worst = statistics.fmean(numbers), min(numbers)
                    print(f"  {policy:24} {figure:12} mean {mean:.3f}, lowest {worst:.3f}")


if __name__ == "__main__":
    main()
