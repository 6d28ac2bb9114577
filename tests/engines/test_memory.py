"""The memory plan: what fits, and a clear no when nothing does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotage.catalog import ModelShape
from pilotage.engines.memory import (
    BLOCK_TOKENS,
    RUNTIME_BYTES,
    MemoryPlan,
    free_memory,
    openvino_kv_bytes_per_token,
    plan_memory,
)
from pilotage.engines.registry import inspect_model
from pilotage.errors import ResourceError

GIB = 1 << 30
SHAPE = ModelShape("llama", 30, 576, 9, (3,) * 30, 64, 64, 8192, 49152, 134_515_008, 96_576_768, {})


def plan(**changes: object) -> MemoryPlan:
    arguments: dict[str, object] = {"workers": 1, "free_bytes": 20 * GIB, "memory_fraction": 0.6}
    return plan_memory(SHAPE, **{**arguments, **changes})  # type: ignore[arg-type]


def test_smollm2_takes_13680_bytes_a_token() -> None:
    assert openvino_kv_bytes_per_token(SHAPE) == 13_680


def test_a_big_machine_gives_what_the_sequences_can_use_and_no_more() -> None:
    roomy = plan()
    assert (roomy.max_num_seqs, roomy.max_model_len) == (64, 8192)
    assert roomy.kv_tokens == 64 * 1024
    assert plan(free_bytes=200 * GIB).kv_blocks == roomy.kv_blocks


def test_a_small_machine_runs_fewer_sequences() -> None:
    tight = plan(free_bytes=900 << 20)
    assert tight.kv_bytes <= 0.6 * (900 << 20)
    assert 8192 <= tight.kv_tokens < plan().kv_tokens
    assert tight.max_num_seqs == tight.kv_tokens // 1024 < 64


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"free_bytes": 100 << 20}, "a sequence of 8,192 tokens needs"),
        ({"kv_cache_bytes": 1 << 20}, "the cache would have 1MiB"),
        ({"kv_cache_bytes": 64 * GIB}, "no memory for a KV cache of 64GiB"),
        ({"workers": 40}, "in each of 40 workers"),
    ],
)
def test_what_does_not_fit_is_refused_with_the_numbers(
    changes: dict[str, object], says: str
) -> None:
    with pytest.raises(ResourceError) as caught:
        plan(**changes)
    assert says in str(caught.value)
    assert "--max-model-len" in str(caught.value)


asked = st.fixed_dictionaries(
    {
        "free_bytes": st.integers(0, 64 * GIB),
        "workers": st.integers(1, 8),
        "memory_fraction": st.floats(0.01, 1.0),
        "max_model_len": st.none() | st.integers(16, 20_000),
        "max_num_seqs": st.none() | st.integers(1, 512),
        "typical_tokens": st.none() | st.integers(1, 20_000),
    }
)


@given(asked)
def test_a_plan_never_exceeds_the_memory_and_always_holds_one_longest_sequence(
    asked: dict[str, Any],
) -> None:
    try:
        made = plan(**asked)
    except ResourceError:
        return
    assert made.kv_tokens >= made.max_model_len + BLOCK_TOKENS
    each = made.kv_bytes + made.weight_bytes + RUNTIME_BYTES
    assert asked["workers"] * each <= asked["free_bytes"]
    assert made.max_num_seqs >= 1
    assert asked["max_num_seqs"] in (None, made.max_num_seqs)


def test_free_memory_is_at_most_what_the_machine_has() -> None:
    assert 0 < free_memory() <= psutil.virtual_memory().total


def test_the_real_model_is_planned_from_its_header(embedded_model: Path) -> None:
    files = inspect_model(embedded_model)
    assert files.engine == "openvino"
    assert openvino_kv_bytes_per_token(files.shape) == 13_680
