import json
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pilotage.errors import UsageError
from pilotage.prove.load import Schedule
from pilotage.prove.payloads import RequestFormat, SampledPrompts, SharedPrefix
from pilotage.spec.workload import TokensSpec

CHAT = RequestFormat("chat", "m")
COMPLETIONS = RequestFormat("completions", "m")
PROMPTS = TokensSpec(p50=80, p99=300)
ANSWERS = TokensSpec(p50=20, p99=60)


def source(tokenizer, request_format=CHAT, prompts=PROMPTS, **options):
    return SampledPrompts(request_format, prompts, ANSWERS, tokenizer=tokenizer, **options)


def bodies(payloads):
    return [json.loads(payload.body) for payload in payloads]


def texts(payloads):
    return [
        body["prompt"] if "prompt" in body else body["messages"][0]["content"]
        for body in bodies(payloads)
    ]


def schedule(count, **prescribed):
    return Schedule(np.arange(count, dtype=float), float(count), "trace", **prescribed)


def test_chat_prompts_are_exactly_as_long_as_they_say_template_included(smollm):
    made = list(source(smollm).payloads(150, seed=1))
    for payload, body in zip(made, bodies(made), strict=True):
        assert payload.prompt_tokens == len(smollm.encode_chat(body["messages"]))
        assert payload.asked_tokens == body["max_tokens"]
    lengths = np.array([payload.prompt_tokens for payload in made])
    assert np.median(lengths) == pytest.approx(80, rel=0.2)
    assert len(set(lengths)) > 50


@settings(max_examples=8)
@given(
    lengths=st.lists(st.integers(1, 600), min_size=1, max_size=12),
    overhead=st.integers(0, 100),
    seed=st.integers(),
    prefix=st.none() | st.builds(SharedPrefix, st.integers(1, 300), st.integers(1, 4)),
)
def test_lengths_are_exact(smollm, lengths, overhead, seed, prefix):
    load = schedule(len(lengths), prompt_tokens=np.array(lengths))
    made = source(smollm, overhead_tokens=overhead, prefix=prefix)
    payloads = list(made.payloads(len(lengths), seed=seed, prescribed=load))
    for tokens, payload, text in zip(lengths, payloads, texts(payloads), strict=True):
        own = max(1, tokens - overhead)
        assert len(smollm.encode(text)) == own
        assert payload.prompt_tokens == own + overhead
        assert text == text.strip()


@settings(max_examples=30)
@given(tokens=st.integers(2, 200), seed=st.integers())
def test_lengths_are_exact_with_a_sentencepiece_vocabulary_and_its_bos(sentencepiece, tokens, seed):
    made = source(sentencepiece, COMPLETIONS, TokensSpec(p50=tokens, p99=tokens))
    for payload in made.payloads(3, seed=seed):
        assert len(sentencepiece.encode(texts([payload])[0])) == payload.prompt_tokens == tokens


def test_a_vocabulary_without_words_comes_near_and_tells_the_truth(byte_level):
    made = list(source(byte_level, COMPLETIONS).payloads(20, seed=1))
    for payload, text in zip(made, texts(made), strict=True):
        assert payload.prompt_tokens == len(byte_level.encode(text))
    asked = source(None, COMPLETIONS).payloads(20, seed=1)
    for payload, text in zip(made, texts(asked), strict=True):
        assert payload.prompt_tokens == pytest.approx(len(text.split()), abs=8)


def test_prompts_differ_from_their_first_words_on(smollm):
    first, second = (texts(source(smollm).payloads(300, seed=seed)) for seed in (1, 2))
    assert len({text.split()[0] for text in first}) == 300
    openings = {tuple(text.split()[:3]) for text in [*first, *second]}
    assert len(openings) == 600


def test_the_same_seed_makes_the_same_payloads_however_many(smollm):
    made = source(smollm, prefix=SharedPrefix(10, 3))
    assert list(made.payloads(30, seed=5)) == list(made.payloads(60, seed=5))[:30]
    assert list(made.payloads(30, seed=5)) != list(made.payloads(30, seed=6))


def test_a_shared_prefix(smollm):
    made = source(smollm, prompts=TokensSpec(p50=60, p99=60), prefix=SharedPrefix(20))
    words = [text.split() for text in texts(made.payloads(50, seed=1))]
    assert len({tuple(text[:20]) for text in words}) == 1
    assert len({text[20] for text in words}) == 50
    again = texts(made.payloads(1, seed=2))[0].split()
    assert again[:20] != words[0][:20]
    assert "the first 20 tokens of the text shared" in made.description


