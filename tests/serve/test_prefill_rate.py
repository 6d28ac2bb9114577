"""The prefill rate follows the device and is not fooled by decode."""

from __future__ import annotations

from pilotage.engines.engine import EngineOutput
from pilotage.serve.prefill_rate import PrefillRate


def test_it_moves_from_the_warm_up_to_what_is_measured() -> None:
    rate = PrefillRate(5000.0)
    for number in range(60):
        rate.submitted(number, 500)
        rate.stepped(0.5, [EngineOutput(number, [7])])
    assert 990 < rate.tokens_per_s < 1100


def test_the_time_of_decoding_others_is_taken_off() -> None:
    rate = PrefillRate(1000.0)
    for _ in range(50):
        rate.stepped(0.1, [EngineOutput(999, [7])])
    for number in range(60):
        rate.submitted(number, 200)
        rate.stepped(0.1 + 0.2, [EngineOutput(999, [7]), EngineOutput(number, [7])])
        rate.stepped(0.1, [EngineOutput(999, [7])])
    assert 900 < rate.tokens_per_s < 1100


def test_a_prompt_that_takes_many_steps_counts_once_with_all_its_time() -> None:
    rate = PrefillRate(1000.0)
    for number in range(60):
        rate.submitted(number, 6000)
        for _ in range(11):
            rate.stepped(0.5, [])
        rate.stepped(0.5, [EngineOutput(number, [7])])
    assert 950 < rate.tokens_per_s < 1050


def test_small_prompts_say_nothing() -> None:
    rate = PrefillRate(1000.0)
    rate.submitted(1, 5)
    rate.stepped(1.0, [EngineOutput(1, [7])])
    assert rate.tokens_per_s == 1000.0


def test_prompts_that_never_got_through_say_nothing() -> None:
    rate = PrefillRate(1000.0)
    for number in range(20):
        rate.submitted(number, 6000)
        rate.stepped(0.1, [])
        rate.stepped(0.01, [EngineOutput(number, [], None, "cancelled")])
    assert rate.tokens_per_s == 1000.0
    rate.submitted(99, 500)
    rate.stepped(0.5, [EngineOutput(99, [7])])
    assert rate.tokens_per_s == 1000.0
