"""A real cascade, all local: does SmolLM2-135M before Qwen2.5-Coder-1.5B save anything?

    make bench-cascade     (python -m bench.cascade [--maths N] [--prices S,S,B,B] [--json FILE])

Both models answer problems of GSM8K's test part and sixty support questions written for this
(half of them easy), greedily, through ``pilotage serve``; programs check the answers. Then
``pilotage route calibrate`` fits on a part of it and replays every policy, deferral by token
log-probabilities included, on the part it has not seen. Whatever comes out is printed, also "do
not cascade here". Prices are given, as the machine's are nobody else's; by default those of
models of these sizes at hosted providers: US dollars a million tokens, prompt and completion.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table

from bench.cascade_answers import (
    Answered,
    Question,
    ask_all,
    maths_questions,
    support_questions,
)
from bench.cascade_model import cascade_model
from bench.machine import this_machine
from bench.processes import RESULTS, ROOT, free_port, server, sole_bench

TIERS = ("small", "big")
PRICES = "0.02,0.04,0.10,0.20"


class Row(msgspec.Struct):
    """A tier on a kind of question."""

    kind: str
    tier: str
    questions: int
    quality: float
    prompt_tokens: float
    completion_tokens: float
    seconds_p50: float
    usd_per_1000: float


def spec_text(prices: Sequence[Decimal], *, models: bool) -> str:
    """The deployment: two local models, and the tiers they are."""
    tiers = "\n".join(
        f"    - name: {tier}\n"
        f"      price: {{input: {prices[2 * i]}, output: {prices[2 * i + 1]}}}\n"
        f"      backends: [{{kind: local, model: {name}}}]"
        for i, (tier, name) in enumerate(zip(TIERS, ("SmolLM2-135M-Instruct", "big"), strict=True))
    )
    serving = (
        "serving:\n  max_num_seqs: 16\n  models:\n"
        f"    - {{served_name: big, source: 'file://{cascade_model(say=True)}'}}\n"
        if models
        else ""
    )
    routing = (
        "routing:\n  policy: cascade\n"
        "  verifier: {checks: [truncation, refusal, logprobs]}\n"
        "  estimator: {kind: classifier}\n  tiers:\n" + tiers
    )
    return f"name: cascade\n{serving if models else routing}\n"


def collect(questions: Sequence[Question], folder: Path) -> dict[str, list[Answered]]:
    """Both models' answers."""
    spec = folder / "models.yaml"
    spec.write_text(spec_text([Decimal(1)] * 4, models=True))
    port = free_port()
    base = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "pilotage.cli.main", "serve", spec, "--port", port]
    command += ["--ttft-p99", "1h", "--queue-timeout", "1h"]
    found = {}
    with server("cascade", command, ready_url=f"{base}/health/ready", ready_timeout_s=300):
        for tier, model in zip(TIERS, ("SmolLM2-135M-Instruct", "big"), strict=True):
            found[tier] = ask_all(base, model, questions)
    return found


def kind_of(question: str) -> str:
    """Such as "support/easy"."""
    return question.rpartition("/")[0]


def rows_of(answers: dict[str, list[Answered]], prices: Sequence[Decimal]) -> list[Row]:
    """Measured quality, tokens, latency and cost, a tier and a kind of question."""
    rows = []
    for kind in dict.fromkeys(kind_of(one.question) for one in answers[TIERS[0]]):
        for index, tier in enumerate(TIERS):
            mine = [one for one in answers[tier] if kind_of(one.question) == kind]
            usd = [
                one.prompt_tokens * prices[2 * index]
                + one.completion_tokens * prices[2 * index + 1]
                for one in mine
            ]
            rows.append(
                Row(
                    kind,
                    tier,
                    len(mine),
                    statistics.fmean(one.right for one in mine),
                    statistics.fmean(one.prompt_tokens for one in mine),
                    statistics.fmean(one.completion_tokens for one in mine),
                    statistics.median(one.seconds for one in mine),
                    float(sum(usd) / len(usd) / 1000),
                )
            )
    return rows


