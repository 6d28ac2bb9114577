"""Made-up requests whose truth is known, and the spec that they are for."""

import random
from decimal import Decimal

from pilotage.route.calibration.reading import UserData
from pilotage.route.calibration.rows import Row
from pilotage.route.pricing import TierPrice
from pilotage.spec.routing import RoutingSpec


def price(per_million: str) -> TierPrice:
    amount = Decimal(per_million)
    return TierPrice(input=amount, output=amount, cache_read=amount, cache_write=amount)


PRICES = {"small": price("0.2"), "large": price("10")}


def routing(*tiers: str, **fields: object) -> RoutingSpec:
    return RoutingSpec.model_validate(
        {
            "tiers": [{"name": tier, "backends": [{"kind": "local"}]} for tier in tiers],
            **fields,
        }
    )


def requests(
    count: int,
    *,
    seed: int = 1,
    told: float = 0.0,
    sure: float = 0.0,
    judged: float = 0.0,
    shown: float | None = None,
) -> UserData:
    """Half are hard; the small model fails most of those.

    Args:
        count: How many.
        seed: Of everything.
        told: Share of the requests whose words tell how hard they are.
        sure: By how much log-probabilities of right answers are higher; 0 has no log-probabilities.
        judged: Share of the answers that a judge judges rightly; 0 has no judge.
        shown: Share of the small model's answers whose text shows whether they are right; None has
            no answers.
    """
    drawn = random.Random(seed)
    rows = []
    for number in range(count):
        hard = drawn.random() < 0.5
        small = float(drawn.random() < (0.15 if hard else 0.95))
        large = float(drawn.random() < (0.85 if hard else 0.97))
        says = hard if drawn.random() < told else drawn.random() < 0.5
        word = "prove the lemma on" if says else "say hello to"
        logprobs = [min(-0.01, drawn.gauss(-1 + sure * small * 0.5, 0.3)) for _ in range(20)]
        right = small if drawn.random() < judged else 1 - small
        answers = {} if shown is None else {"small": _answer(drawn, small, shown)}
        rows.append(
            Row(
                prompt=f"{word} number {number} {drawn.random()}",
                prompt_chars=100,
                scores={"small": small, "large": large},
                logprobs={"small": logprobs} if sure else {},
                judge={"small": 0.3 + 0.5 * right + 0.2 * drawn.random()} if judged else {},
                tokens={"small": (100, 20), "large": (100, 80)},
                answers=answers,
            )
        )
    return UserData(tuple(rows), "0" * 64)


def _answer(drawn: random.Random, right: float, shown: float) -> str:
    """A sum that is right, or, where it shows, one that is not."""
    a, b = drawn.randint(10, 99), drawn.randint(10, 99)
    wrong = right < 0.5 if drawn.random() < shown else drawn.random() < 0.5
    return f"So {a} + {b} = {a + b + 3 * wrong}."
