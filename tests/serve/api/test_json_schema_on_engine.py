"""What the checker lets through, on the engine that has to live with it."""

import json
import sys
from pathlib import Path

import jsonschema_rs
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from random_schemas import RandomSchemas

from pilotage.serve.api.errors import ApiError
from pilotage.serve.api.json_schema import engine_schema

BATCHES = 20
BATCH = 8
TOKENS = 48


@pytest.fixture(scope="module")
def pipeline(embedded_model):
    import openvino_genai

    scheduler = openvino_genai.SchedulerConfig()
    scheduler.num_kv_blocks = 256
    scheduler.max_num_batched_tokens = 512
    return openvino_genai.ContinuousBatchingPipeline(str(embedded_model), scheduler, "CPU")


def schemas_let_through(seed):
    schemas = RandomSchemas(seed)
    while True:
        schema = schemas.draw()
        try:
            yield schema, engine_schema(schema)
        except ApiError:
            continue


def answer_to(pipeline, texts):
    """The finished answers under schemas; `step` raises if one of them cannot be compiled."""
    import numpy as np
    import openvino
    import openvino_genai

    tokenizer = pipeline.get_tokenizer()
    prompt = openvino.Tensor(np.array(tokenizer.encode("The JSON:\n").input_ids.data))
    handles = []
    for number, text in enumerate(texts):
        config = openvino_genai.GenerationConfig()
        config.max_new_tokens = TOKENS
        config.do_sample = True
        config.temperature = 1.5
        config.rng_seed = number
        output = openvino_genai.StructuredOutputConfig()
        output.json_schema = text
        config.structured_output_config = output
        handles.append(pipeline.add_request(number, prompt, config))
    while pipeline.has_non_finished_requests():
        pipeline.step()
    for handle in handles:
        ids, reason = [], None
        while handle.can_read():
            for output in handle.read().values():
                ids += output.generated_ids
                reason = output.finish_reason
        finished = reason == openvino_genai.GenerationFinishReason.STOP
        yield tokenizer.decode(ids) if finished else None


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_every_schema_compiles_and_is_kept_to(pipeline):
    drawn = schemas_let_through(seed=20261122)
    finished = 0
    for _ in range(BATCHES):
        batch = [next(drawn) for _ in range(BATCH)]
        answers = answer_to(pipeline, [text for _, text in batch])
        for (schema, text), answer in zip(batch, answers, strict=True):
            if answer is not None:
                finished += 1
                assert jsonschema_rs.is_valid(schema, json.loads(answer)), (text, answer)
    assert finished > BATCHES  # the rest ran out of tokens
