"""Rules that people write: the first that matches says where a request starts."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from pilotage.route.call import Call, text_of
from pilotage.route.estimate import Estimate, starting_at
from pilotage.spec.routing import RuleSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Traits:
    """What rules look at.

    Attributes:
        text: The last message that a user wrote.
        chars: Length of the whole conversation's text.
        images: Whether there are images.
        tools: Whether there are tools.
    """

    text: str
    chars: int
    images: bool
    tools: bool

    @classmethod
    def of(cls, call: Call) -> Traits:
        """A request's."""
        return cls(
            text=call.prompt,
            chars=sum(len(text_of(message.get("content"))) for message in call.messages),
            images=call.images > 0,
            tools=bool(call.body.get("tools")),
        )


class RulesEstimator:
    """Expects 1 of the tier that the first matching rule names and of all above it, 0 below.

    A rule matches when all that it states holds; one that states nothing matches everything, and
    where no rule matches a request starts at the first tier.

    Args:
        tiers: Names, from the cheapest to the best.
        rules: In order.
    """

    def __init__(self, tiers: tuple[str, ...], rules: Sequence[RuleSpec]) -> None:
        self._rules = [(rule, _pattern(rule.contains)) for rule in rules]
        self._unmatched = starting_at(tiers, tiers[0], "no rule")
        self._matched = [
            starting_at(tiers, rule.tier, f"rule {number}: {rule.tier}")
            for number, rule in enumerate(rules, start=1)
        ]

    async def estimate(self, call: Call) -> Estimate:
        """The first matching rule's."""
        return self.judge(Traits.of(call))

    def judge(self, traits: Traits) -> Estimate:
        """The first matching rule's, for a request of which only this much is known."""
        for (rule, pattern), estimate in zip(self._rules, self._matched, strict=True):
            if _matches(rule, pattern, traits):
                return estimate
        return self._unmatched


def _matches(rule: RuleSpec, pattern: re.Pattern[str] | None, traits: Traits) -> bool:
    # The words last: looking for them is the only check whose time grows with the prompt.
    return (
        (rule.images is None or rule.images == traits.images)
        and (rule.tools is None or rule.tools == traits.tools)
        and (rule.min_chars is None or traits.chars >= rule.min_chars)
        and (rule.max_chars is None or traits.chars <= rule.max_chars)
        and (pattern is None or pattern.search(_folded(traits.text)) is not None)
    )


def _pattern(contains: Sequence[str]) -> re.Pattern[str] | None:
    """One pattern for all words: whole words, any space between the words of a phrase.

    A boundary is asked for only on a side where the phrase ends in a letter or digit: "C++" has
    none behind it.
    """
    if not contains:
        return None
    phrases = []
    for phrase in contains:
        words = _folded(phrase).split()
        if not words:
            continue
        text = r"\s+".join(map(re.escape, words))
        before = r"(?<!\w)" if re.match(r"\w", words[0]) else ""
        behind = r"(?!\w)" if re.search(r"\w\Z", words[-1]) else ""
        phrases.append(f"{before}{text}{behind}")
    # A list of nothing but spaces is a list of words that no prompt has.
    return re.compile("|".join(phrases) if phrases else r"(?!)")


def _folded(text: str) -> str:
    """Without the difference of upper and lower case, in every script that has one."""
    return text.casefold()
