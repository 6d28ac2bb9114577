"""The engine on tiny models with random weights: what it says is what the model says."""

from __future__ import annotations

import random
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from stepping import greedy, ids, run  # noqa: E402
from tiny_models import CPU, config  # noqa: E402

from pilotage.engines.engine import EngineRequest, Image, SamplingParams  # noqa: E402
from pilotage.engines.opening import open_engine  # noqa: E402

KINDS = ("llama", "qwen2", "mistral", "gemma2", "mllama")
Tiny = Callable[[str], Path]


@pytest.fixture(scope="module")
def engines(tiny: Tiny) -> Callable[[str], Any]:
    opened: dict[str, Any] = {}

    def engine(kind: str) -> Any:
        if kind not in opened:
            opened[kind] = open_engine(config(tiny(kind)), CPU)
        assert not opened[kind].busy
        return opened[kind]

    return engine


def prompts(count: int, seed: int = 0) -> list[list[int]]:
    draw = random.Random(seed)
    return [[draw.randrange(3, 120) for _ in range(draw.randrange(1, 40))] for _ in range(count)]


def reference(engine: Any, prompt: list[int], count: int) -> list[int]:
    """What transformers' own `generate` makes of a prompt."""
    made = engine.model.generate(
        torch.tensor([prompt]),
        attention_mask=torch.ones(1, len(prompt), dtype=torch.long),
        max_new_tokens=count, do_sample=False, eos_token_id=None, pad_token_id=0,
    )  # fmt: skip
    return made[0, len(prompt) :].tolist()


@pytest.mark.parametrize("kind", KINDS)
def test_greedy_output_in_a_moving_batch_is_that_of_generate(
    engines: Callable[[str], Any], kind: str
) -> None:
    engine = engines(kind)
    texts = prompts(12)
    lengths = [5 + 3 * (number % 7) for number in range(12)]
    requests = [
        EngineRequest(number, text, greedy(length))
        for number, (text, length) in enumerate(zip(texts, lengths, strict=True))
    ]
    made = run(engine, requests, every=2)
    for number, (text, length) in enumerate(zip(texts, lengths, strict=True)):
        assert ids(made[number]) == reference(engine, text, length), f"request {number}"
        assert made[number][-1].finish_reason == "length"


def test_a_newcomer_does_not_wait_for_the_longest(engines: Callable[[str], Any]) -> None:
    engine = engines("llama")
    engine.submit(EngineRequest(1, [5, 6, 7], greedy(200)))
    for _ in range(5):
        engine.step()
    engine.submit(EngineRequest(2, [8, 9], greedy(3)))
    finished = [output.id for _ in range(5) for output in engine.step() if output.finish_reason]
    assert finished == [2]
    engine.cancel(1)
    engine.step()


def test_a_step_brings_one_token_each_and_a_long_prompt_does_not_stop_the_others(
    engines: Callable[[str], Any],
) -> None:
    engine = engines("llama")
    engine.submit(EngineRequest(1, [5, 6, 7], greedy(30)))
    engine.step()
    engine.submit(EngineRequest(2, list(range(3, 103)), greedy(2)))
    steps = [[output.id for output in engine.step()] for _ in range(7)]
    assert all(step.count(1) == 1 for step in steps), "it streams on while the prompt is read"
    assert [2 in step for step in steps].index(True) == 6, "16 prompt tokens a step"
    run(engine, [])


def test_cancel_is_reported_on_the_next_step_wherever_the_request_is(
    engines: Callable[[str], Any],
) -> None:
    engine = engines("llama")
    for number in range(10):  # 8 rows: two wait
        engine.submit(EngineRequest(number, [5 + number] * 10, greedy(50)))
    for _ in range(12):
        engine.step()
    engine.submit(EngineRequest(10, [3] * 100, greedy(50)))
    for number in range(11):
        engine.cancel(number)
    engine.cancel(99)
    outputs = engine.step()
    assert sorted(output.id for output in outputs) == list(range(11))
    assert {output.finish_reason for output in outputs} == {"cancelled"}
    assert not engine.busy
    assert engine.kv_cache_usage() == 0.0
    assert engine.step() == []


def test_those_that_stay_are_not_disturbed_by_those_that_leave(
    engines: Callable[[str], Any],
) -> None:
    engine = engines("mllama")
    texts = prompts(6, seed=4)
    for number, text in enumerate(texts):
        engine.submit(EngineRequest(number, text, greedy(25)))
    made: dict[int, list[int]] = {number: [] for number in range(6)}
    for step in range(300):
        if step == 14:
            engine.cancel(0)
            engine.cancel(3)
        for output in engine.step():
            made[output.id] += output.token_ids
        if not engine.busy:
            break
    for number in (1, 2, 4, 5):
        assert made[number] == reference(engine, texts[number], 25)


