import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from step_models import Affine, Roofline

from pilotage.plan.simulate.step_table import StepTable
from pilotage.plan.step_model import Batch, Batches, EngineLimits, ManyStepsModel

LIMITS = EngineLimits(
    max_num_seqs=100, max_num_batched_tokens=3000, kv_tokens=10**6, max_model_len=8192
)
TABLE = StepTable(Affine(), LIMITS, prompt=500, completion=100)


@given(st.integers(0, 2900), st.integers(0, 100), st.floats(0, 1e6), st.floats(0, 1e6))
def test_an_affine_model_is_held_exactly(tokens, seqs, looked_at, context):
    if not tokens and not seqs:
        return
    looked_at, context = looked_at * (tokens > 0), context * (seqs > 0)
    images = 2 if tokens else 0
    batch = Batch(
        prefill_tokens=tokens,
        prefill_context=looked_at,
        decode_seqs=seqs,
        decode_context=context,
        images=images,
    )
    expected = pytest.approx(Affine().step_s(batch), rel=1e-9)
    assert TABLE.step_s(tokens, looked_at, seqs, context, images) == expected
    many = TABLE.steps_s(
        np.array([tokens]), np.array([looked_at]), np.array([seqs]), np.array([context]),
        np.array([images]),
    )  # fmt: skip
    assert many[0] == expected
    if not tokens:
        assert TABLE.decodes_s(np.array([seqs]), np.array([context]))[0] == expected


def test_a_rooflines_bends_cost_little():
    table = StepTable(Roofline(), LIMITS, prompt=500, completion=100)
    median, p90 = table.error(samples=400)
    assert median < 0.002
    assert p90 < 0.02
    # The error is measured, not assumed: a rougher model has a larger one.
    assert StepTable(_Stairs(), LIMITS, prompt=500, completion=100).error()[1] > p90


class _Stairs(Roofline):
    """Kernels that work in tiles of 256 tokens."""

    def step_s(self, batch: Batch) -> float:
        tiles = -(-(batch.prefill_tokens + batch.decode_seqs) // 256)
        return 0.004 + 0.01 * tiles


def test_a_budget_of_one_token_has_a_table():
    limits = EngineLimits(
        max_num_seqs=1, max_num_batched_tokens=1, kv_tokens=100, max_model_len=100
    )
    table = StepTable(Affine(), limits, prompt=10, completion=5)
    assert table.step_s(1, 1, 0, 0, 0) == pytest.approx(
        Affine().step_s(Batch(prefill_tokens=1, prefill_context=1))
    )


def test_a_model_of_many_steps_is_asked_once_and_says_the_same():
    asked = []

    class Many(Roofline):
        def steps_s(self, batches: Batches):
            asked.append(batches.images.size)
            tokens = batches.prefill_tokens + batches.decode_seqs
            looked_at = batches.prefill_context + batches.decode_context
            compute = (16e9 * tokens + 4 * 32 * 4096 * looked_at) / 200e12
            memory = 16e9 + 131072 * (batches.decode_context + batches.prefill_tokens)
            return self.overhead + np.maximum(compute, memory / 1.5e12) + 0.01 * batches.images

    assert isinstance(Many(), ManyStepsModel)
    assert not isinstance(Roofline(), ManyStepsModel)
    one_by_one = StepTable(Roofline(), LIMITS, prompt=500, completion=100)
    at_once = StepTable(Many(), LIMITS, prompt=500, completion=100)
    assert (at_once.rows.values == one_by_one.rows.values).all()
    assert len(asked) == 6
    assert at_once.error() == at_once.error() == one_by_one.error()
    assert len(asked) == 7  # the error is measured once
