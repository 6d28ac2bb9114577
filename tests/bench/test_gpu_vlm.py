"""The bench of a vision model, at its small size, on the CPU."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

from bench.gpu_vlm import llama_vision_11b, main


def test_the_small_run_prints_what_it_ran_on_and_every_figure(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "out" / "gpu_vlm.json"
    main(["--small", "--concurrent", "1", "3", "--json", str(file)])
    shown = capsys.readouterr().out
    assert "python bench/gpu_vlm.py --small" in shown
    assert "UTC" in shown
    report = json.loads(file.read_bytes())
    assert [row["concurrent"] for row in report["rows"]] == [1, 3]
    for row in report["rows"]:
        assert row["requests"] >= 8
        assert row["e2e_p99_ms"] >= row["e2e_p50_ms"] > row["ttft_p50_ms"] > 0
        assert row["times_floor"] == pytest.approx(row["tpot_p50_ms"] / row["tpot_floor_ms"])


def test_the_shape_is_that_of_the_published_model() -> None:
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    with torch.device("meta"):
        model = transformers.MllamaForConditionalGeneration(llama_vision_11b().config)
    count = sum(weight.numel() for weight in model.parameters())
    assert count == 10_670_220_835, "Llama-3.2-11B-Vision's parameters, as its card has them"
