"""Whether a compiled network answers as the model that it was made from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from pilotage.engines.compiled.manifest import Parity
from pilotage.engines.encoders.files import EncoderFiles
from pilotage.engines.encoders.runner import Floats, Runner
from pilotage.errors import ModelError

MIN_COSINE: Final = {"fp32": 0.9999, "fp16": 0.999, "bf16": 0.99}
"""The smallest cosine of two answers that is taken for the same, by what is computed in."""

_ROWS: Final = 4


@dataclass(frozen=True, slots=True)
class Samples:
    """Requests for a comparison: token ids, and the segment of every token."""

    sequences: tuple[tuple[int, ...], ...]
    segments: tuple[bytes, ...]


def samples_for(files: EncoderFiles, length: int, batch: int, *, shorter: int = 0) -> Samples:
    """Requests that the network of a shape gets: full rows, short ones, pairs.

    Args:
        files: The model.
        length: Tokens of a row.
        batch: Rows of the network; one request fewer is made where it has several, so that a row
            of padding is in it too.
        shorter: The bucket below, whose requests do not come here.
    """
    draw = np.random.default_rng([length, batch])
    count = min(batch, _ROWS) if batch < 2 else min(batch - 1, _ROWS)
    least = min(shorter + 1, length)
    counts = [length, least, *draw.integers(least, length + 1, _ROWS).tolist()][:count]
    # Not the padding token: families that count positions by it have none inside a text.
    usable = np.setdiff1d(np.arange(files.vocab_size), [files.pad_id])
    sequences = tuple(tuple(draw.choice(usable, tokens).tolist()) for tokens in counts)
    segments = tuple(
        b"\0" * (tokens // 2) + b"\1" * (tokens - tokens // 2) if place % 2 else b""
        for place, tokens in enumerate(counts)
    )
    return Samples(sequences, segments)


def compare(samples: Samples, own: Runner, reference: Runner, name: str) -> Parity:
    """Run the samples on both and measure how far the answers are apart.

    The answers are compared as the model gives them, before pooling, over a request's own tokens.
    The reference runs one request at a time, so that no padding is in it.

    Args:
        samples: See `samples_for`.
        own: The compiled one.
        reference: The model as it was.
        name: What the reference is called in the manifest.

    Raises:
        ModelError: The answers of `own` are no numbers.
    """
    answers = own.run(samples.sequences, samples.segments)
    errors, cosines = [], []
    for ids, kinds, answer in zip(samples.sequences, samples.segments, answers, strict=True):
        expected = _own_part(reference.run([ids], [kinds])[0], len(ids))
        found = _own_part(answer, len(ids))
        if not np.isfinite(found).all():
            raise ModelError("the compiled network's answers are not finite numbers")
        errors.append(float(np.abs(found - expected).max()))
        cosines.append(_cosine(found, expected))
    return Parity(
        samples=len(errors),
        max_abs_error=max(errors),
        min_cosine=min(cosines),
        reference=name,
    )


def require_parity(parity: Parity, least: float, *, network: str) -> None:
    """Refuse a network whose answers differ.

    Args:
        parity: What was measured.
        least: The smallest cosine that is good enough, see `MIN_COSINE`.
        network: Its name, for the message.

    Raises:
        ModelError: They differ by more.
    """
    if parity.min_cosine < least:
        raise ModelError(
            f"the compiled network {network} does not answer as the model does: cosine "
            f"{parity.min_cosine:.6f}, at least {least:g} is wanted; largest difference "
            f"{parity.max_abs_error:.3g}, against {parity.reference}",
            where=f"network {network}",
            hint="Compile with --dtype fp32, or lower --min-cosine if that is near enough",
        )


def _own_part(answer: Floats, tokens: int) -> Floats:
    return answer[:tokens] if answer.ndim == 2 else answer


def _cosine(one: Floats, other: Floats) -> float:
    a, b = one.ravel().astype(np.float64), other.ravel().astype(np.float64)
    scale = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(a @ b) / scale if scale > 0 else float(np.array_equal(a, b))
