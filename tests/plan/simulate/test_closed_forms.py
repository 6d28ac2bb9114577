"""Where queueing theory has the answer, the simulation gives it, within its own interval."""

import numpy as np
import pytest

from pilotage.plan.queueing import mg1_wait_s, mmc_wait_quantile_s, mmc_wait_s
from pilotage.plan.simulate import Requests, StepTable, poisson, simulate
from pilotage.plan.step_model import Batch, EngineLimits


class PerToken:
    """Steps that take a second a million prompt tokens: a prompt's length is its service time."""

    def step_s(self, batch: Batch) -> float:
        return 1e-6 * batch.prefill_tokens

    floor_s = step_s


class Ticks:
    """Steps of one length: a completion's length is its service time, in every slot alike."""

    def step_s(self, batch: Batch) -> float:
        return 0.002

    floor_s = step_s


SINGLE = EngineLimits(
    max_num_seqs=1, max_num_batched_tokens=400_000, kv_tokens=10**7, max_model_len=400_001
)


def single_server(service_s: np.ndarray, rate: float) -> np.ndarray:
    """Waits of a queue whose server reads one prompt after the other."""
    random = np.random.default_rng(8)
    span = len(service_s) / rate
    times = poisson(rate, span, random)[: len(service_s)]
    prompt = np.maximum(1, np.rint(service_s[: len(times)] * 1e6)).astype(np.int64)
    requests = Requests(times, prompt, np.ones(len(times), np.int64), span)
    table = StepTable(PerToken(), SINGLE, prompt=10_000, completion=1)
    result = simulate(requests, table, SINGLE, exact=True)
    return result.samples("ttft") - prompt * 1e-6


def interval(samples: np.ndarray) -> float:
    """Half a 99.9 % interval of the mean, from 20 batches."""
    means = samples[: len(samples) // 20 * 20].reshape(20, -1).mean(axis=1)
    return 3.9 * means.std(ddof=1) / 20**0.5


@pytest.mark.parametrize("cv", [0.0, 0.5, 1.0, 2.0])
def test_one_server_agrees_with_pollaczek_and_khinchine(cv):
    random = np.random.default_rng(6)
    mean, count = 0.01, 40_000
    # A gamma distribution of this mean and variation.
    service = (random.gamma(1 / cv**2, mean * cv**2, count) if cv else np.full(count, mean)).clip(
        1e-6, 0.4
    )
    measured_cv = float(service.std() / service.mean())
    waits = single_server(service, rate=60.0)
    expected = mg1_wait_s(60.0, float(service.mean()), measured_cv)
    assert interval(waits) < 0.35 * expected
    assert waits.mean() == pytest.approx(expected, abs=interval(waits))


def test_one_exponential_server_has_the_closed_forms_tail():
    service = np.random.default_rng(1).exponential(0.01, 60_000).clip(1e-6, 0.4)
    waits = single_server(service, rate=60.0)
    assert np.quantile(waits, 0.99) == pytest.approx(
        mmc_wait_quantile_s(60.0, 0.01, 1, 0.99), rel=0.1
    )
    assert (waits < 1e-9).mean() == pytest.approx(0.4, abs=0.02)


def test_slots_of_a_batch_are_the_servers_of_mmc():
    """A geometric number of short steps is nearly exponential; joining waits half a step."""
    slots, mean_steps, rate = 4, 100, 15.0
    random = np.random.default_rng(3)
    times = poisson(rate, 2500.0, random)
    limits = EngineLimits(
        max_num_seqs=slots, max_num_batched_tokens=100, kv_tokens=10**6, max_model_len=10_000
    )
    requests = Requests(
        times, np.ones(len(times), np.int64), random.geometric(1 / mean_steps, len(times)), 2500.0
    )
    result = simulate(requests, Ticks(), limits, exact=True)
    waits = result.samples("ttft") - 0.002 - 0.001
    service = mean_steps * 0.002
    assert interval(waits) < 0.3 * mmc_wait_s(rate, service, slots)
    assert waits.mean() == pytest.approx(mmc_wait_s(rate, service, slots), abs=interval(waits))
    assert np.quantile(waits, 0.99) == pytest.approx(
        mmc_wait_quantile_s(rate, service, slots, 0.99), rel=0.15
    )
