"""What stops a model from being opened, each said in a line."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from stepping import greedy, ids, run  # noqa: E402
from tiny_models import CPU, config  # noqa: E402

from pilotage.devices import DeviceSlice  # noqa: E402
from pilotage.engines.engine import EngineRequest  # noqa: E402
from pilotage.engines.opening import open_engine  # noqa: E402
from pilotage.errors import (  # noqa: E402
    ModelError,
    ResourceError,
    UnsupportedModelError,
    UsageError,
)

Tiny = Callable[[str], Path]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"dtype": "int8"}, "CUDA devices only"),
        ({"dtype": "int4"}, "CUDA devices only"),
        ({"quantization": "bitsandbytes"}, "CUDA devices only"),
        ({"dtype": "fp8"}, "no fp8"),
        ({"quantization": "awq"}, "does not make awq"),
    ],
)
def test_number_formats_that_a_cpu_has_not(tiny: Tiny, changes: dict[str, Any], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        open_engine(config(tiny("llama"), **changes), CPU)


def test_devices_that_are_not_there(tiny: Tiny) -> None:
    neuron = DeviceSlice(worker=0, kind="neuron", cores=(0,), devices=(0,))
    with pytest.raises(UsageError, match="neuron"):
        open_engine(config(tiny("llama")), neuron)
    if not torch.cuda.is_available():
        cuda = DeviceSlice(worker=0, kind="cuda", cores=(0,), devices=(0,))
        with pytest.raises(UsageError, match="no CUDA device"):
            open_engine(config(tiny("llama")), cuda)


@pytest.mark.parametrize("dtype", ["bf16", "fp16", "fp32", "auto"])
def test_a_cpu_runs_these(tiny: Tiny, dtype: str) -> None:
    engine: Any = open_engine(config(tiny("llama"), dtype=dtype), CPU)
    expected = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(dtype, torch.float32)
    assert engine.model.dtype == expected
    assert len(ids(run(engine, [EngineRequest(1, [5, 6], greedy(4))])[1])) == 4


def test_too_big_is_refused_before_a_weight_is_read(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pilotage.engines.transformers import loading

    monkeypatch.setattr(loading, "_load", lambda *_, **__: pytest.fail("it was loaded"))
    little = DeviceSlice(worker=0, kind="cpu", cores=(0,), memory_bytes=200 << 20)
    with pytest.raises(ResourceError, match=r"needs .* = .* weights in fp32"):
        open_engine(config(tiny("llama")), little)


def test_weights_that_are_missing_are_not_made_up(tiny: Tiny, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    path = shutil.copytree(tiny("llama"), tmp_path / "model")
    tensors = load_file(path / "model.safetensors")
    del tensors["model.layers.1.mlp.up_proj.weight"]
    save_file(tensors, path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"1 weights are not in its files.*up_proj"):
        open_engine(config(path), CPU)


def test_an_architecture_with_code_of_its_own_is_not_run(tiny: Tiny, tmp_path: Path) -> None:
    path = shutil.copytree(tiny("llama"), tmp_path / "model")
    stored = json.loads((path / "config.json").read_bytes())
    stored |= {"model_type": "mystery", "auto_map": {"AutoConfig": "code.Config"}}
    stored["architectures"] = ["MysteryForCausalLM"]
    (path / "config.json").write_text(json.dumps(stored))
    (path / "code.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nclass Config: pass\n")
    with pytest.raises(UnsupportedModelError, match="never run"):
        open_engine(config(path), CPU)
    assert not (tmp_path / "ran").exists()


def test_a_model_that_batching_would_change_is_refused(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pilotage.engines.transformers.runner import Runner

    plain = Runner._masks
    monkeypatch.setattr(Runner, "_masks", lambda self, far: plain(self, far.abs()))
    with pytest.raises(UnsupportedModelError, match="standard deviations off"):
        open_engine(config(tiny("llama")), CPU)
