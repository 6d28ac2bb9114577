"""What a full search takes: every instance type and strategy, for one deployment.

    python -m bench.plan_search [SPEC...] [--runs N] [--json]

Prints seconds a spec, the median over runs, as `pilotage.plan.search.search` counts them; the
processor's seconds beside, which a busy machine does not stretch. The target is 2 s.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from pathlib import Path

from pilotage.catalog.prices import load_price_book
from pilotage.cli.plan_model import planned_model
from pilotage.cli.plan_question import config_of
from pilotage.plan.question import ask
from pilotage.plan.search import search
from pilotage.plan.sensitivity import sensitivity
from pilotage.spec import Deployment, load_file

SPECS = ("finance", "house_model", "inferentia", "receipts", "support", "content_platform")
TARGET_S = 2.0


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("specs", nargs="*", type=Path)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    folder = Path(__file__).parent.parent / "examples"
    specs = args.specs or [folder / f"{name}.yaml" for name in SPECS]
    prices = load_price_book("us-east-1")
    rows = []
    for path in specs:
        spec = load_file(path)
        for deployment in (spec,) if isinstance(spec, Deployment) else spec.deployments:
            rows.append(_measure(deployment, path, prices, args.runs))
    whole = {
        "median_s": statistics.median(row["search_s"] for row in rows),
        "most_s": max(row["search_s"] for row in rows),
        "median_cpu_s": statistics.median(row["cpu_s"] for row in rows),
        "most_cpu_s": max(row["cpu_s"] for row in rows),
        "target_s": TARGET_S,
        "load_average": os.getloadavg()[0],
        "deployments": rows,
    }
    if args.json:
        print(json.dumps(whole, indent=1))
        return
    print(f"{'deployment':<14}{'search':>9}{'cpu':>9}{'sensitivity':>13}{'options':>9}")
    for row in rows:
        print(
            f"{row['name']:<14}{row['search_s']:>7.2f} s{row['cpu_s']:>7.2f} s"
            f"{row['sensitivity_cpu_s']:>9.2f} cpu{row['options']:>9}"
        )
    print(
        f"median {whole['median_s']:.2f} s, most {whole['most_s']:.2f} s (processor "
        f"{whole['median_cpu_s']:.2f} and {whole['most_cpu_s']:.2f}), target {TARGET_S:g} s; "
        f"load average {whole['load_average']:.1f}"
    )


def _measure(deployment, path, prices, runs):
    model = planned_model(deployment.model, config=config_of(deployment, (), path))
    question = ask(deployment, model.anatomy, model=model.name, custom_weights=model.custom)
    taken, cpu = [], []
    for _ in range(runs):
        began, worked = time.perf_counter(), time.process_time()
        found = search(question, prices)
        taken.append(time.perf_counter() - began)
        cpu.append(time.process_time() - worked)
    worked = time.process_time()
    sensitivity(found)
    return {
        "name": deployment.name,
        "search_s": statistics.median(taken),
        "cpu_s": statistics.median(cpu),
        "sensitivity_cpu_s": time.process_time() - worked,
        "options": found.plan.considered,
        "simulated": len({id(one.sized) for one in found.judged if one.sized}),
        "feasible": found.plan.feasible,
    }


if __name__ == "__main__":
    main()
