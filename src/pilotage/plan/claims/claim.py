"""A claim, what is found about it, and the verdict."""

from __future__ import annotations

from dataclasses import dataclass

from pilotage.catalog.accelerators import Accelerator
from pilotage.catalog.anatomy import Anatomy
from pilotage.plan.terms import Sum


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """That a model does something on some hardware. None: nothing is claimed of it.

    Attributes:
        model: Which.
        device: The accelerator; None for any that can be rented.
        count: How many of them.
        dtype: The number format; what the files hold if None.
        latency_p99_s: Seconds from a request to its last token.
        ttft_p99_s: To its first.
        tokens_per_s: Output tokens a second, all requests together.
        usd_per_month: What the hardware costs.
        prompt: Prompt tokens, images not counted.
        completion: Completion tokens.
        images: Images a request.
        image_width: Pixels.
        image_height: Pixels.
        copies: Copies of the model that the devices hold, one a worker process.
    """

    model: Anatomy
    device: Accelerator | None = None
    count: int = 1
    dtype: str | None = None
    latency_p99_s: float | None = None
    ttft_p99_s: float | None = None
    tokens_per_s: float | None = None
    usd_per_month: float | None = None
    prompt: int = 1
    completion: int = 1
    images: int = 0
    image_width: int = 0
    image_height: int = 0
    copies: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was checked.

    Attributes:
        limit: What: "memory", "latency", "number format", "no GPU" …
        holds: Whether it can be so; None for what must be known but refutes nothing.
        message: The arithmetic in a sentence.
        terms: The same term by term, where it is a sum.
        source: Where the facts come from.
    """

    limit: str
    holds: bool | None
    message: str
    terms: Sum | None = None
    source: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What is to be thought of a claim.

    Attributes:
        claim: In words.
        findings: What was checked, refutations first.
        instead: What would hold in its place; empty when nothing needs to.
    """

    claim: str
    findings: tuple[Finding, ...]
    instead: str = ""

    @property
    def possible(self) -> bool:
        """Whether nothing refutes it. That is no promise that any software gets there."""
        return all(one.holds is not False for one in self.findings)
