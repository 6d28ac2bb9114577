import json

import numpy as np
import pytest

from pilotage.devices import DeviceSlice
from pilotage.engines.config import EngineConfig
from pilotage.engines.encoders.engine import EncoderEngine
from pilotage.engines.encoders.files import EncoderFiles
from pilotage.engines.engine import EngineRequest, SamplingParams
from pilotage.engines.opening import open_engine
from pilotage.engines.registry import inspect_model
from pilotage.errors import ModelError, UnsupportedModelError, UsageError
from pilotage.tokens import Tokenizer

ONE = SamplingParams(max_tokens=1)
SLICE = DeviceSlice(worker=0, kind="cpu", cores=(0,))
TEXTS = [
    "A man is playing a guitar on the stage.",
    "Short.",
    "Émile Zola wrote « J'accuse…! » in 1898, and the naïve reader 🎉 may wonder why. " * 6,
    "The quick brown fox jumps over the lazy dog, again and again, until evening comes.",
]


def opened(path, task="embed", **changes):
    config = {"model": "m", "engine": "openvino", "task": task, "path": str(path), "cache": "/x"}
    return open_engine(EngineConfig(**config | changes), SLICE)


def array(output):
    return np.frombuffer(output.tensor.data, "<f4").reshape(output.tensor.shape)


def run(engine, sequences, segments=None):
    for number, ids in enumerate(sequences):
        engine.submit(
            EngineRequest(number, ids, ONE, segments=segments[number] if segments else b"")
        )
    answers = {}
    while engine.busy:
        for output in engine.step():
            assert output.finish_reason == "stop"
            answers[output.id] = array(output)
    return [answers[number] for number in range(len(sequences))]


@pytest.fixture(scope="module")
def engine(minilm):
    return opened(minilm)


def test_what_is_known_before_loading(minilm):
    found = inspect_model(minilm)
    assert (found.engine, found.task, found.labels) == ("openvino", "embed", ())
    assert (found.shape.hidden, found.shape.context_length) == (384, 256)
    assert found.shape.kv_bytes_per_token(4) == 0
    files = EncoderFiles.of_folder(minilm)
    assert files.longest == 512
    assert files.weight_bytes == 90_868_376
    assert 200 << 20 < files.memory_bytes() < 600 << 20


def test_minilm_is_what_it_is_in_transformers(engine, minilm):
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    torch.set_num_threads(1)
    model = transformers.AutoModel.from_pretrained(minilm).eval()
    theirs = transformers.AutoTokenizer.from_pretrained(minilm)
    tokenizer = Tokenizer.open(minilm)
    sequences = tokenizer.encode_batch(TEXTS)
    assert sequences == [theirs(text)["input_ids"] for text in TEXTS]
    for ids, vector in zip(sequences, run(engine, sequences), strict=True):
        with torch.no_grad():
            hidden = model(input_ids=torch.tensor([ids])).last_hidden_state[0]
        expected = torch.nn.functional.normalize(hidden.mean(0), dim=0).numpy()
        assert float(vector @ expected) >= 0.9999
        assert np.abs(vector - expected).max() < 1e-5
        assert np.linalg.norm(vector) == pytest.approx(1.0, abs=1e-5)


def test_near_in_meaning_is_near(engine, minilm):
    texts = ["A dog runs in the park.", "A puppy is playing outside.", "Interest rates went up."]
    dog, puppy, bank = run(engine, Tokenizer.open(minilm).encode_batch(texts))
    assert dog @ puppy > 2 * abs(dog @ bank)


def test_batches_change_nothing(engine):
    draw = np.random.default_rng(0)
    sequences = [draw.integers(1000, 20_000, n).tolist() for n in (3, 90, 100, 7, 256, 1)]
    together = run(engine, sequences)
    alone = [run(engine, [ids])[0] for ids in sequences]
    assert np.abs(np.stack(together) - np.stack(alone)).max() < 1e-5


def test_its_facts(engine):
    info = engine.info
    assert info.engine.startswith("openvino 20")
    assert (info.task, info.max_model_len, info.kv_cache_tokens) == ("embed", 256, 0)
    assert info.encoder is not None
    assert (info.encoder.hidden, info.encoder.dimensions) == (384, ())
    assert info.prefill_tokens_per_s > 0
    assert engine.kv_cache_usage() == 0.0


