"""Asks the model about pictures that it has not seen, in this process, over HTTP, or both.

python -m scripts.shapes.evaluate models/shapes-vlm --pictures 500
python -m scripts.shapes.evaluate models/shapes-vlm --url http://127.0.0.1:8000 --json
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from scripts.shapes.client import answer_over_http
from scripts.shapes.exams import TEST_SEED, Report, exams, marked
from scripts.shapes.questions import KINDS
from scripts.shapes.reference import answer_in_process


def main() -> int:
    """Prints accuracy a kind; exit status 1 when it is below ``--floor`` or two ways differ."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path, help="the model, such as models/shapes-vlm")
    parser.add_argument("--pictures", type=int, default=500)
    parser.add_argument("--seed", type=int, default=TEST_SEED)
    parser.add_argument("--url", help="a running server; it is asked as well as this process")
    parser.add_argument("--floor", type=float, default=0.95, help="least accuracy")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    given = list(exams(options.pictures, options.seed))
    ways: dict[str, Callable[[], list[str]]] = {
        "in_process": lambda: answer_in_process(options.folder, given)
    }
    if options.url:
        ways["http"] = lambda: answer_over_http(options.url, given)
    reports = {name: marked(given, answer()) for name, answer in ways.items()}
    same = len({tuple(report.answers) for report in reports.values()}) == 1
    if options.json:
        print(json.dumps({"same_answers": same, **{k: _figures(r) for k, r in reports.items()}}))
    else:
        for name, report in reports.items():
            print(f"{name}: {report.accuracy:.1%} of {len(given)}")
            for kind in KINDS:
                print(f"  {kind:<9} {report.right[kind]:>4} of {report.asked[kind]}")
        if options.url:
            print("the answers are the same" if same else "the answers differ")
    return 0 if same and all(r.accuracy >= options.floor for r in reports.values()) else 1


def _figures(report: Report) -> dict[str, Any]:
    return {"accuracy": report.accuracy, "asked": report.asked, "right": report.right}


if __name__ == "__main__":
    sys.exit(main())
