"""Memory on a CPU under OpenVINO and on AWS's own chips."""

from __future__ import annotations

import pytest

from pilotage.catalog.accelerators import ACCELERATORS
from pilotage.catalog.anatomies import known_anatomy
from pilotage.catalog.anatomy import Anatomy
from pilotage.errors import UsageError
from pilotage.plan.memory import memory_of_cpu, memory_of_neuron, openvino_kv_bytes
from pilotage.plan.precision import find_precision

GIB = 2**30


def model(name: str) -> Anatomy:
    found = known_anatomy(name)
    assert found is not None
    return found


def test_openvinos_cache_is_what_the_running_engine_reports() -> None:
    assert openvino_kv_bytes(model("HuggingFaceTB/SmolLM2-135M-Instruct")) == 13_680


def test_workers_share_the_machine() -> None:
    small, q8 = model("HuggingFaceTB/SmolLM2-135M-Instruct"), find_precision("q8_0")
    one = memory_of_cpu(small, q8, 8 * GIB, max_model_len=2048)
    two = memory_of_cpu(small, q8, 8 * GIB, max_model_len=2048, workers=2)
    assert one.fits
    assert one.terms.value == pytest.approx(8 * GIB)
    assert two.kv_bytes < one.kv_bytes / 2
    assert one.seqs_that_fit(1024) == 64
    with pytest.raises(UsageError):
        memory_of_cpu(small, q8, 8 * GIB, workers=0)


def test_a_model_too_large_for_the_machine_says_by_how_much() -> None:
    plan = memory_of_cpu(
        model("meta-llama/Llama-2-7b-hf"), find_precision("bf16"), 8 * GIB, max_model_len=1024
    )
    assert not plan.fits
    assert plan.shortfall_bytes > 4 * GIB


def test_neuron_lays_its_cache_out_in_advance() -> None:
    chip = ACCELERATORS["inferentia2"].memory_bytes
    llama, bf16 = model("meta-llama/Llama-3.1-8B-Instruct"), find_precision("bf16")

    def plan(cores: int, seqs: int) -> bool:
        return memory_of_neuron(
            llama, bf16, chip, cores=cores, max_model_len=4096, max_num_seqs=seqs
        ).fits

    assert not plan(1, 4)  # 16 GB of weights do not fit beside anything in a core's 16 GiB
    assert plan(2, 4)
    assert not plan(2, 64)
    held = memory_of_neuron(llama, bf16, chip, cores=2, max_model_len=4096, max_num_seqs=4)
    assert held.seqs_that_fit(10) == held.seqs_that_fit(4096) == 4
    assert held.kv_tokens == 4 * 4096
