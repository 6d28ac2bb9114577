"""The search finds the threshold it is given, in few steps."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotage.errors import UsageError
from pilotage.prove.result import Capacity, Measures, Step, Tokens, Verdict
from pilotage.prove.search import Bounds, find_capacity

_MEASURES = Measures(
    requests=0,
    seconds=1,
    offered_rate=0,
    completed_rate=0,
    output_tokens_rate=None,
    prompt_tokens_rate=None,
    outcomes={},
    tokens=Tokens(),
    idle_share=0,
    mean_in_flight=0,
)


def _search(capacity: float, bounds: Bounds, client: float = float("inf")) -> Capacity:
    async def attempt(rate: float) -> Step:
        holds = rate <= capacity
        verdict = Verdict(finding="met" if holds else "missed", confidence=0.95, sentence="")
        return Step(
            rate=rate, measures=_MEASURES, verdict=verdict, valid=rate <= client, holds=holds
        )

    return asyncio.run(find_capacity(attempt, bounds))


@given(
    capacity=st.floats(0.2, 900),
    first=st.floats(0.1, 1000),
    precision=st.floats(0.005, 0.5),
)
def test_it_finds_the_capacity_within_its_precision(
    capacity: float, first: float, precision: float
) -> None:
    found = _search(capacity, Bounds(first, 0.1, 1000, precision))
    assert found.rate is not None
    assert found.broken_at is not None
    assert found.rate <= capacity < found.broken_at
    assert found.broken_at <= found.rate * (1 + precision)
    assert len(found.steps) <= 24
    assert len({step.rate for step in found.steps}) == len(found.steps)


def test_nothing_holds() -> None:
    found = _search(0.01, Bounds(8, 1, 100))
    assert (found.rate, found.broken_at) == (None, 1)
    assert [step.rate for step in found.steps] == [8, 4, 2, 1]
    assert found.sentence == "not even 1/s holds"


def test_everything_holds() -> None:
    found = _search(1e9, Bounds(8, 1, 50))
    assert (found.rate, found.broken_at) == (50, None)
    assert found.sentence == "50/s holds, and the search was not to go higher"


def test_it_ends_where_the_client_is_the_limit() -> None:
    found = _search(1e9, Bounds(8, 1, 1000), client=100)
    assert found.rate == 64
    assert found.steps[-1].rate == 128
    assert found.sentence == "the client, not the server, was the limit at 128/s; 64/s held"


@pytest.mark.parametrize(
    "rates", [(0, 0, 1), (1, 2, 3), (5, 1, 4), (1, 1, float("inf")), (1, 1, 1, 0)]
)
def test_impossible_bounds(rates: tuple[float, ...]) -> None:
    with pytest.raises(UsageError):
        Bounds(*rates)
