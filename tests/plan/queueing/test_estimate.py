import pytest

from pilotage.plan.demand import Demand, Lengths
from pilotage.plan.queueing import estimate
from pilotage.plan.simulate import simulate
from pilotage.plan.step_model import Batch, EngineLimits


class Engine:
    """An 8B model, roughly."""

    def step_s(self, batch: Batch) -> float:
        tokens = batch.prefill_tokens + batch.decode_seqs
        return 0.002 + max(tokens * 8e-5, 0.0107 + batch.decode_context * 8.7e-8)

    floor_s = step_s


LIMITS = EngineLimits(
    max_num_seqs=64, max_num_batched_tokens=2048, kv_tokens=200_000, max_model_len=8192
)


@pytest.mark.parametrize("rate", [0.5, 2.0, 6.0])
def test_means_are_near_the_simulations(rate):
    prompt, completion = 500, 150
    demand = Demand(
        rate=rate,
        peak=rate,
        shape="steady",
        prompt=Lengths(p50=prompt, p99=prompt),
        completion=Lengths(p50=completion, p99=completion),
    )
    found = estimate(Engine(), LIMITS, rate=rate, prompt=prompt, completion=completion)
    simulated = simulate(demand, Engine(), LIMITS, duration_s=600)
    assert found.stable
    assert found.e2e_s == pytest.approx(simulated.samples("e2e").mean(), rel=0.1)
    assert found.ttft_s == pytest.approx(simulated.samples("ttft").mean(), rel=0.35)


def test_overload_is_said_to_be():
    swamped = estimate(Engine(), LIMITS, rate=100, prompt=500, completion=150)
    assert not swamped.stable
    assert swamped.utilisation == 1.0
    calm = estimate(Engine(), LIMITS, rate=0.1, prompt=500, completion=150)
    assert calm.stable
    assert calm.wait_probability < 1e-6


def test_completions_of_one_token():
    found = estimate(Engine(), LIMITS, rate=5, prompt=100, completion=1)
    assert found.stable
    assert found.e2e_s == pytest.approx(found.ttft_s, rel=1e-6)
