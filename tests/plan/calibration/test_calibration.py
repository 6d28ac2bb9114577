"""Reading measurements, fitting efficiencies, and what is said where nothing was measured."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest

from pilotage.catalog.accelerators import ACCELERATORS
from pilotage.errors import SourceError
from pilotage.plan.calibration import (
    Measurement,
    Setting,
    Unusable,
    efficiency_for,
    efficiency_of,
    engine_key,
    fit,
    parse_measurements,
    predict_memory,
    prepare,
    read_measurements,
    shipped,
)
from pilotage.plan.precision import PRECISIONS, find_precision

HEAD = (
    "id,kind,model,accelerator,accelerators,tensor_parallel,weight_dtype,kv_dtype,batch,"
    "input_tokens,output_tokens,metric,value,unit,engine,source\n"
)


def read(*lines: str) -> tuple[list[Measurement], list[str]]:
    return parse_measurements(csv.DictReader(io.StringIO(HEAD + "\n".join(lines))))


def one(line: str) -> Measurement:
    [row], notes = read(line)
    assert not notes
    return row


DECODE = "d,decode_step,Qwen/Qwen2.5-7B-Instruct,L4,1,1,fp16,fp16,{n},,,tpot,{v},ms,vLLM,here"
STATIC = (
    "s,static_batch_throughput,meta-llama/Llama-2-7b-hf,A100-SXM-80GB,2,2,fp16,fp16,64,128,128,"
    "{metric},{v},x/s,TensorRT-LLM,here"
)


def test_units_and_empty_cells() -> None:
    row = one(DECODE.format(n="", v=58.3))
    assert (row.value, row.batch, row.input_tokens) == (pytest.approx(0.0583), None, None)
    memory = one("m,memory_per_gpu,a/b,L4,,,bf16,,,,,weights@util=0.9,2,GiB,vLLM,here")
    assert (memory.value, memory.accelerators, memory.kv_dtype) == (2 * 2**30, 1, None)
    assert one(DECODE.format(n="max", v=1)).batch is None


def test_rows_that_cannot_be_read_are_noted() -> None:
    rows, notes = read(
        DECODE.format(n=1, v="many"),
        DECODE.format(n=1, v=-1),
        DECODE.format(n=0, v=1),
        DECODE.replace("decode_step", "guess").format(n=1, v=1),
        DECODE.format(n=1, v=1),
    )
    assert len(rows) == 1
    assert len(notes) == 4


def test_a_file_that_is_none_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SourceError):
        read_measurements(tmp_path / "none.csv")
    other = tmp_path / "other.csv"
    other.write_text("a,b\n1,2\n")
    with pytest.raises(SourceError, match="kind"):
        read_measurements(other)


def test_generations_of_software() -> None:
    assert engine_key("TensorRT-LLM", "static_batch_throughput") == "tensorrt-llm-2023"
    assert engine_key("TensorRT-LLM", "saturated_throughput") == "tensorrt-llm"
    assert engine_key("vLLM", "decode_step") == engine_key("") == "vllm"
    assert engine_key("SGLang") == "sglang"


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (DECODE.replace("Qwen/Qwen2.5-7B-Instruct", "nobody/nothing"), "config"),
        (DECODE.replace("L4", "Z9"), "accelerator"),
        (DECODE.replace("fp16", "fp17"), "precision"),
        (DECODE.replace("decode_step", "first_token_latency"), "input_tokens"),
        (DECODE.replace("decode_step", "saturated_throughput"), "input_tokens"),
    ],
)
def test_rows_that_cannot_be_predicted_say_why(line: str, why: str) -> None:
    with pytest.raises(Unusable, match=why):
        prepare(one(line.format(n=1, v=1)))


def test_models_are_found_under_the_names_of_their_quantisers() -> None:
    row = one(
        "m,memory_per_gpu,RedHatAI/Llama-3.3-70B-Instruct-FP8-dynamic,H100-SXM-80GB,2,2,fp8,bf16,,,,"
        "weights@util=0.9,33.88,GiB,vLLM,here"
    )
    assert predict_memory(row) == pytest.approx(row.value, rel=0.01)
    with pytest.raises(Unusable, match="metric"):
        predict_memory(one("m,memory_per_gpu,Qwen/Qwen3-0.6B,L4,1,1,bf16,,,,,luck,2,GiB,vLLM,here"))


def test_throughputs_count_tokens_requests_and_gpus() -> None:
    def value(metric: str) -> float:
        row = prepare(one(STATIC.format(metric=metric, v=1)))
        return row.value(shipped().efficiency(row.accelerator, row.precision))

    whole = value("output_tokens_per_second")
    assert value("output_tokens_per_second_per_gpu") == pytest.approx(whole / 2)
    assert value("requests_per_second") == pytest.approx(whole / 128)


def test_nothing_measured_gives_the_priors() -> None:
    values = fit([])
    setting = Setting.of(ACCELERATORS["a10g"], PRECISIONS["int8"], "vllm")
    assert efficiency_of(values, setting, "").bandwidth == pytest.approx(0.8)


def test_a_fit_finds_what_made_the_rows() -> None:
    truth = fit([]) | {"bandwidth": 0.9, "bandwidth:l4": -0.2}
    rows = []
    for n in (1, 4, 16, 64):
        blank = prepare(one(DECODE.format(n=n, v=1)))
        setting = Setting.of(blank.accelerator, blank.precision, "vllm")
        took = blank.value(efficiency_of(truth, setting, ""))
        rows.append(prepare(one(DECODE.format(n=n, v=took * 1e3))))
    values = fit(rows)
    for row in rows:
        setting = Setting.of(row.accelerator, row.precision, "vllm")
        found = row.value(efficiency_of(values, setting, ""))
        assert found == pytest.approx(row.measurement.value, rel=0.03)


def test_one_wild_row_does_not_carry_the_fit_away() -> None:
    good = [prepare(one(DECODE.format(n=n, v=v))) for n, v in ((1, 58.3), (4, 60.0), (16, 61.8))]
    wild = prepare(one(DECODE.format(n=32, v=2000)))
    values = fit([*good, wild])
    setting = Setting.of(good[0].accelerator, good[0].precision, "vllm")
    assert good[0].value(efficiency_of(values, setting, "")) == pytest.approx(0.0583, rel=0.1)


def test_what_is_shipped_says_what_it_rests_on() -> None:
    measured = efficiency_for(ACCELERATORS["l4"], find_precision("fp16"))
    assert measured.source.startswith("fitted on 5 rows of l4 fp16 vllm")
    same_device = efficiency_for(ACCELERATORS["h100"], find_precision("bf16"))
    assert "the accelerator's" in same_device.source
    unseen = efficiency_for(ACCELERATORS["a10g"], find_precision("bf16"), engine="sglang")
    assert unseen.source.startswith("prior: no measurement of a10g")
    for found in (measured, same_device, unseen):
        assert 0.3 < found.bandwidth < 1
        assert 0.2 < found.compute < 1
    assert set(shipped().errors) >= {"decode_step", "memory_per_gpu"}
