"""The ``routing:`` section: tiers, the policy that chooses among them, and the ledger."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from pilotage.spec.fields import Duration, LocalPath, Section
from pilotage.spec.tiers import TierSpec

PolicyName = Literal["static", "router", "cascade", "cascade_routing"]
EstimatorName = Literal["none", "rules", "classifier", "llm"]
VerifierName = Literal[
    "schema", "refusal", "truncation", "logprobs", "scorer", "agreement", "judge"
]


class RuleSpec(Section):
    """A rule before generation: requests that match it start at a tier."""

    tier: str = Field(min_length=1, description="Tier at which such requests start.")
    contains: tuple[str, ...] = Field(
        default=(),
        strict=False,
        max_length=256,
        description="Words or phrases; one of them in the last user message is enough.",
    )
    min_chars: int | None = Field(
        default=None, ge=0, description="Least length of the whole prompt in characters."
    )
    max_chars: int | None = Field(
        default=None, ge=0, description="Greatest length of the whole prompt in characters."
    )
    images: bool | None = Field(default=None, description="Whether it comes with images.")
    tools: bool | None = Field(default=None, description="Whether it comes with tools.")


class EstimatorSpec(Section):
    """How difficulty is judged before anything is generated."""

    kind: EstimatorName = Field(
        default="none",
        description="rules: the first rule that matches; classifier: fitted by route calibrate, "
        "under a millisecond; llm: the cheapest tier says SIMPLE, MEDIUM or COMPLEX.",
    )
    rules: tuple[RuleSpec, ...] = Field(
        default=(), strict=False, max_length=256, description="For rules, in order."
    )
    tier: str | None = Field(
        default=None, description="For llm: the tier that classifies. The first if not given."
    )


class VerifierSpec(Section):
    """How an answer is judged after it was generated."""

    checks: tuple[VerifierName, ...] = Field(
        default=("schema", "refusal", "truncation"),
        strict=False,
        description="Which, cheapest first: schema, refusal and truncation need no model; "
        "logprobs and scorer, which reads the answer's text, are fitted by route calibrate; "
        "agreement draws a second sample; judge asks a tier for a score from 0 to 1.",
    )
    judge_tier: str | None = Field(
        default=None, description="Tier that judges. The one above the answer's if not given."
    )
    thresholds: dict[str, float] = Field(
        default={},
        description="Least score at which a tier's answer is accepted, by tier. 0.85, 0.90, 0.95 "
        "… from the first tier on if not given; the last tier's answer is always taken.",
    )

    @field_validator("thresholds")
    @classmethod
    def _shares(cls, thresholds: dict[str, float]) -> dict[str, float]:
        for name, value in thresholds.items():
            if not 0 <= value <= 1:
                raise PydanticCustomError(
                    "threshold",
                    "should be from 0 to 1, got {value}",
                    {"value": value, "path": (name,)},
                )
        return thresholds


class LedgerSpec(Section):
    """Where every attempt is written down."""

    path: LocalPath | None = Field(
        default=None,
        description="SQLite file. ledger.sqlite in Pilotage's home if not given.",
    )
    url_env: str | None = Field(
        default=None,
        pattern="^[A-Za-z_][A-Za-z0-9_]{0,127}$",
        description="Environment variable that holds a postgresql:// address, instead of a file.",
    )
    retention: Duration = Field(
        default=90 * 86400.0, gt=0, description="How long rows are kept; sums a day stay."
    )


class RoutingSpec(Section):
    """Tiers of models, and which of them answers what."""

    tiers: tuple[TierSpec, ...] = Field(
        strict=False,
        min_length=1,
        max_length=16,
        description="From the cheapest to the best.",
    )
    model: str = Field(
        default="auto",
        min_length=1,
        max_length=64,
        description="The name that clients ask for to be routed; tiers can be asked for by theirs.",
    )
    policy: PolicyName = Field(
        default="static",
        description="static: one tier; router: the tier that the estimator expects to be good "
        "enough; cascade: start there and escalate while the verifier is not content; "
        "cascade_routing: at each step the action with the best expected quality less cost.",
    )
    tier: str | None = Field(
        default=None, description="For static: which tier. The last one if not given."
    )
    estimator: EstimatorSpec = Field(default=EstimatorSpec(), description="Before generation.")
    verifier: VerifierSpec = Field(default=VerifierSpec(), description="After generation.")
    calibration: LocalPath | None = Field(
        default=None, description="File written by pilotage route calibrate."
    )
    force: bool = Field(
        default=False,
        description="Run a policy that has not been shown to beat the best single model and the "
        "linear mix on held-out data.",
    )
    max_generations: int = Field(
        default=2, ge=1, le=16, description="Most answers generated for a request."
    )
    stream_hold: int = Field(
        default=48,
        ge=0,
        le=8192,
        description="Tokens of a draft that are held back before the first byte, to decide on; "
        "afterwards the answer stays with its tier.",
    )
    stream_buffer: bool = Field(
        default=False,
        description="Hold streamed answers back until they are verified as a whole.",
    )
    latency_weight: float = Field(
        default=0.0,
        ge=0,
        allow_inf_nan=False,
        description="US dollars that a second of waiting is worth, for cascade_routing.",
    )
    shadow_share: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="Share of the requests also answered by the last tier, to measure savings "
        "and drift. Its cost is in the ledger.",
    )
    judge_share: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="Share of the accepted answers judged afterwards, to watch the calibration.",
    )
    max_history: int = Field(
        default=200, ge=1, le=4096, description="Most messages of a conversation."
    )
    timeout: Duration = Field(
        default=300.0, gt=0, description="Longest time for a request, all its attempts together."
    )
    ledger: LedgerSpec = Field(default=LedgerSpec(), description="The record of every attempt.")

    @property
    def tier_names(self) -> tuple[str, ...]:
        """Names of the tiers, from the cheapest to the best."""
        return tuple(tier.name for tier in self.tiers)

    @model_validator(mode="after")
    def _hangs_together(self) -> RoutingSpec:
        names = self.tier_names
        for index, name in enumerate(names):
            if name in names[:index]:
                raise PydanticCustomError(
                    "duplicate_tier",
                    'the tier "{name}" is there twice; each needs its own name',
                    {"name": name, "path": ("tiers", index, "name")},
                )
        if self.model in names:
            raise PydanticCustomError(
                "model_is_tier",
                '"{name}" is the name of a tier: nothing would tell the two apart',
                {"name": self.model, "path": ("model",)},
            )
        meant: list[tuple[str | None, tuple[str | int, ...]]] = [
            (self.tier, ("tier",)),
            (self.estimator.tier, ("estimator", "tier")),
            (self.verifier.judge_tier, ("verifier", "judge_tier")),
            *((one, ("verifier", "thresholds", one)) for one in self.verifier.thresholds),
            *(
                (rule.tier, ("estimator", "rules", index, "tier"))
                for index, rule in enumerate(self.estimator.rules)
            ),
        ]
        for name_, path in meant:
            if name_ is not None and name_ not in names:
                raise PydanticCustomError(
                    "unknown_tier",
                    'there is no tier "{name}"; the tiers are {names}',
                    {"name": name_, "names": ", ".join(names), "path": path},
                )
        return self
