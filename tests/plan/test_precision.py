"""Number formats and what accelerators can do with them."""

from __future__ import annotations

import pytest

from pilotage.catalog.accelerators import ACCELERATORS
from pilotage.catalog.anatomies import known_anatomy
from pilotage.errors import UsageError
from pilotage.plan.precision import (
    PRECISIONS,
    compute_unit,
    find_precision,
    native_precision,
    peak_flops,
    unusable,
)


@pytest.mark.parametrize(
    ("name", "accelerator", "can"),
    [
        ("bf16", "t4", False),
        ("fp16", "t4", True),
        ("int8", "t4", True),
        ("fp8", "a100-80gb", False),
        ("fp8", "l4", True),
        ("fp8", "h100", True),
        ("fp4", "h100", False),
        ("fp4", "b200", True),
        ("awq", "t4", True),
        ("awq", "inferentia2", False),
    ],
)
def test_which_precisions_an_accelerator_has(name: str, accelerator: str, can: bool) -> None:
    reason = unusable(PRECISIONS[name], ACCELERATORS[accelerator])
    assert (reason is None) is can
    if reason:
        assert ACCELERATORS[accelerator].title in reason


def test_a_format_without_a_unit_computes_in_16_bits() -> None:
    a100, h100, b200 = (ACCELERATORS[name] for name in ("a100-80gb", "h100", "b200"))
    assert compute_unit(PRECISIONS["fp8"], a100) == "fp16"
    assert peak_flops(PRECISIONS["fp8"], h100) == h100.fp8
    assert compute_unit(PRECISIONS["mxfp4"], h100) == "fp16"
    assert compute_unit(PRECISIONS["mxfp4"], b200) == "fp8"
    assert peak_flops(PRECISIONS["awq"], h100) == h100.fp16
    assert peak_flops(PRECISIONS["fp32"], a100) < a100.fp16


def test_names_people_write() -> None:
    assert find_precision("int4-awq").name == "awq"
    assert find_precision("NVFP4").name == "fp4"
    assert find_precision("bfloat16", "fp8").kv_bytes == 1
    with pytest.raises(UsageError, match="Did you mean"):
        find_precision("fp88")
    with pytest.raises(UsageError, match="KV-cache"):
        find_precision("fp8", "fp3")


def test_how_a_model_is_stored() -> None:
    awq = known_anatomy("Qwen/Qwen2.5-7B-Instruct-AWQ")
    assert awq is not None
    assert native_precision(awq).name == "awq"
