"""What `pilotage route calibrate` found: the file ``pilotage.routing/1``."""

from __future__ import annotations

import math
import os
import secrets
from collections.abc import Mapping
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import msgspec

from pilotage.errors import StoreError, UsageError
from pilotage.route.calibration.bound import Threshold
from pilotage.route.calibration.comparison import Comparison, Single
from pilotage.route.calibration.logistic import Logistic, log_odds
from pilotage.route.calibration.logprobs import LogprobModel
from pilotage.route.calibration.scale import Isotonic, Platt
from pilotage.route.pricing import TierPrice
from pilotage.spec.routing import PolicyName, RoutingSpec
from pilotage.units import printable

SCHEMA: Final = "pilotage.routing/1"

_LARGEST_FILE: Final = 128 * 1024 * 1024
_AGAIN: Final = "Write it again with pilotage route calibrate"


class DataNote(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the data was.

    Attributes:
        sha256: Of the file.
        rows: Requests in it.
        parts: Rows by what they were used for: fit, tune, bound, test.
        estimated_tokens: Share of the answers whose tokens were estimated.
    """

    sha256: str
    rows: int
    parts: dict[str, int]
    estimated_tokens: float


class Goal(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What was asked for.

    Attributes:
        quality: Mean quality that answers should have.
        quality_given: Whether the user said so; otherwise it is a share of the best single model's.
        usd: US dollars a request that must not be exceeded on average; None without a budget.
        confidence: Of thresholds: 1 - δ.
    """

    quality: float
    quality_given: bool
    usd: Decimal | None
    confidence: float


class Setup(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What of the spec the figures hold for.

    Attributes:
        estimator: rules or classifier.
        rules: Digest of the rules; None for a classifier.
        signals: Verifiers that the cascades listened to: logprobs, scorer, judge.
        judge_tier: As in the spec.
        thresholds: As in the spec: those that the user set, instead of certified ones.
        max_generations: As in the spec.
    """

    estimator: str
    rules: str | None
    signals: tuple[str, ...]
    judge_tier: str | None
    thresholds: dict[str, float]
    max_generations: int


class PolicyFit(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A policy's value of money, and how it did.

    Attributes:
        usd_weight: λ: expected quality that a US dollar is worth.
        comparison: On the test rows.
    """

    usd_weight: float
    comparison: Comparison


class Price(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A `TierPrice` as it is written down, US dollars."""

    input: Decimal
    output: Decimal
    cache_read: Decimal
    cache_write: Decimal
    image: Decimal
    request: Decimal

    @classmethod
    def of(cls, price: TierPrice) -> Price:
        """A price without who says so."""
        return cls(**{name: getattr(price, name) for name in cls.__struct_fields__})


class Calibration(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What was fitted on the user's data, chosen, and measured on rows that had no part in that.

    Attributes:
        schema: `SCHEMA`.
        date: When, ISO 8601, UTC.
        data: What on.
        tiers: Names, from the cheapest to the best.
        prices: Of each tier, then.
        goal: What for.
        setup: Under which parts of the spec.
        completion_tokens: Mean of each tier's answers.
        classifier: `pilotage.route.estimators.classifier.Classifier.as_dict`.
        logprobs: Models of answers by their log-probabilities, by tier, where the data has them.
        judge: Scales of judges' scores, by the tier that was judged, where the data has them.
        scorer: `pilotage.route.estimators.answer_scorer.AnswerScorer.as_dict`, by the tier that
            answers, where the data has answers.
        accept: Expected quality of an answer from `ACCEPT_INPUTS`, by tier.
        later: What is expected of other tiers after one has answered: answered → other → model.
        thresholds: By tier, except the last one.
        singles: What each tier alone would have got on the test rows.
        policies: Those that could be measured on this data.
        chosen: What to run.
        chosen_tier: For static: with which tier.
        reason: Why, for people.
    """

    schema: str
    date: str
    data: DataNote
    tiers: tuple[str, ...]
    prices: dict[str, Price]
    goal: Goal
    setup: Setup
    completion_tokens: dict[str, float]
    classifier: dict[str, Any] | None
    logprobs: dict[str, LogprobModel]
    judge: dict[str, Platt | Isotonic]
    scorer: dict[str, dict[str, Any]]
    accept: dict[str, Logistic]
    later: dict[str, dict[str, Logistic]]
    thresholds: dict[str, Threshold]
    singles: dict[str, Single]
    policies: dict[PolicyName, PolicyFit]
    chosen: PolicyName
    chosen_tier: str | None
    reason: str

    def __post_init__(self) -> None:
        known = set(self.tiers)
        if not self.tiers or len(known) != len(self.tiers) or len(self.tiers) > 16:
            raise ValueError("tiers should be 1 to 16 names, no two alike")
        if any(set(each) != known for each in (self.prices, self.completion_tokens, self.singles)):
            raise ValueError("every tier needs a price, a mean of its tokens, and its own figures")
        named = {*self.logprobs, *self.judge, *self.scorer, *self.accept}
        named.update(self.later, self.thresholds)
        named.update(other for one in self.later.values() for other in one)
        if self.chosen_tier is not None:
            named.add(self.chosen_tier)
        if not named <= known:
            raise ValueError("something is said about a tier that is none")
        if (self.chosen == "static") == (self.chosen_tier is None):
            raise ValueError("chosen_tier goes with static")
        if not all(0 <= fit.usd_weight < math.inf for fit in self.policies.values()):
            raise ValueError("usd_weight should be 0 or more")
        if any(model.inputs != ACCEPT_INPUTS for model in self.accept.values()):
            raise ValueError(f"accept should be of {', '.join(ACCEPT_INPUTS)}")
        if any(
            model.inputs != AFTER_INPUTS for one in self.later.values() for model in one.values()
        ):
            raise ValueError(f"later should be of {', '.join(AFTER_INPUTS)}")

    def acceptance(self, tier: str, scores: Mapping[str, float]) -> float | None:
        """Expected quality of an answer from all that is known of it.

        Args:
            tier: Whose answer.
            scores: "prior", what was expected before; "logprobs", `LogprobModel.score`; "scorer",
                `AnswerScorer.predict`; "judge", the judge's score through its scale in `judge`. A
                missing one counts as average.

        Returns:
            0 to 1; None if nothing was fitted for the tier.
        """
        model = self.accept.get(tier)
        if model is None:
            return None
        return model.probability(
            [log_odds(scores[name]) if name in scores else None for name in ACCEPT_INPUTS]
        )

    def threshold(self, tier: str) -> float | None:
        """Least acceptance at which a tier's answer is taken: the spec's, or a certified one.

        None if no threshold is certified: its answers are not good enough, or too few were seen.
        """
        if tier in self.setup.thresholds:
            return self.setup.thresholds[tier]
        found = self.thresholds.get(tier)
        return None if found is None else found.value

    def usd_weight(self, policy: PolicyName) -> float:
        """λ of a policy; 0, money is no object, for one that was not fitted."""
        fit = self.policies.get(policy)
        return 0.0 if fit is None else fit.usd_weight

    def after(self, tier: str, acceptance: float, quality: Mapping[str, float]) -> dict[str, float]:
        """What is expected of every tier once one has answered.

        A request that one model failed is a harder request for the others too.

        Args:
            tier: Who answered.
            acceptance: Of that answer.
            quality: What was expected of each tier until then.
        """
        expected = dict(quality)
        for other, model in self.later.get(tier, {}).items():
            if other in expected:
                expected[other] = model.probability(
                    [log_odds(expected[other]), log_odds(acceptance)]
                )
        expected[tier] = acceptance
        return expected

    def require_tiers(self, routing: RoutingSpec) -> None:
        """See that it was made for these tiers.

        Raises:
            UsageError: It was made for others, which are named.
        """
        if self.tiers == routing.tier_names:
            return
        missing = [name for name in routing.tier_names if name not in self.tiers]
        unknown = [name for name in self.tiers if name not in routing.tier_names]
        said = [
            *([f"it knows nothing of {', '.join(missing)}"] if missing else []),
            *([f"the spec has no {', '.join(unknown)}"] if unknown else []),
        ] or [f"its order is {', '.join(self.tiers)}"]
        raise UsageError(
            f"the calibration is for other tiers: {'; '.join(said)}",
            where="routing.calibration",
            hint=_AGAIN,
        )

    def stale_prices(self, prices: Mapping[str, TierPrice]) -> tuple[str, ...]:
        """Tiers whose prices are no longer those that were calibrated at."""
        return tuple(
            tier
            for tier in self.tiers
            if tier in prices and Price.of(prices[tier]) != self.prices[tier]
        )

    def save(self, path: Path) -> None:
        """Write the file at once or not at all.

        Raises:
            StoreError: It cannot be written.
        """
        draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
        try:
            try:
                with draft.open("xb") as file:
                    file.write(msgspec.json.format(msgspec.json.encode(self), indent=1) + b"\n")
                    file.flush()
                    os.fsync(file.fileno())
                draft.replace(path)
            except BaseException:
                with suppress(OSError):
                    draft.unlink()
                raise
        except OSError as error:
            reason = (error.strerror or "failed").lower()
            raise StoreError(
                f"cannot be written: {reason}", where=printable(str(path)), hint="Choose with -o"
            ) from None

    @classmethod
    def load(cls, path: Path) -> Calibration:
        """Read a file.

        Raises:
            UsageError: It cannot be read, or is no calibration of this version.
        """
        try:
            with path.open("rb") as file:
                raw = file.read(_LARGEST_FILE + 1)
        except OSError as error:
            reason = (error.strerror or "failed").lower()
            raise UsageError(f"cannot be read: {reason}", where=printable(str(path))) from None
        return cls.parse(raw, printable(str(path)))

    @classmethod
    def parse(cls, raw: bytes, where: str) -> Calibration:
        """Read the content of a file.

        Args:
            raw: JSON.
            where: Its name in errors.

        Raises:
            UsageError: It is no calibration of this version.
        """
        if len(raw) > _LARGEST_FILE:
            raise UsageError(f"more than {_LARGEST_FILE // 2**20} MiB", where=where)
        try:
            schema = msgspec.json.decode(raw, type=_Versioned).schema
            if schema != SCHEMA:
                raise UsageError(
                    f'the schema is "{printable(schema[:64])}", and this version reads "{SCHEMA}"',
                    where=where,
                    hint=_AGAIN,
                )
            found = msgspec.json.decode(raw, type=cls)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise UsageError(
                f"not a calibration: {printable(str(error)[:300])}", where=where, hint=_AGAIN
            ) from None
        return found


class _Versioned(msgspec.Struct):
    schema: str


ACCEPT_INPUTS: Final = ("prior", "logprobs", "scorer", "judge")
"""Inputs of `Calibration.accept`, each as log-odds."""

AFTER_INPUTS: Final = ("prior", "acceptance")
"""Inputs of `Calibration.later`, each as log-odds."""
