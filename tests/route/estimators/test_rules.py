import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotage.route.call import Call
from pilotage.route.estimate import Estimate, starting_at
from pilotage.route.estimators.rules import RulesEstimator
from pilotage.spec.routing import RuleSpec

TIERS = ("small", "medium", "large")


def call(text="hello", before=(), **body):
    messages = [*before, {"role": "user", "content": text}]
    return Call(body={"messages": messages, **body}, request_id="r")


def start(rules, one):
    made = RulesEstimator(TIERS, [RuleSpec.model_validate(rule) for rule in rules])
    return asyncio.run(made.estimate(one)).start()


def starts_large(one, **rule):
    return start([{"tier": "large", **rule}], one) == "large"


def test_the_first_rule_that_matches_wins():
    rules = [
        {"tier": "large", "contains": ["prove"]},
        {"tier": "small", "max_chars": 10},
        {"tier": "medium"},
    ]
    assert start(rules, call("prove")) == "large"
    assert start(rules, call("hi")) == "small"
    assert start(rules, call("hello to you")) == "medium"
    assert start(rules[:1], call("hi")) == "small"


def test_it_is_the_tier_and_all_above_it():
    made = RulesEstimator(TIERS, [RuleSpec(tier="medium")])
    assert asyncio.run(made.estimate(call())) == Estimate(
        quality={"small": 0.0, "medium": 1.0, "large": 1.0}, note="rule 1: medium"
    )
    assert asyncio.run(RulesEstimator(TIERS, []).estimate(call())).note == "no rule"


@pytest.mark.parametrize(
    ("phrase", "text", "found"),
    [
        ("prove", "Prove it", True),
        ("PROVE", "please prove.", True),
        ("prove", "improvement, proves, approve", False),
        ("prove", "prove_it", False),
        ("step by step", "Step  by\nstep, please", True),
        ("step by step", "step by stepwise", False),
        ("C++", "in C++17?", True),
        ("c++", "abc++", False),
        (".*", "anything", False),
        ("straße", "STRASSE", True),
        ("Ελλάς", "ΕΛΛΆΣ", True),
        ("证明", "请 证明 它", True),
        ("  ", "a  b", False),
    ],
)
def test_words_are_whole_words_in_any_case(phrase, text, found):
    assert starts_large(call(text), contains=[phrase]) is found


def test_only_the_last_user_message_is_searched():
    earlier = [{"role": "user", "content": "prove it"}, {"role": "assistant", "content": "prove"}]
    assert not starts_large(call("thanks", earlier), contains=["prove"])
    parts = [{"type": "text", "text": "prove"}, {"type": "image_url", "image_url": {"url": "x"}}]
    assert starts_large(call(parts), contains=["prove"])


def test_lengths_are_of_the_whole_prompt():
    long = call("1234567890", [{"role": "system", "content": "1234567890"}])
    assert starts_large(long, min_chars=20)
    assert not starts_large(long, min_chars=21)
    assert starts_large(long, max_chars=20)
    assert not starts_large(long, max_chars=19)


def test_images_and_tools():
    picture = call([{"type": "image_url", "image_url": {"url": "x"}}])
    tooled = call(tools=[{"type": "function"}])
    for one, images, tools in (
        (picture, True, False),
        (tooled, False, True),
        (call(), False, False),
    ):
        assert starts_large(one, images=True) is images
        assert starts_large(one, images=False) is not images
        assert starts_large(one, tools=True) is tools
        assert starts_large(one, tools=False) is not tools


def test_everything_that_a_rule_states_must_hold():
    both = {"contains": ["prove"], "min_chars": 10}
    assert starts_large(call("prove the lemma"), **both)
    assert not starts_large(call("prove"), **both)
    assert not starts_large(call("hello, my friend"), **both)


@given(st.text(), st.lists(st.text(min_size=1), max_size=5))
def test_any_words_find_themselves_or_nothing(text, words):
    assert start([{"tier": "large", "contains": words}], call(text)) in ("small", "large")


@given(st.lists(st.text("abcde", min_size=1), min_size=1, max_size=4), st.integers(0, 3))
def test_a_word_of_the_text_is_found(words, place):
    assert starts_large(call(" ".join(words)), contains=["zzz", words[place % len(words)]])


def test_starting_at_the_first_tier_expects_all_to_be_good():
    assert starting_at(TIERS, "small", "x").quality == dict.fromkeys(TIERS, 1.0)
    assert Estimate(quality={"small": 0.2}, note="").start() is None
