"""Claims with numbers, held against memory, bandwidth, rates and prices.

Every check is a bound that no software can beat, so "impossible" is certain; "possible" says only
that these bounds leave room for it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from pilotage.catalog.accelerators import Accelerator
from pilotage.catalog.prices import PriceBook
from pilotage.errors import UsageError
from pilotage.plan.candidates import accelerators, machines
from pilotage.plan.claims.claim import Claim, Finding, Verdict
from pilotage.plan.cost import HOURS_PER_MONTH
from pilotage.plan.memory import image_bytes, sequence_bytes, weights_of
from pilotage.plan.precision import (
    PRECISIONS,
    Precision,
    find_precision,
    native_precision,
    unusable,
)
from pilotage.plan.roofline import RooflineModel, image_patches, image_prompt_tokens
from pilotage.plan.step_model import Batch
from pilotage.plan.terms import Sum, Term

_GIB: Final = 1 << 30
_COUNTS: Final = (1, 2, 4, 8)
_MOST_SEQUENCES: Final = 65_536


def check_claim(claim: Claim, prices: PriceBook | None = None) -> Verdict:
    """Whether a claim can be true.

    Args:
        claim: What is claimed.
        prices: Needed for a claim about cost.

    Raises:
        UsageError: A number makes no sense.
    """
    if claim.count < 1 or claim.prompt < 1 or claim.completion < 1 or claim.copies < 1:
        raise UsageError("counts and lengths should be 1 or more", where="claim")
    if claim.images and claim.model.vision is None:
        raise UsageError(f"{claim.model.name} takes no images", where="--image")
    if claim.device is None:
        return _anywhere(claim, prices)
    findings = sorted(
        _findings(claim, claim.device, prices), key=lambda one: (one.holds is not False, 0)
    )
    refuted = any(one.holds is False for one in findings)
    return Verdict(
        claim=in_words(claim),
        findings=tuple(findings),
        instead=_instead(claim, prices) if refuted else "",
    )


def in_words(claim: Claim) -> str:
    """The claim in a line."""
    where = "some accelerator"
    if claim.device is not None:
        many = f"{claim.count} x " if claim.count > 1 else ""
        where = f"{many}{claim.device.title}"
    parts = [f"{claim.model.name} on {where}"]
    if claim.copies > 1:
        parts.append(f"{claim.copies} copies")
    if claim.dtype:
        parts.append(f"in {claim.dtype}")
    if claim.images:
        parts.append(f"{claim.images} image of {claim.image_width}x{claim.image_height}")
    if claim.completion > 1 or claim.prompt > 1:
        parts.append(f"{claim.prompt:,} prompt and {claim.completion:,} completion tokens")
    if claim.ttft_p99_s is not None:
        parts.append(f"first token at p99 {_s(claim.ttft_p99_s)}")
    if claim.latency_p99_s is not None:
        parts.append(f"p99 {_s(claim.latency_p99_s)}")
    if claim.tokens_per_s is not None:
        parts.append(f"{claim.tokens_per_s:,.0f} output tokens/s")
    if claim.usd_per_month is not None:
        parts.append(f"${claim.usd_per_month:,.0f} a month")
    return ", ".join(parts)


def precision_of(claim: Claim, device: Accelerator | None) -> Precision:
    """The format that is claimed; else what the files hold, fp16 where there is no bf16."""
    if claim.dtype is not None:
        wanted = find_precision(claim.dtype)
        native = native_precision(claim.model)
        return native if wanted.name == native.name else wanted
    native = native_precision(claim.model)
    if native.name == "bf16" and device is not None and not device.bf16:
        return PRECISIONS["fp16"]
    return native


def _findings(claim: Claim, device: Accelerator, prices: PriceBook | None) -> Iterator[Finding]:
    precision = precision_of(claim, device)
    source = f"data sheet of {device.title}; config of {claim.model.name}"
    yield _number_format(claim, device, source)
    yield _memory(claim, device, precision, source)
    model = _step_model(claim, device, precision)
    if claim.latency_p99_s is not None:
        yield _latency(claim, device, model, source)
    if claim.ttft_p99_s is not None:
        yield _first_token(claim, device, model, source)
    if claim.tokens_per_s is not None:
        yield _throughput(claim, device, model, precision, source)
    if claim.usd_per_month is not None:
        if prices is None:
            raise UsageError("a claim about cost needs prices", where="--cost")
        yield _cost(claim, device, prices)


def _number_format(claim: Claim, device: Accelerator, source: str) -> Finding:
    stored = native_precision(claim.model)
    wanted = find_precision(claim.dtype) if claim.dtype else stored
    why = unusable(wanted, device)
    if why is None:
        return Finding(
            limit="number format",
            holds=True,
            message=f"{device.title} computes {wanted.name}",
            source=source,
        )
    held = f"the files hold {stored.name}; " if not claim.dtype else ""
    return Finding(
        limit="number format",
        holds=False if claim.dtype else None,
        message=held + why,
        source=source,
    )


def _memory(claim: Claim, device: Accelerator, precision: Precision, source: str) -> Finding:
    """Weights and the cache of one request against all memory.

    Runtime and activations come on top, so this errs in the claim's favour.
    """
    anatomy = claim.model
    weights = weights_of(anatomy, precision).total
    tokens = claim.prompt + claim.completion + _image_tokens(claim)
    cache = sequence_bytes(anatomy, precision, tokens) + claim.images * image_bytes(
        anatomy, precision
    )
    has = claim.count * device.memory_bytes
    bytes_each = weights / anatomy.parameters
    terms = Sum(
        "memory",
        (
            Term(
                "weights",
                claim.copies * weights,
                "B",
                (f"{claim.copies} copies x " if claim.copies > 1 else "")
                + f"{anatomy.parameters / 1e9:.4g}B parameters x {bytes_each:.3g} B",
                f"config of {anatomy.name}",
            ),
            Term(
                "KV cache",
                claim.copies * cache,
                "B",
                f"{tokens:,} tokens of one request"
                + (f" and {claim.images} image" if claim.images else ""),
                "2 x layers x KV heads x head dim x bytes a token",
            ),
        ),
    )
    fits = terms.value <= has
    many = f"{claim.count} x " if claim.count > 1 else ""
    copies = (
        f"{claim.copies} worker processes load {claim.copies} copies: " if claim.copies > 1 else ""
    )
    return Finding(
        limit="memory",
        holds=fits,
        message=f"{copies}{claim.copies * weights / _GIB:.3g} GiB of weights in {precision.name} "
        f"and {claim.copies * cache / _GIB:.2g} GiB of cache; {many}{device.title} "
        f"{'have' if claim.count > 1 else 'has'} {has / _GIB:.3g} GiB"
        + ("" if fits else ", and the runtime needs some, too"),
        terms=terms,
        source=source,
    )


def _latency(claim: Claim, device: Accelerator, model: RooflineModel, source: str) -> Finding:
    assert claim.latency_p99_s is not None
    prompt = claim.prompt + _image_tokens(claim)
    least = model.request_floor_s(prompt, claim.completion, claim.images)
    each = model.floor_s(Batch(decode_seqs=1, decode_context=prompt + claim.completion / 2))
    read = model.parts_of(Batch(decode_seqs=1, decode_context=1.0)).weights
    size = read * device.bandwidth * claim.count
    many = f"{claim.count} x " if claim.count > 1 else ""
    return Finding(
        limit="latency",
        holds=least <= claim.latency_p99_s,
        message=f"each token reads {size / 1e9:.3g} GB of weights: {_s(each)} at "
        f"{many}{device.bandwidth / 1e9:,.0f} GB/s; {claim.completion:,} tokens take at least "
        f"{_s(least)}, {_s(claim.latency_p99_s)} are claimed",
        source=source,
    )


def _first_token(claim: Claim, device: Accelerator, model: RooflineModel, source: str) -> Finding:
    assert claim.ttft_p99_s is not None
    prompt = claim.prompt + _image_tokens(claim)
    batch = Batch(
        prefill_tokens=prompt, prefill_context=prompt * (prompt + 1) / 2, images=claim.images
    )
    least = model.floor_s(batch)
    many = f"{claim.count} x " if claim.count > 1 else ""
    return Finding(
        limit="first token",
        holds=least <= claim.ttft_p99_s,
        message=f"reading {prompt:,} tokens takes at least {_s(least)} on {many}{device.title} "
        f"(2 x {claim.model.active_parameters / 1e9:.3g}B weights a token, "
        f"{model.peak / 1e12:,.0f} TFLOP/s); {_s(claim.ttft_p99_s)} are claimed",
        source=source,
    )


def _throughput(
    claim: Claim, device: Accelerator, model: RooflineModel, precision: Precision, source: str
) -> Finding:
    """The most tokens a second.

    As many sequences as the cache holds, each step at the floor, each request's prompt read once.
    """
    assert claim.tokens_per_s is not None
    prompt = claim.prompt + _image_tokens(claim)
    tokens = prompt + claim.completion
    free = claim.count * device.memory_bytes - weights_of(claim.model, precision).total
    each = sequence_bytes(claim.model, precision, tokens) + claim.images * image_bytes(
        claim.model, precision
    )
    most = min(_MOST_SEQUENCES, int(free / each)) if each else _MOST_SEQUENCES
    if most < 1:
        return Finding(
            limit="throughput",
            holds=False,
            message="no sequence fits beside the weights, so no token comes out",
            source=source,
        )

    def rate(sequences: int) -> float:
        step = model.floor_s(
            Batch(
                decode_seqs=sequences,
                decode_context=sequences * (prompt + claim.completion / 2),
                prefill_tokens=max(1, round(sequences * prompt / claim.completion)),
                prefill_context=sequences * prompt * (prompt + 1) / 2 / claim.completion,
                images=round(sequences * claim.images / claim.completion),
            )
        )
        return sequences / step

    best = max(rate(sequences) for sequences in _powers(most))
    many = f"{claim.count} x " if claim.count > 1 else ""
    return Finding(
        limit="throughput",
        holds=claim.tokens_per_s <= best,
        message=f"{most:,} sequences of {tokens:,} tokens fit at once; {many}{device.title} "
        f"{'do' if claim.count > 1 else 'does'} at most {best:,.0f} tokens/s with them, "
        f"{claim.tokens_per_s:,.0f} are claimed",
        source=source,
    )


def _cost(claim: Claim, device: Accelerator, prices: PriceBook) -> Finding:
    assert claim.usd_per_month is not None
    rows = [
        (float(price.amount) * math.ceil(claim.count / one.count), one, price)
        for one in machines()
        if one.accelerator is device and (price := prices.find(one.instance.name)) is not None
    ]
    if not rows:
        return Finding(
            limit="cost",
            holds=None,
            message=f"no price of an instance with {device.title} is known",
        )
    hourly, machine, price = min(rows, key=lambda row: row[0])
    month = hourly * HOURS_PER_MONTH
    instances = math.ceil(claim.count / machine.count)
    return Finding(
        limit="cost",
        holds=month <= claim.usd_per_month,
        message=f"{instances} x {machine.instance.name}, the cheapest with {claim.count} "
        f"{device.title}, x {price.amount} USD/h x {HOURS_PER_MONTH} h = ${month:,.0f} a month on "
        f"demand; ${claim.usd_per_month:,.0f} are claimed",
        source=price.cited,
    )


def _anywhere(claim: Claim, prices: PriceBook | None) -> Verdict:
    """Of all accelerators that can be rented, the first that nothing refutes, or the nearest."""
    best: Verdict | None = None
    for device, count in _rentable():
        verdict = check_claim(replace(claim, device=device, count=count), prices)
        if verdict.possible:
            return verdict
        if best is None or _refuted(verdict) < _refuted(best):
            best = verdict
    assert best is not None
    return best


def _instead(claim: Claim, prices: PriceBook | None) -> str:
    """The smallest hardware that nothing refutes the rest of the claim on."""
    for device, count in _rentable():
        moved = replace(claim, device=device, count=count, dtype=None, copies=1)
        if all(one.holds is not False for one in _findings(moved, device, prices)):
            many = f"{count} x " if count > 1 else ""
            return f"nothing refutes it on {many}{device.title}"
    return "no accelerator of the catalog, up to 8 in one machine, can do it"


def _rentable() -> Iterator[tuple[Accelerator, int]]:
    rows = [
        (count * device.bandwidth, device, count)
        for device, most in accelerators().values()
        for count in _COUNTS
        if count <= most and not device.neuron
    ]
    for _, device, count in sorted(rows, key=lambda row: row[0]):
        yield device, count


def _refuted(verdict: Verdict) -> int:
    return sum(one.holds is False for one in verdict.findings)


def _step_model(claim: Claim, device: Accelerator, precision: Precision) -> RooflineModel:
    vision = claim.model.vision if claim.images else None
    return RooflineModel(
        claim.model,
        precision,
        device,
        tensor_parallel=claim.count,
        images=claim.images,
        image_patches=image_patches(vision, claim.image_width, claim.image_height)
        if vision
        else None,
    )


def _image_tokens(claim: Claim) -> int:
    vision = claim.model.vision
    if vision is None or not claim.images:
        return 0
    return claim.images * image_prompt_tokens(vision, claim.image_width, claim.image_height)


def _powers(most: int) -> Iterator[int]:
    n = 1
    while n < most:
        yield n
        n *= 2
    yield most


def _s(seconds: float) -> str:
    return f"{seconds:.3g} s" if seconds >= 1 else f"{seconds * 1e3:.3g} ms"
