"""``--assume``."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotage.errors import UsageError
from pilotage.plan.strategies import BedrockAssumptions, parse_assumptions


def test_assumptions_are_pairs_with_units() -> None:
    found = parse_assumptions(
        ["bedrock.ttft_p99=800ms", "bedrock.e2e_mean=1.5", "bedrock.tokens_per_minute=2M"]
    )
    assert found == BedrockAssumptions(ttft_p99=0.8, e2e_mean=1.5, tokens_per_minute=2_000_000)
    assert parse_assumptions([]) == BedrockAssumptions()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("bedrock.ttft_p99", "is no assumption"),
        ("ttft_p99=1", "is no assumption"),
        ("bedrock.ttft_p9=1", 'Did you mean "bedrock.ttft_p99"'),
        ("bedrock.ttft_p99=fast", "should be a duration"),
        ("bedrock.ttft_p99=-1", "should not be negative"),
        ("bedrock.ttft_p99=nan", "should be a duration"),
        ("bedrock.ttft_p99=0", "should be above 0"),
        ("bedrock.requests_per_minute=1.5", "should be a whole number"),
    ],
)
def test_others_are_refused(text: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        parse_assumptions([text])


def test_twice_is_refused() -> None:
    with pytest.raises(UsageError, match="given twice"):
        parse_assumptions(["bedrock.e2e_p99=1", "bedrock.e2e_p99=2"])


@given(st.lists(st.text(max_size=40) | st.text(max_size=10).map("bedrock.e2e_p99={}".format)))
def test_any_text_is_an_assumption_or_a_clear_error(given: list[str]) -> None:
    try:
        assert isinstance(parse_assumptions(given), BedrockAssumptions)
    except UsageError as error:
        assert "\n" not in str(error)