def test_what_it_refuses(engine):
    for ids, segments in (([], b""), ([5] * 257, b""), ([5, 6], b"\0"), ([5, 6], b"\0\2")):
        with pytest.raises(ValueError, match=r"tokens|segment"):
            engine.submit(EngineRequest(1, ids, ONE, segments=segments))
    assert not engine.busy


def test_cancelled_before_its_batch(engine):
    engine.submit(EngineRequest(1, [101, 2000, 102], ONE))
    engine.submit(EngineRequest(2, [101, 2001, 102], ONE))
    engine.cancel(1)
    engine.cancel(77)
    outputs = {output.id: output for output in engine.step()}
    assert outputs[1].finish_reason == "cancelled"
    assert outputs[1].tensor is None
    assert outputs[2].finish_reason == "stop"
    assert not engine.busy
    assert engine.step() == []


def test_steps_hold_the_token_bound(minilm):
    engine = opened(minilm, max_model_len=64, max_num_batched_tokens=128)
    assert engine.info.max_num_batched_tokens == 128
    for number in range(6):
        engine.submit(EngineRequest(number, [2000] * 64, ONE))
    assert [len(engine.step()) for _ in range(3)] == [2, 2, 2]


def test_longer_than_its_positions(minilm):
    assert opened(minilm, max_model_len=512).info.max_model_len == 512
    with pytest.raises(UsageError, match="at most 512 tokens, not 513"):
        opened(minilm, max_model_len=513)


def test_number_formats(minilm):
    assert opened(minilm, dtype="bf16").info.task == "embed"
    with pytest.raises(UsageError, match="int8"):
        opened(minilm, dtype="int8")


@pytest.mark.parametrize("family", ["bert", "roberta", "distilbert"])
def test_question_answering_gives_start_and_end_logits(reference, family):
    import torch

    folder, model = reference(family, "question-answering")
    engine = opened(folder, "question-answering")
    sequences = [[7, 8, 9, 10, 11], [20] * 30]
    segments = [b"\0\0\1\1\1", b"\0" * 10 + b"\1" * 20]
    for ids, kinds, answer in zip(
        sequences, segments, run(engine, sequences, segments), strict=True
    ):
        extra = {"token_type_ids": torch.tensor([list(kinds)])} if family == "bert" else {}
        with torch.no_grad():
            output = model(input_ids=torch.tensor([ids]), **extra)
        expected = torch.stack([output.start_logits[0], output.end_logits[0]]).numpy()
        assert answer.shape == (2, len(ids))
        assert np.abs(answer - expected).max() < 1e-4


def test_a_classifier_tells_its_labels(reference):
    folder, _ = reference("roberta", "classify", id2label={0: "no", 1: "maybe", 2: "yes"})
    (folder / "tokenizer.json").write_text("{}")
    found = inspect_model(folder)
    assert (found.task, found.labels) == ("classify", ("no", "maybe", "yes"))
    engine = opened(folder, found.task)
    assert engine.info.encoder.labels == ("no", "maybe", "yes")
    assert not engine.info.encoder.multi_label
    assert run(engine, [[5, 6, 7]])[0].shape == (3,)


