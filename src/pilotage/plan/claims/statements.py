"""Claims in words that are known to be wrong, and what is so instead."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from pilotage.catalog.anatomies import known_anatomy
from pilotage.catalog.anatomy import Anatomy
from pilotage.errors import UsageError
from pilotage.plan.claims.claim import Finding, Verdict
from pilotage.plan.memory import memory_of, sequence_bytes, weights_of
from pilotage.plan.precision import find_precision, native_precision
from pilotage.units import printable

_GIB: Final = 1 << 30
_WORDS: Final = {
    "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8,
}  # fmt: skip
_EXAMPLE: Final = "meta-llama/Llama-3.1-8B-Instruct"
_EXAMPLE_MEMORY: Final = 45_776 << 20


@dataclass(frozen=True, slots=True)
class Statement:
    """A form of claim that needs no hardware to be judged.

    Attributes:
        form: How it is written, for people.
        pattern: What recognises it.
        judged: From the match, the text and the model in question (if one is named) to a verdict.
    """

    form: str
    pattern: re.Pattern[str]
    judged: Callable[[re.Match[str], str, Anatomy | None], Verdict]


def judge(text: str, model: Anatomy | None = None) -> Verdict | None:
    """The verdict on a claim of a known form; None when it has none of these.

    Args:
        text: The claim.
        model: The model in question, where the claim is about any.
    """
    for statement in STATEMENTS:
        if (match := statement.pattern.search(text)) is not None:
            return statement.judged(match, text, model)
    return None


def _fargate(match: re.Match[str], text: str, model: Anatomy | None) -> Verdict:
    del match, model
    return Verdict(
        claim=text,
        findings=(
            Finding(
                limit="no GPU",
                holds=False,
                message="Fargate has no GPUs: GPU tasks of ECS run on EC2 instances, or on ECS "
                "Managed Instances",
                source="shared/facts/aws.md; github.com/aws/containers-roadmap/issues/88, open",
            ),
        ),
        instead="strategy ecs-gpu puts the task on GPU instances",
    )


def _workers(match: re.Match[str], text: str, model: Anatomy | None) -> Verdict:
    workers, gpus = _number(match["workers"]), _number(match["gpus"] or "1")
    size = ""
    if model is not None:
        each = weights_of(model, native_precision(model)).total
        size = (
            f": {workers} x {each / _GIB:.3g} GiB = {workers * each / _GIB:.3g} GiB of weights "
            f"for {model.name}"
        )
    return Verdict(
        claim=text,
        findings=(
            Finding(
                limit="copies",
                holds=workers <= gpus,
                message=f"{workers} worker processes load {workers} copies of the model{size}, and "
                f"{'take turns on' if workers > gpus else 'have'} {gpus} GPU"
                f"{'s' if gpus > 1 else ''}; processes share no GPU memory",
                source="each process has a CUDA context and an address space of its own",
            ),
        ),
        instead="one process a GPU, which batches the requests of all clients"
        if workers > gpus
        else "",
    )


def _multiple(match: re.Match[str], text: str, model: Anatomy | None) -> Verdict:
    """The rule of thumb replaced by the sum, for the model in question."""
    anatomy = model or known_anatomy(_EXAMPLE)
    assert anatomy is not None
    precision = native_precision(anatomy)
    plan = memory_of(
        anatomy,
        precision,
        max(_EXAMPLE_MEMORY, round(1.5 * weights_of(anatomy, precision).total)),
        max_model_len=min(8192, anatomy.context_length),
        max_num_seqs=16,
    )
    fixed = {term.name: term.value for term in plan.terms.terms if term.name != "KV cache"}
    weights = fixed["weights"]
    one = sequence_bytes(anatomy, precision, plan.max_model_len)
    low = (sum(fixed.values()) + one) / weights
    high = (sum(fixed.values()) + 16 * one) / weights
    parts = " + ".join(f"{value / _GIB:.2g} GiB {name}" for name, value in fixed.items())
    return Verdict(
        claim=text,
        findings=(
            Finding(
                limit="rule of thumb",
                holds=False,
                message=f"memory is a sum, not a multiple. {anatomy.name} in {precision.name}: "
                f"{parts} + {one / _GIB:.2g} GiB of KV cache a sequence of "
                f"{plan.max_model_len:,} tokens: {low:.2f} times the weights with one sequence, "
                f"{high:.2f} with 16 (the rule says {match['low']} to "
                f"{match['high'] or match['low']})",
                terms=plan.terms,
                source="pilotage.plan.memory, which reproduces vLLM's own logs",
            ),
        ),
        instead="pilotage plan shows every term",
    )


def _pydantic(match: re.Match[str], text: str, model: Anatomy | None) -> Verdict:
    del match, model
    return Verdict(
        claim=text,
        findings=(
            Finding(
                limit="synchronous",
                holds=False,
                message="pydantic validators are synchronous: they run on the event loop and "
                "nothing else does meanwhile; an async one is never awaited",
                source="pydantic's validators are plain callables of its core, which is Rust "
                "without an event loop",
            ),
        ),
        instead="validate small things inline, and decode images in a process or thread pool",
    )


_SIZE: Final = re.compile(
    r"(?P<size>[\d.]+)\s*(?P<unit>GB|GiB)\s+in\s+(?P<dtype>fp32|float32|bf16|fp16|int8|fp8|int4)",
    re.IGNORECASE,
)


def _sizes(match: re.Match[str], text: str, model: Anatomy | None) -> Verdict:
    billions = float(match["billions"])
    parameters = model.parameters if model is not None else billions * 1e9
    findings = []
    for one in _SIZE.finditer(text):
        precision = find_precision(one["dtype"])
        true = parameters * precision.weight_bits / 8
        unit = 1e9 if one["unit"].lower() == "gb" else _GIB
        said = float(one["size"]) * unit
        findings.append(
            Finding(
                limit="bytes",
                # Names round to whole billions.
                holds=abs(said / true - 1) <= 0.15,
                message=f"{precision.name} has {precision.weight_bits / 8:g} bytes a parameter: "
                f"{parameters / 1e9:.4g}B x {precision.weight_bits / 8:g} B = "
                f"{true / unit:.3g} {one['unit']}, not {one['size']}",
                source="IEEE 754; bfloat16 is 16 bits",
            )
        )
    return Verdict(claim=text, findings=tuple(findings))


def _number(text: str) -> int:
    found = _WORDS.get(text.lower())
    if found is not None:
        return found
    if text.isdigit():
        return int(text)
    raise UsageError(f'"{printable(text[:20])}" is no number', where="claim")


_N: Final = r"\d+|one|two|three|four|five|six|seven|eight"
STATEMENTS: Final = (
    Statement(
        "Fargate has GPUs", re.compile(r"fargate\b.*\bgpus?\b|\bgpus?\b.*fargate", re.I), _fargate
    ),
    Statement(
        "N uvicorn workers for M GPUs",
        re.compile(
            rf"\b(?P<workers>{_N})\s+(?:uvicorn\s+|gunicorn\s+)?workers?\b.*?"
            rf"\b(?P<gpus>{_N}|a)\s+gpus?\b",
            re.I,
        ),
        _workers,
    ),
    Statement(
        "LLMs need 2-4x the model size in GPU memory",
        re.compile(
            r"(?P<low>[\d.]+)\s*(?:x|×|times)?\s*(?:(?:-|–|to)\s*(?P<high>[\d.]+)\s*)?(?:x|×|times)"  # noqa: RUF001
            r"\s+(?:the\s+|its\s+)?(?:model(?:'s)?\s+size|weights|size of the model)",
            re.I,
        ),
        _multiple,
    ),
    Statement(
        "async pydantic validators keep the event loop free",
        re.compile(r"\basync\w*\b.*\bpydantic\b|\bpydantic\b.*\basync\w*\b", re.I),
        _pydantic,
    ),
    Statement(
        "11B is 44 GB in fp32 and 22 GB in bf16",
        re.compile(rf"\b(?P<billions>[\d.]+)\s*B\b.*?{_SIZE.pattern}", re.I),
        _sizes,
    ),
)
"""Claims that shared/facts/planning.md lists as refuted, by their form (2026-11-22)."""
