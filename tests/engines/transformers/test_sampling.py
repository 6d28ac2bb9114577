"""Sampling, one parameter at a time, against the definition of each."""

from __future__ import annotations

import math
from collections import Counter

import pytest

torch = pytest.importorskip("torch")

from pilotage.engines.engine import SamplingParams  # noqa: E402
from pilotage.engines.transformers.sampling import Sampler, choose  # noqa: E402

SHARES = [0.4, 0.3, 0.15, 0.1, 0.05]
LOGITS = torch.tensor([[math.log(share) for share in SHARES]])


def sampler(prompt: tuple[int, ...] = (), **changes: object) -> Sampler:
    fields: dict[str, object] = {"max_tokens": 9, "seed": 7, **changes}
    return Sampler.of(SamplingParams(**fields), list(prompt))  # type: ignore[arg-type]


def shares(count: int = 4000, **changes: object) -> dict[int, float]:
    """How often each token comes, in one big batch."""
    rows = [sampler(**{**changes, "seed": number}) for number in range(count)]
    tokens = Counter(choice.token for choice in choose(LOGITS.expand(count, -1), rows))
    return {token: tokens[token] / count for token in sorted(tokens) if token is not None}


def test_tokens_come_as_often_as_the_model_says() -> None:
    found = shares()
    assert found == pytest.approx(dict(enumerate(SHARES)), abs=0.03)


def test_temperature_sharpens_and_flattens() -> None:
    powers = [share**2 for share in SHARES]
    expected = {token: power / sum(powers) for token, power in enumerate(powers)}
    assert shares(temperature=0.5) == pytest.approx(expected, abs=0.03)
    assert shares(temperature=0.0) == {0: 1.0}
    assert shares(temperature=1e9) == pytest.approx(dict.fromkeys(range(5), 0.2), abs=0.03)


def test_top_k_keeps_the_best() -> None:
    assert shares(top_k=2) == pytest.approx({0: 4 / 7, 1: 3 / 7}, abs=0.03)
    assert shares(top_k=1) == {0: 1.0}
    assert set(shares(top_k=99)) == set(range(5))


def test_top_p_keeps_the_smallest_set_that_reaches_it() -> None:
    assert set(shares(top_p=0.69)) == {0, 1}
    assert set(shares(top_p=0.71)) == {0, 1, 2}
    assert shares(top_p=0.0) == {0: 1.0}
    # Of the three best, p is measured anew: 0.47, 0.82, 1.
    assert set(shares(top_k=3, top_p=0.8)) == {0, 1}


def test_min_p_is_a_share_of_the_best() -> None:
    assert set(shares(min_p=0.5)) == {0, 1}
    assert set(shares(min_p=0.3)) == {0, 1, 2}


def test_rows_of_different_kinds_do_not_mix() -> None:
    rows = [sampler(temperature=0.0), sampler(top_k=2), sampler(min_p=0.9), sampler()]
    for _ in range(50):
        choices = [choice.token for choice in choose(LOGITS.expand(4, -1), rows)]
        assert choices[0] == 0
        assert choices[1] in (0, 1)
        assert choices[2] == 0


def best(state: Sampler) -> int | None:
    return choose(LOGITS, [state])[0].token


def test_presence_and_frequency_count_what_was_generated() -> None:
    state = sampler(prompt=(0, 0), temperature=0.0, presence_penalty=0.2)
    assert best(state) == 0, "the prompt does not count"
    state.took(0)
    assert best(state) == 0, "log(0.4/0.3) is 0.288"
    state = sampler(temperature=0.0, frequency_penalty=0.2)
    state.took(0)
    assert best(state) == 0
    state.took(0)
    assert best(state) == 1


def test_repetition_counts_the_prompt_too_and_works_on_either_sign() -> None:
    assert best(sampler(prompt=(0,), temperature=0.0, repetition_penalty=1.5)) == 1
    logits = torch.tensor([[2.0, 1.5, -1.0]])
    state = sampler(prompt=(0, 99), temperature=0.0, repetition_penalty=2.0)
    assert choose(logits, [state])[0].token == 1


def test_stop_tokens_wait_for_min_tokens() -> None:
    state = sampler(temperature=0.0, min_tokens=1, stop_token_ids=(0,))
    assert best(state) == 1
    state.took(1)
    assert best(state) == 0


def test_logits_are_left_as_they_were() -> None:
    logits = LOGITS.clone()
    choose(logits, [sampler(prompt=(0,), repetition_penalty=2.0, top_k=1)])
    assert torch.equal(logits, LOGITS)


def test_no_numbers_are_no_token() -> None:
    logits = torch.cat([LOGITS, torch.full_like(LOGITS, float("nan"))])
    first, second = choose(logits, [sampler(temperature=0.0), sampler(temperature=0.0)])
    assert first.token == 0
    assert second.token is None


def test_a_log_probability_is_the_models() -> None:
    state = sampler(temperature=0.0, logprobs=True, prompt=(0,), repetition_penalty=1.5)
    [choice] = choose(LOGITS, [state])
    assert choice.token == 1
    assert choice.logprob == pytest.approx(math.log(0.3))
