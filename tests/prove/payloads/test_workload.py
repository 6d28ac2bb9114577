import json

import pytest

from pilotage.errors import UsageError
from pilotage.prove.payloads import RequestFormat, SharedPrefix, for_workload
from pilotage.spec.workload import ArrivalsSpec, ImagesSpec, TokensSpec, WorkloadSpec

WORKLOAD = WorkloadSpec(
    arrivals=ArrivalsSpec(rate=1),
    prompt_tokens=TokensSpec(p50=100, p99=100),
    completion_tokens=TokensSpec(p50=9, p99=9),
)
WITH_IMAGES = WORKLOAD.model_copy(update={"images": ImagesSpec(count=2, width=32, height=48)})


def test_lengths_and_images_are_the_specs(smollm):
    source = for_workload(WITH_IMAGES, RequestFormat("chat", "m"), tokenizer=smollm)
    (payload,) = source.payloads(1, seed=1)
    assert (payload.prompt_tokens, payload.asked_tokens, payload.images) == (100, 9, 2)
    (message,) = json.loads(payload.body)["messages"]
    assert [part["type"] for part in message["content"]] == ["text", "image_url", "image_url"]
    assert "2 generated JPEG images of 32x48" in source.description


def test_what_the_caller_adds(smollm):
    source = for_workload(
        WORKLOAD,
        RequestFormat("completions", "m"),
        tokenizer=smollm,
        overhead_tokens=5,
        max_prompt_tokens=50,
        prefix=SharedPrefix(10),
    )
    first, second = source.payloads(2, seed=1)
    assert first.prompt_tokens == second.prompt_tokens == 50
    words = [json.loads(payload.body)["prompt"].split() for payload in (first, second)]
    assert words[0][:10] == words[1][:10]
    assert len(words[0]) == 45


def test_images_for_an_api_without():
    with pytest.raises(UsageError, match="no images"):
        for_workload(WITH_IMAGES, RequestFormat("completions", "m"), tokenizer=None)