def test_variants_of_a_shared_prefix(smollm):
    made = source(smollm, prompts=TokensSpec(p50=60, p99=60), prefix=SharedPrefix(20, 3))
    beginnings = [tuple(text.split()[:20]) for text in texts(made.payloads(90, seed=1))]
    counts = [beginnings.count(beginning) for beginning in set(beginnings)]
    assert len(counts) == 3
    assert min(counts) > 10
    assert "in 3 groups" in made.description


def test_a_prompt_shorter_than_its_prefix_keeps_a_token_of_its_own(smollm):
    made = source(smollm, COMPLETIONS, prompts=TokensSpec(p50=8, p99=8), prefix=SharedPrefix(50))
    words = [text.split() for text in texts(made.payloads(20, seed=1))]
    assert {len(text) for text in words} == {8}
    assert len({tuple(text[:7]) for text in words}) == 1
    assert len({text[7] for text in words}) == 20


def test_prescribed_lengths(smollm):
    prompts, answers = np.array([40, 500, 1, 75]), np.array([3, 0, 900, 7])
    load = schedule(4, prompt_tokens=prompts, completion_tokens=answers)
    made = list(source(smollm).payloads(10, seed=1, prescribed=load))
    assert [payload.prompt_tokens for payload in made] == [40, 500, 31, 75]  # 30 the template's
    assert [payload.asked_tokens for payload in made] == [3, 1, 900, 7]


def test_prescribed_prompts_only(smollm):
    load = schedule(3, prompt_tokens=np.array([40, 50, 60]))
    made = list(source(smollm).payloads(3, seed=1, prescribed=load))
    assert [payload.prompt_tokens for payload in made] == [40, 50, 60]
    assert [p.asked_tokens for p in made] == [
        p.asked_tokens for p in source(smollm).payloads(3, seed=1)
    ]


def test_a_schedule_that_prescribes_nothing_changes_nothing(smollm):
    made = source(smollm)
    assert list(made.payloads(9, seed=1, prescribed=schedule(3))) == list(made.payloads(9, seed=1))


def test_equal_leading_blocks_of_a_trace_are_equal_text(smollm):
    ids = ((1, 2, 3), (1, 2, 4), (9, 2), (1, 2, 3), (1,), ())
    lengths = np.array([1300, 1400, 900, 1300, 700, 700])
    load = schedule(6, prompt_tokens=lengths, prefix_ids=ids)
    made = source(smollm, COMPLETIONS)
    words = [text.split() for text in texts(made.payloads(6, seed=1, prescribed=load))]
    assert [len(text) for text in words] == list(lengths)
    assert words[0][:1024] == words[1][:1024]
    assert words[0][1024] != words[1][1024]
    assert words[0] == words[3]
    assert words[2][:512] != words[0][:512]
    assert words[2][512:900] == words[0][512:900]  # the same block at the same place
    assert words[4][:512] == words[0][:512]
    assert words[4][512:] != words[0][512:700]  # beyond its blocks a prompt is its own
    assert words[5][:3] != words[4][:3]


def test_the_models_limit(smollm):
    made = source(smollm, max_prompt_tokens=64)
    lengths = [payload.prompt_tokens for payload in made.payloads(100, seed=1)]
    assert max(lengths) == 64
    load = schedule(1, prompt_tokens=np.array([10_000]))
    (payload,) = made.payloads(1, seed=1, prescribed=load)
    assert payload.prompt_tokens == 64
    assert "at most 64" in made.description
    with pytest.raises(UsageError, match="30 of them"):
        source(smollm, max_prompt_tokens=30)


def test_without_a_tokenizer_lengths_are_about_right_and_said_to_be(smollm):
    made = source(None)
    payloads = list(made.payloads(50, seed=1))
    assert {payload.prompt_tokens for payload in payloads} == {None}
    assert "no tokenizer" in made.description
    exact = [p.prompt_tokens for p in source(smollm, overhead_tokens=0).payloads(50, seed=1)]
    for text, tokens in zip(texts(payloads), exact, strict=True):
        assert len(smollm.encode(text)) == pytest.approx(tokens, rel=0.05, abs=2)
    assert all(a != b for a, b in pairwise(texts(payloads)))


def test_description(smollm):
    made = source(smollm, RequestFormat("chat", "m", ignore_eos=True))
    assert made.description == (
        "prompts of random words, p50 80, p99 300 tokens (30 of them the template's); "
        "answers p50 20, p99 60 tokens (end of text ignored)"
    )


@pytest.mark.parametrize("arguments", [(0,), (5, 0), (-1, 2)])
def test_prefixes_that_are_none(arguments):
    with pytest.raises(UsageError, match="at least 1"):
        SharedPrefix(*arguments)