def calibration(
    questions: Sequence[Question],
    answers: dict[str, list[Answered]],
    kinds: Sequence[str],
    prices: Sequence[Decimal],
    folder: Path,
) -> tuple[str, dict[str, object]]:
    """What ``pilotage route calibrate`` says of the questions of some kinds."""
    by_tier = {tier: {one.question: one for one in answers[tier]} for tier in TIERS}
    data, spec, out = folder / "data.jsonl", folder / "routing.yaml", folder / "routing.json"
    spec.write_text(spec_text(prices, models=False))
    with data.open("w") as file:
        for question in questions:
            if kind_of(question.id) not in kinds:
                continue
            mine = {tier: by_tier[tier][question.id] for tier in TIERS}
            row = {
                "messages": question.messages,
                "scores": {tier: float(one.right) for tier, one in mine.items()},
                "answers": {tier: one.text for tier, one in mine.items()},
                "logprobs": {tier: one.logprobs for tier, one in mine.items()},
                "tokens": {
                    tier: {"prompt": one.prompt_tokens, "completion": one.completion_tokens}
                    for tier, one in mine.items()
                },
            }
            file.write(json.dumps(row) + "\n")
    command = [
        sys.executable, "-m", "pilotage.cli.main", "route", "calibrate", str(data),
        "--spec", str(spec), "-o", str(out),
    ]  # fmt: skip
    out.unlink(missing_ok=True)
    said = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    # Too few rows to say anything is an answer, too.
    found = json.loads(out.read_bytes()) if said.returncode == 0 else {"error": said.stderr}
    return said.stdout or said.stderr, found


def main() -> int:
    """Ask, check, fit, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--maths", type=int, default=40, help="problems of GSM8K")
    parser.add_argument("--prices", default=PRICES, help="small in, small out, big in, big out")
    parser.add_argument("--answers", type=Path, help="take the answers of an earlier run")
    parser.add_argument("--json", type=Path, help="write the figures here")
    given = parser.parse_args()
    prices = [Decimal(one) for one in given.prices.split(",")]
    console = Console(width=max(100, Console().width))
    questions = [*maths_questions(given.maths), *support_questions()]
    with sole_bench(), tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        if given.answers:
            answers = msgspec.json.decode(
                given.answers.read_bytes(), type=dict[str, list[Answered]]
            )
        else:
            answers = collect(questions, folder)
            RESULTS.mkdir(parents=True, exist_ok=True)
            kept = RESULTS / "cascade_answers.json"
            kept.write_bytes(msgspec.json.encode(answers))
        rows = rows_of(answers, prices)
        table = Table(title="Two local models")
        for column in (
            "questions",
            "tier",
            "n",
            "right",
            "prompt",
            "completion",
            "p50",
            "$ / 1000",
        ):
            table.add_column(column, justify="left" if column in {"questions", "tier"} else "right")
        for row in rows:
            table.add_row(
                row.kind,
                row.tier,
                str(row.questions),
                f"{row.quality:.0%}",
                f"{row.prompt_tokens:.0f}",
                f"{row.completion_tokens:.0f}",
                f"{row.seconds_p50:.1f} s",
                f"{row.usd_per_1000:.4f}",
            )
        console.print(table)
        pages = {}
        for name, kinds in (
            ("GSM8K", ("gsm8k",)),
            ("support questions", ("support/easy", "support/hard")),
            ("all of them", ("gsm8k", "support/easy", "support/hard")),
        ):
            said, pages[name] = calibration(questions, answers, kinds, prices, folder)
            console.rule(name)
            console.print(said, highlight=False, markup=False)
    console.print(
        f"prices: {given.prices} US dollars a million tokens (small in, out, big in, out) · "
        f"{this_machine()} · load average {os.getloadavg()[0]:.1f}"
    )
    if given.json:
        given.json.parent.mkdir(parents=True, exist_ok=True)
        found = {"rows": msgspec.to_builtins(rows), "calibrations": pages}
        given.json.write_text(json.dumps(found, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
