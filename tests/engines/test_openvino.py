"""The real engine with the real model, in process."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pilotage.engines.engine import EngineOutput, EngineRequest, SamplingParams
from pilotage.engines.memory import plan_memory
from pilotage.engines.openvino import EngineFailure, OpenVinoEngine
from pilotage.engines.registry import inspect_model
from pilotage.tokens import Tokenizer

GIB = 1 << 30


def open_engine(model: Path, cache: Path | None) -> OpenVinoEngine:
    files = inspect_model(model)
    plan = plan_memory(
        files.shape, workers=1, free_bytes=4 * GIB, memory_fraction=0.5, max_model_len=1024,
        max_num_seqs=8,
    )  # fmt: skip
    return OpenVinoEngine.open(files.path, plan, threads=2, cache=cache)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("compiled")


@pytest.fixture(scope="module")
def engine(embedded_model: Path, cache: Path) -> OpenVinoEngine:
    return open_engine(embedded_model, cache)


@pytest.fixture(scope="module")
def again(engine: OpenVinoEngine, embedded_model: Path, cache: Path) -> OpenVinoEngine:
    """The second start, from what the first one kept. The last test of this file breaks it."""
    assert engine.info.load_s > 0
    return open_engine(embedded_model, cache)


@pytest.fixture(scope="module")
def tokenizer(embedded_model: Path) -> Tokenizer:
    return Tokenizer.open(embedded_model)


def chat(tokenizer: Tokenizer, question: str) -> list[int]:
    return tokenizer.encode_chat([{"role": "user", "content": question}])


def run(engine: OpenVinoEngine, *requests: EngineRequest) -> dict[int, list[EngineOutput]]:
    for request in requests:
        engine.submit(request)
    outputs: dict[int, list[EngineOutput]] = {request.id: [] for request in requests}
    for _ in range(2000):
        if not engine.busy:
            return outputs
        for output in engine.step():
            outputs[output.id].append(output)
    raise AssertionError("the engine does not finish")


def ids(outputs: list[EngineOutput]) -> list[int]:
    return [token for output in outputs for token in output.token_ids]


def params(tokenizer: Tokenizer, **changes: object) -> SamplingParams:
    fields: dict[str, object] = {
        "max_tokens": 24,
        "temperature": 0.0,
        "stop_token_ids": tokenizer.eos_token_ids,
    }
    return SamplingParams(**{**fields, **changes})  # type: ignore[arg-type]


def test_the_capital_of_france_is_paris(engine: OpenVinoEngine, tokenizer: Tokenizer) -> None:
    prompt = chat(tokenizer, "What is the capital of France?")
    outputs = run(engine, EngineRequest(1, prompt, params(tokenizer)))[1]
    assert tokenizer.decode(ids(outputs)) == "The capital of France is Paris."
    assert outputs[-1].finish_reason == "stop"
    assert not set(ids(outputs)) & set(tokenizer.eos_token_ids)
    assert len([o for o in outputs if o.token_ids]) > 1, "tokens come step by step"


def test_requests_run_together_and_each_gets_its_own(
    engine: OpenVinoEngine, tokenizer: Tokenizer
) -> None:
    questions = ["What is the capital of France?", "Say hello.", "Count to three."]
    few = params(tokenizer, max_tokens=4)
    alone = [
        ids(run(engine, EngineRequest(1, chat(tokenizer, q), few))[1])  # one after another
        for q in questions
    ]
    together = run(
        engine,
        *(EngineRequest(number, chat(tokenizer, q), few) for number, q in enumerate(questions)),
    )
    assert [len(tokens) for tokens in alone] == [4, 4, 4]
    assert [ids(together[number]) for number in range(3)] == alone


def test_max_tokens_ends_with_length_and_ignore_eos_goes_on(
    engine: OpenVinoEngine, tokenizer: Tokenizer
) -> None:
    prompt = chat(tokenizer, "What is the capital of France?")
    made = run(
        engine,
        EngineRequest(1, prompt, params(tokenizer, max_tokens=3)),
        EngineRequest(2, prompt, params(tokenizer, max_tokens=20, ignore_eos=True)),
        EngineRequest(3, prompt, params(tokenizer, max_tokens=20, min_tokens=12)),
    )
    assert (len(ids(made[1])), made[1][-1].finish_reason) == (3, "length")
    assert (len(ids(made[2])), made[2][-1].finish_reason) == (20, "length")
    assert len(ids(made[3])) >= 12, "the answer is eight tokens long"


def test_a_seed_makes_a_lone_request_reproducible(
    engine: OpenVinoEngine, tokenizer: Tokenizer
) -> None:
    prompt = chat(tokenizer, "Tell me a story about a fox.")

    def sample(seed: int) -> list[int]:
        drawn = {"temperature": 1.0, "top_p": 0.95, "top_k": 50, "min_p": 0.01}
        wanted = params(tokenizer, max_tokens=12, seed=seed, **drawn)
        return ids(run(engine, EngineRequest(1, prompt, wanted))[1])

    assert sample(5) == sample(5)
    assert sample(5) != sample(6)


def test_log_probabilities_are_one_a_token_and_below_zero(
    engine: OpenVinoEngine, tokenizer: Tokenizer
) -> None:
    prompt = chat(tokenizer, "What is the capital of France?")
    outputs = run(engine, EngineRequest(1, prompt, params(tokenizer, logprobs=True)))[1]
    logprobs = [value for output in outputs for value in output.logprobs or []]
    assert len(logprobs) == len(ids(outputs))
    assert all(value < 0 for value in logprobs)


def test_a_repetition_penalty_changes_the_answer(
    engine: OpenVinoEngine, tokenizer: Tokenizer
) -> None:
    prompt = chat(tokenizer, "Repeat the word yes ten times.")
    plain, penalised = (
        ids(run(engine, EngineRequest(1, prompt, params(tokenizer, **changes)))[1])
        for changes in ({}, {"repetition_penalty": 1.5, "frequency_penalty": 1.5})
    )
    assert plain != penalised


def test_a_json_schema_is_kept(engine: OpenVinoEngine, tokenizer: Tokenizer) -> None:
    schema = {
        "type": "object",
        "properties": {"capital": {"type": "string", "maxLength": 20}},
        "required": ["capital"],
        "additionalProperties": False,
    }
    prompt = chat(tokenizer, "What is the capital of France? Answer as JSON.")
    wanted = params(tokenizer, max_tokens=200, json_schema=json.dumps(schema))
    text = tokenizer.decode(ids(run(engine, EngineRequest(1, prompt, wanted))[1]))
    assert set(json.loads(text)) == {"capital"}


def test_a_cancelled_request_is_reported_once_and_the_others_go_on(
    engine: OpenVinoEngine, tokenizer: Tokenizer
) -> None:
    prompt = chat(tokenizer, "What is the capital of France?")
    engine.submit(EngineRequest(1, prompt, params(tokenizer, max_tokens=500, ignore_eos=True)))
    engine.submit(EngineRequest(2, prompt, params(tokenizer)))
    outputs = [*engine.step(), *engine.step()]
    engine.cancel(1)
    engine.cancel(99)
    for _ in range(100):
        outputs += engine.step()
        if not engine.busy:
            break
    assert [o.finish_reason for o in outputs if o.id == 1 and o.finish_reason] == ["cancelled"]
    assert [o.finish_reason for o in outputs if o.id == 2 and o.finish_reason] == ["stop"]


def test_a_long_prompt_takes_several_steps(engine: OpenVinoEngine, tokenizer: Tokenizer) -> None:
    prompt = tokenizer.encode("one two three " * 180)
    assert len(prompt) > engine.info.max_num_batched_tokens
    outputs = run(engine, EngineRequest(1, prompt, params(tokenizer, max_tokens=2)))[1]
    assert len(ids(outputs)) == 2


def test_parameters_the_engine_refuses_are_value_errors(
    engine: OpenVinoEngine, tokenizer: Tokenizer
) -> None:
    with pytest.raises(ValueError, match="presence_penalty"):
        engine.submit(EngineRequest(1, [1, 2], params(tokenizer, presence_penalty=9.0)))
    assert not engine.busy


def test_the_plan_is_what_the_engine_really_takes(engine: OpenVinoEngine) -> None:
    info = engine.info
    assert info.kv_cache_bytes == info.kv_cache_tokens * 13_680
    assert info.prefill_tokens_per_s > 1
    assert info.engine.startswith("openvino-genai 2026.")
    assert 0 <= engine.kv_cache_usage() <= 1


def test_the_second_start_uses_the_converted_model(
    again: OpenVinoEngine, cache: Path, tokenizer: Tokenizer
) -> None:
    (converted,) = cache.iterdir()
    assert (converted / "openvino_model.xml").is_file()
    assert not (converted / "model.gguf").exists()
    prompt = chat(tokenizer, "What is the capital of France?")
    schema = (
        '{"type":"object","properties":{"a":{"type":"boolean"}},"required":["a"],'
        '"additionalProperties":false}'
    )
    made = run(
        again,
        EngineRequest(1, prompt, params(tokenizer)),
        EngineRequest(2, prompt, params(tokenizer, max_tokens=200, json_schema=schema)),
    )
    assert tokenizer.decode(ids(made[1])) == "The capital of France is Paris."
    assert set(json.loads(tokenizer.decode(ids(made[2])))) == {"a"}


def test_a_failing_step_is_an_engine_failure(again: OpenVinoEngine, tokenizer: Tokenizer) -> None:
    again.submit(EngineRequest(1, [1, 2, 3], params(tokenizer, json_schema='{"type":"obj')))
    with pytest.raises(EngineFailure, match="JSON"):
        for _ in range(3):
            again.step()
