from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
import pytest

from pilotage.engines.encoders.bert import EncoderGraph, build_encoder
from pilotage.errors import ModelError, UnsupportedModelError

LENGTHS = (17, 5, 40, 1)


def batch(pad_id: int, tokens: int | None = None) -> dict[str, np.ndarray]:
    draw = np.random.default_rng(3)
    width = tokens or max(LENGTHS)
    ids = np.full((len(LENGTHS), width), pad_id, np.int64)
    mask, segments = np.zeros_like(ids), np.zeros_like(ids)
    for row, length in enumerate(LENGTHS):
        ids[row, :length] = draw.integers(5, 120, length)
        mask[row, :length] = 1
        segments[row, length // 2 : length] = 1
    return {"input_ids": ids, "attention_mask": mask, "token_type_ids": segments}


def run(graph: EncoderGraph, inputs: dict[str, np.ndarray]) -> np.ndarray:
    compiled = ov.Core().compile_model(graph.model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return np.asarray(
        compiled({port.any_name: inputs[port.any_name] for port in compiled.inputs})[0]
    )


def expected(model: Any, graph: EncoderGraph, inputs: dict[str, np.ndarray]) -> np.ndarray:
    import torch

    given = {name: torch.from_numpy(array) for name, array in inputs.items()}
    if not graph.needs_segments:
        del given["token_type_ids"]
    with torch.no_grad():
        output = model(**given)
    if graph.task == "embed":
        return output.last_hidden_state.numpy()
    if graph.task == "classify":
        return output.logits.numpy()
    return torch.stack([output.start_logits, output.end_logits], -1).numpy()


def differences(graph: EncoderGraph, model: Any, inputs: dict[str, np.ndarray]) -> float:
    ours, theirs = run(graph, inputs), expected(model, graph, inputs)
    assert ours.shape == theirs.shape
    if graph.task != "classify":  # what stands at padding is nobody's
        shown = inputs["attention_mask"].astype(bool)
        ours, theirs = ours[shown], theirs[shown]
    return float(np.abs(ours - theirs).max())


@pytest.mark.parametrize("task", ["embed", "question-answering", "classify"])
@pytest.mark.parametrize(
    "family", ["bert", "roberta", "xlm-roberta", "distilbert", "mpnet", "electra"]
)
def test_a_padded_batch_gives_what_transformers_gives(
    reference: Callable[..., tuple[Path, Any]], family: str, task: str
) -> None:
    folder, model = reference(family, task)
    graph = build_encoder(folder)
    assert graph.task == task
    assert differences(graph, model, batch(graph.pad_id)) < 1e-4


def test_static_shapes_give_the_same(reference: Callable[..., tuple[Path, Any]]) -> None:
    for family in ("bert", "mpnet", "roberta"):
        folder, model = reference(family, "classify")
        graph = build_encoder(folder)
        shape = ov.PartialShape([len(LENGTHS), 48])
        graph.model.reshape({port.any_name: shape for port in graph.model.inputs})
        assert not graph.model.is_dynamic()
        assert differences(graph, model, batch(graph.pad_id, 48)) < 1e-4


def test_weights_in_half_precision_are_read(reference: Callable[..., tuple[Path, Any]]) -> None:
    import torch

    folder, model = reference("bert", "embed")
    for dtype, tolerance in ((torch.bfloat16, 1e-4), (torch.float16, 1e-4)):
        rounded = model.to(dtype)
        rounded.save_pretrained(folder)
        graph = build_encoder(folder)
        assert differences(graph, rounded.float(), batch(graph.pad_id)) < tolerance


def test_another_activation_and_no_pooler(reference: Callable[..., tuple[Path, Any]]) -> None:
    folder, model = reference("bert", "embed", hidden_act="gelu_new")
    graph = build_encoder(folder)
    assert differences(graph, model, batch(graph.pad_id)) < 1e-4


def test_a_head_that_the_weights_lack_is_named(
    reference: Callable[..., tuple[Path, Any]],
) -> None:
    folder, _ = reference("bert", "embed")
    with pytest.raises(ModelError, match=r"the weights hold no qa_outputs\.weight.*model\.task"):
        build_encoder(folder, "question-answering")


def test_a_config_that_does_not_fit_the_weights_is_refused(
    reference: Callable[..., tuple[Path, Any]],
) -> None:
    folder, _ = reference("bert", "classify")
    config = (folder / "config.json").read_text()
    (folder / "config.json").write_text(config.replace('"vocab_size": 120', '"vocab_size": 121'))
    with pytest.raises(ModelError, match=r"has the shape \[120, 32\], and the config wants"):
        build_encoder(folder)


def test_pickled_weights_are_never_opened(tmp_path: Path) -> None:
    config = '{"model_type": "bert", "hidden_size": 8, "num_hidden_layers": 1, '
    config += '"num_attention_heads": 2, "intermediate_size": 8, "vocab_size": 9}'
    (tmp_path / "config.json").write_text(config)
    (tmp_path / "pytorch_model.bin").write_bytes(b"pickle")
    with pytest.raises(ModelError, match="Pickled weights"):
        build_encoder(tmp_path)


def test_an_unknown_family_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "fnet"}')
    with pytest.raises(UnsupportedModelError, match=r"fnet.*model\.onnx"):
        build_encoder(tmp_path)
