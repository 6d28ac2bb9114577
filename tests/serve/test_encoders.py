"""An encoder behind a real `pilotage serve`: the example spec, two workers."""

import sys
from pathlib import Path

import httpx
import numpy as np
import openai
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from running import serving

pytestmark = pytest.mark.slow

EXAMPLE = Path(__file__).parents[2] / "examples" / "embeddings.yaml"
MODEL = "all-minilm-l6-v2"


@pytest.fixture(scope="module")
def server():
    with serving(str(EXAMPLE)) as running:
        yield running


def test_the_example_serves_embeddings(server):
    client = openai.OpenAI(base_url=server.url, api_key="none", max_retries=0)
    texts = ["A dog runs.", "A puppy is running.", "Interest rates fell."]
    answer = client.embeddings.create(model=MODEL, input=texts)
    dog, puppy, bank = (np.array(one.embedding) for one in answer.data)
    assert dog @ puppy > 0.5 > dog @ bank
    many = client.embeddings.create(model=MODEL, input=[*texts * 100])
    assert len(many.data) == 300
    for place, one in enumerate(many.data):
        assert np.allclose(one.embedding, (dog, puppy, bank)[place % 3], atol=1e-5)
    with pytest.raises(openai.BadRequestError, match="/v1/embeddings"):
        client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "Hello"}])


def test_either_worker_gives_the_same(server):
    def vector(worker):
        path = f"{server.url}/workers/{worker}/models/{MODEL}/embeddings"
        answer = httpx.post(path, json={"input": "hello"}, timeout=60, trust_env=False)
        assert answer.status_code == 200, answer.text
        return answer.json()["data"][0]["embedding"]

    assert np.allclose(vector(0), vector(1), atol=1e-6)


def test_a_worker_that_dies_takes_no_request_with_it(server):
    import psutil

    client = openai.OpenAI(base_url=server.url, api_key="none", max_retries=0)
    psutil.Process(server.worker_pids()[0]).kill()
    answer = client.embeddings.create(model=MODEL, input=["one"] * 200)
    assert len(answer.data) == 200
