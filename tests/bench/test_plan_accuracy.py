"""The accuracy bench: another file, rows that cannot be used, the shipped calibration."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from bench.plan_accuracy import DEFAULT, SHIPPED, Rows, family, main

from pilotage.plan.calibration import fit

HEAD = (
    "id,kind,model,accelerator,accelerators,tensor_parallel,weight_dtype,kv_dtype,batch,"
    "input_tokens,output_tokens,metric,value,unit,engine,source\n"
)
KNOWN = "a,decode_step,Qwen/Qwen2.5-7B-Instruct,L4,1,1,fp16,fp16,1,,,tpot,58.3,ms,vLLM,here\n"
OTHER = (
    "b,first_token_latency,tiiuae/falcon-180B,H100-SXM-80GB,8,8,fp8,fp8,1,2048,1,ttft,200,ms,"
    "TensorRT-LLM,here\n"
    "c,saturated_throughput,deepseek-ai/DeepSeek-V3,B200,8,8,nvfp4,fp8,max,1000,1000,"
    "output_tokens_per_second_per_gpu,2000,tok/s,TensorRT-LLM,here\n"
    "d,memory_per_gpu,meta-llama/Llama-3.2-11B-Vision-Instruct,RTX 3090,1,1,bf16,,,,,"
    "weights@util=0.9,19.9,GiB,vLLM,here\n"
    "e,static_batch_throughput,EleutherAI/gpt-j-6b,L40S,1,1,fp8,fp8,64,128,128,"
    "output_tokens_per_second_per_gpu,3000,tok/s,TensorRT-LLM,here\n"
)
UNKNOWN = "z,decode_step,nobody/nothing,L4,1,1,fp16,fp16,1,,,tpot,58.3,ms,vLLM,here\n"


def test_another_file_is_predicted_with_what_is_shipped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "other.csv"
    data.write_text(HEAD + KNOWN + OTHER + UNKNOWN)
    assert main(["--data", str(data), "--json"]) == 0
    out, err = capsys.readouterr()
    found = json.loads(out)
    assert {kind: value["n"] for kind, value in found.items()} == {
        "decode_step": 1,
        "first_token_latency": 1,
        "saturated_throughput": 1,
        "static_batch_throughput": 1,
        "memory_per_gpu": 1,
    }
    assert set(found["decode_step"]) == {"n", "median_ape", "p90_ape"}
    assert found["decode_step"]["median_ape"] < 0.12
    assert found["memory_per_gpu"]["median_ape"] < 0.05
    assert "nobody/nothing" in err
    assert "skipped 1 rows in all" in err
    assert main(["--data", str(data), "--rows"]) == 0
    assert "falcon" in capsys.readouterr().out


def test_files_that_cannot_be_used(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--data", str(tmp_path / "none.csv")]) == 2
    assert "no such file" in capsys.readouterr().err
    empty = tmp_path / "empty.csv"
    empty.write_text(HEAD + UNKNOWN)
    assert main(["--data", str(empty)]) == 1
    assert "no row can be used" in capsys.readouterr().err


def test_names_of_one_model() -> None:
    assert family("nvidia/Llama-3.3-70B-Instruct-FP8") == family("x/Llama-3.3-70B-FP4")
    assert family("Qwen/Qwen2.5-7B-Instruct-AWQ") == "qwen2.5-7b"


@pytest.mark.skipif(not DEFAULT.exists(), reason="the measured rows are outside the repository")
def test_what_is_shipped_is_the_fit_of_all_rows() -> None:
    rows = Rows(DEFAULT)
    assert not rows.notes
    written = json.loads(SHIPPED.read_text())["parameters"]
    assert fit(rows.speed) == pytest.approx(written, abs=2e-3)