def field(number, value):
    """A field of a protocol buffer: an integer, or bytes."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    content = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(content)) + content


def varint(value):
    out = b""
    while value > 0x7F:
        out, value = out + bytes([value & 0x7F | 0x80]), value >> 7
    return out + bytes([value])


def onnx_file(table, output):
    """An ONNX model that looks token vectors up in a table: the smallest encoder there is."""
    free = b"".join(field(1, field(2, name)) for name in ("batch", "tokens"))

    def value(name, kind, shape):
        return field(1, name) + field(2, field(1, field(1, kind) + field(2, shape)))

    weights = b"".join(field(1, size) for size in table.shape)
    weights += field(2, 1) + field(8, "table") + field(9, table.astype("<f4").tobytes())
    node = field(1, "table") + field(1, "input_ids") + field(2, output) + field(4, "Gather")
    graph = field(1, node) + field(2, "encoder") + field(5, weights)
    graph += field(11, value("input_ids", 7, free)) + field(11, value("attention_mask", 7, free))
    graph += field(12, value(output, 1, free + field(1, field(1, table.shape[1]))))
    return field(1, 8) + field(7, graph) + field(8, field(1, "") + field(2, 13))


@pytest.mark.parametrize("engine", ["openvino", "onnxruntime"])
@pytest.mark.parametrize("place", ["model.onnx", "onnx/model.onnx"])
def test_an_exported_graph_runs_on_both_runtimes(tmp_path, engine, place):
    pytest.importorskip("onnxruntime")
    table = np.random.default_rng(0).normal(size=(30, 8)).astype(np.float32)
    (tmp_path / place).parent.mkdir(exist_ok=True)
    (tmp_path / place).write_bytes(onnx_file(table, "last_hidden_state"))
    config = {
        "model_type": "deberta-v2",  # of no family that is built here: the graph is all we need
        "architectures": ["DebertaV2Model"],
        "hidden_size": 8,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 8,
        "vocab_size": 30,
        "max_position_embeddings": 40,
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "tokenizer.json").write_text("{}")
    found = inspect_model(tmp_path, engine, "embed")
    assert (found.engine, found.task, found.shape.context_length) == (engine, "embed", 40)
    opened_one = opened(tmp_path, engine=engine)
    assert opened_one.info.engine.startswith(engine)
    for ids, vector in zip([[5, 6, 7], [9]], run(opened_one, [[5, 6, 7], [9]]), strict=True):
        mean = table[ids].mean(0)
        assert vector == pytest.approx(mean / np.linalg.norm(mean), abs=1e-5)
    (tmp_path / place).write_bytes(onnx_file(table, "scores"))
    with pytest.raises(ModelError, match="outputs are scores, none of which is an answer"):
        opened(tmp_path, "question-answering", engine=engine)
    (tmp_path / place).write_bytes(b"not onnx")
    with pytest.raises(ModelError, match="cannot"):
        opened(tmp_path, engine=engine)


def test_onnxruntime_needs_an_onnx_file(minilm, embedded_model):
    with pytest.raises(UsageError, match=r"needs a model\.onnx"):
        inspect_model(minilm, "onnxruntime")
    with pytest.raises(UsageError, match="runs encoders"):
        inspect_model(embedded_model, "onnxruntime")


def test_the_task_may_be_chosen(minilm):
    assert inspect_model(minilm, task="embed").task == "embed"
    with pytest.raises(ModelError, match="the weights hold no qa_outputs"):
        opened(minilm, "question-answering")


@pytest.mark.parametrize(
    ("config", "error", "message"),
    [
        ({"model_type": "bert"}, ModelError, "hidden_size cannot be None"),
        ({"hidden_size": True}, ModelError, "hidden_size cannot be True"),
        ({"num_attention_heads": 7}, ModelError, "7 heads of a width of 8"),
        ({"position_embedding_type": "relative_key"}, UnsupportedModelError, "relative_key"),
        ({"architectures": ["BertForTokenClassification"]}, UnsupportedModelError, "model.task"),
    ],
)
def test_configs_that_cannot_be(tmp_path, config, error, message):
    whole = {
        "model_type": "bert",
        "hidden_size": 8,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 8,
        "vocab_size": 9,
    }
    merged = config if len(config) == 1 and "model_type" in config else whole | config
    (tmp_path / "config.json").write_text(json.dumps(merged))
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(error, match=message):
        EncoderFiles.of_folder(tmp_path)


def test_matryoshka_and_many_labels(tmp_path):
    config = {
        "model_type": "bert",
        "hidden_size": 8,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 8,
        "vocab_size": 9,
        "matryoshka_dimensions": [4, 2, 99, "x"],
    }
    (tmp_path / "model.safetensors").write_bytes(b"")
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert EncoderFiles.of_folder(tmp_path).traits.dimensions == (2, 4)
    config |= {
        "architectures": ["BertForSequenceClassification"],
        "problem_type": "multi_label_classification",
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    traits = EncoderFiles.of_folder(tmp_path).traits
    assert (traits.labels, traits.multi_label) == (("LABEL_0", "LABEL_1"), True)


def test_the_engine_can_be_given_any_runner(minilm):
    class Wide:
        """Rows of 64 tokens, as a compiled graph of fixed shape has them."""

        name, max_len = "wide 1", 64

        def width(self, tokens):
            return 64

        def run(self, sequences, segments):
            assert len(sequences) * 64 <= 128
            sums = [[float(sum(ids))] * 4 for ids in sequences]
            return np.repeat(np.array(sums, np.float32)[:, None, :], 64, axis=1)

    engine = EncoderEngine(Wide(), EncoderFiles.of_folder(minilm), max_num_batched_tokens=128)
    assert engine.info.max_model_len == 64
    assert run(engine, [[1, 2], [3], [4]])[0] == pytest.approx([0.5] * 4)