def test_kv_cache_usage_is_the_tokens_held(engines: Callable[[str], Any]) -> None:
    engine = engines("llama")
    engine.submit(EngineRequest(1, [5] * 10, greedy(20)))
    engine.step()
    assert engine.kv_cache_usage() == 10 / (8 * 256)
    engine.step()
    assert engine.kv_cache_usage() == 11 / (8 * 256)
    run(engine, [])


def test_a_stop_token_ends_and_is_not_part_of_the_output(engines: Callable[[str], Any]) -> None:
    engine = engines("llama")
    [text] = prompts(1, seed=9)
    whole = reference(engine, text, 12)
    stop = whole[6]
    first = whole.index(stop)
    made = run(
        engine,
        [
            EngineRequest(1, text, greedy(12, stop_token_ids=(stop,))),
            EngineRequest(2, text, greedy(12, stop_token_ids=(stop,), ignore_eos=True)),
            EngineRequest(3, text, greedy(12, stop_token_ids=(stop,), min_tokens=first + 3)),
        ],
    )
    assert ids(made[1]) == whole[:first]
    assert made[1][-1].finish_reason == "stop"
    assert ids(made[2]) == whole
    assert len(ids(made[3])) >= first + 3
    assert stop not in ids(made[3])


def test_a_sequence_ends_at_max_model_len(tiny: Tiny) -> None:
    engine = open_engine(config(tiny("llama"), max_model_len=20, max_num_seqs=2), CPU)
    made = run(engine, [EngineRequest(1, [5] * 15, greedy(100))])
    assert len(ids(made[1])) == 5
    assert made[1][-1].finish_reason == "length"
    with pytest.raises(ValueError, match="20 with the completion"):
        engine.submit(EngineRequest(2, [5] * 20, greedy(1)))


def test_log_probabilities_are_those_of_the_model_itself(engines: Callable[[str], Any]) -> None:
    engine = engines("llama")
    [text] = prompts(1, seed=2)
    params = SamplingParams(max_tokens=6, temperature=0.7, seed=3, top_k=5, logprobs=True)
    made = run(engine, [EngineRequest(1, text, params), EngineRequest(2, text, greedy(3))])
    tokens = ids(made[1])
    with torch.no_grad():
        logits = engine.model(torch.tensor([text + tokens])).logits[0].log_softmax(-1)
    expected = [float(logits[len(text) - 1 + n, token]) for n, token in enumerate(tokens)]
    found = [value for output in made[1] for value in output.logprobs or []]
    assert found == pytest.approx(expected, abs=1e-4)
    assert all(output.logprobs is None for output in made[2])


def test_a_seed_gives_the_same_tokens_whoever_else_is_there(engines: Callable[[str], Any]) -> None:
    engine = engines("qwen2")
    [text, *others] = prompts(6, seed=5)
    params = SamplingParams(max_tokens=16, temperature=1.0, seed=42, top_p=0.9)
    alone = ids(run(engine, [EngineRequest(0, text, params)])[0])
    crowd = [EngineRequest(9 + n, other, SamplingParams(max_tokens=30)) for n, other in
             enumerate(others)]  # fmt: skip
    among = ids(run(engine, [*crowd, EngineRequest(0, text, params)], every=1)[0])
    assert among == alone
    other_seed = SamplingParams(max_tokens=16, temperature=1.0, seed=43, top_p=0.9)
    assert ids(run(engine, [EngineRequest(0, text, other_seed)])[0]) != alone


@pytest.mark.parametrize(
    ("changes", "prompt", "images", "told"),
    [
        ({"json_schema": "{}"}, [5], (), "json_schema"),
        ({"max_tokens": 0}, [5], (), "max_tokens"),
        ({}, [], (), "no tokens"),
        ({}, [5, 999], (), "does not know"),
        ({}, [5, -1], (), "does not know"),
        ({}, [5], (Image(1, 1, b"abc"),), "takes no images"),
    ],
)
def test_what_cannot_be_used_is_refused(
    engines: Callable[[str], Any],
    changes: dict[str, Any],
    prompt: list[int],
    images: tuple[Image, ...],
    told: str,
) -> None:
    params = SamplingParams(**{"max_tokens": 3, **changes})
    with pytest.raises(ValueError, match=told):
        engines("llama").submit(EngineRequest(1, prompt, params, images))


def test_a_closed_engine_holds_no_model(tiny: Tiny) -> None:
    engine: Any = open_engine(config(tiny("llama")), CPU)
    model = weakref.ref(engine.model)
    engine.submit(EngineRequest(1, [3, 4], SamplingParams(max_tokens=2)))
    engine.step()
    engine.close()
    assert model() is None
    assert not engine.busy
