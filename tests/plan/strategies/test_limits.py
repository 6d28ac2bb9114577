"""Every strategy's hard limits: kept, broken, and how far off."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategy_shapes import CHAT, LLAMA, model

from pilotage.plan.demand import Demand, Lengths
from pilotage.plan.option import Configuration, Obstacle, Strategy
from pilotage.plan.strategies import (
    STRATEGIES,
    BedrockAssumptions,
    Circumstances,
    notes_of,
    obstacles_of,
)

KNOWN = Circumstances(model=LLAMA)
GPU = Configuration(strategy="ecs-gpu", instance_type="g6e.2xlarge")
REALTIME = Configuration(strategy="sagemaker-realtime", instance_type="ml.g6e.2xlarge")
ASYNC = Configuration(strategy="sagemaker-async", instance_type="ml.g6e.2xlarge")
SERVERLESS = Configuration(strategy="sagemaker-serverless")
ON_DEMAND = Configuration(strategy="bedrock-on-demand")
PROVISIONED = Configuration(strategy="bedrock-provisioned", count=2)
LAMBDA = Configuration(strategy="lambda-bedrock")


def _found(
    configuration: Configuration,
    demand: Demand = CHAT,
    circumstances: Circumstances = KNOWN,
    **anatomy: Any,
) -> dict[str, Obstacle]:
    found = obstacles_of(configuration, demand, model(**anatomy), circumstances)
    return {one.limit: one for one in found}


def _images(megabytes: float) -> Demand:
    """Requests of about so many megabytes: 0.25 x 4 / 3 bytes a pixel."""
    side = round(math.sqrt(megabytes * 1_000_000 * 3))
    return replace(CHAT, images=1, image_width=side, image_height=side)


def test_every_strategy_has_rules_with_a_source() -> None:
    assert set(STRATEGIES) == set(get_args(Strategy))
    for name, rules in STRATEGIES.items():
        assert rules.strategy == name
        assert rules.limits.source
        assert rules.limits.title


@pytest.mark.parametrize("configuration", [GPU, REALTIME, ASYNC, ON_DEMAND, LAMBDA])
def test_a_chat_without_promises_meets_no_limit(configuration: Configuration) -> None:
    assert _found(configuration) == {}


@pytest.mark.parametrize(
    ("configuration", "megabytes", "fits"),
    [
        (REALTIME, 6.0, True),
        (REALTIME, 6.4, False),
        (SERVERLESS, 4.1, True),
        (SERVERLESS, 4.3, False),
        (LAMBDA, 6.2, True),
        (LAMBDA, 6.4, False),
        (ON_DEMAND, 24.0, True),
        (ON_DEMAND, 26.0, False),
        (PROVISIONED, 26.0, False),
        (ASYNC, 1000.0, True),
        (ASYNC, 1100.0, False),
    ],
)
def test_payloads(configuration: Configuration, megabytes: float, *, fits: bool) -> None:
    obstacle = _found(configuration, _images(megabytes)).get("payload")
    if fits:
        assert obstacle is None
        return
    assert obstacle is not None
    assert 1 < obstacle.shortfall < 1.2
    assert "smaller images" in obstacle.relax
    assert "is about" in obstacle.message


def test_long_prompts_are_payload_too() -> None:
    long = replace(CHAT, prompt=Lengths(p50=1_000_000, p99=1_500_000))
    obstacle = _found(REALTIME, long)["payload"]
    assert obstacle.relax == "Shorten the prompts"


@pytest.mark.parametrize(
    ("configuration", "allowed"), [(REALTIME, 480), (ASYNC, 3600), (SERVERLESS, 60)]
)
def test_time_outs(configuration: Configuration, allowed: float) -> None:
    within = replace(KNOWN, e2e_p99_s=allowed)
    assert "time-out" not in _found(configuration, circumstances=within)
    beyond = replace(KNOWN, e2e_p99_s=allowed * 1.5)
    assert _found(configuration, circumstances=beyond)["time-out"].shortfall == 1.5


def test_a_function_waits_no_longer_than_its_own_time_out() -> None:
    slow = replace(KNOWN, bedrock=BedrockAssumptions(e2e_p99=1800))
    assert _found(LAMBDA, circumstances=slow)["time-out"].shortfall == 2


@pytest.mark.parametrize(
    ("configuration", "allowed"), [(REALTIME, 3600), (ASYNC, 3600), (SERVERLESS, 180)]
)
def test_start_up(configuration: Configuration, allowed: float) -> None:
    assert "start-up" not in _found(configuration, circumstances=replace(KNOWN, start_s=allowed))
    late = replace(KNOWN, start_s=allowed * 2)
    assert _found(configuration, circumstances=late)["start-up"].shortfall == 2


def test_ecs_waits_for_a_slow_load() -> None:
    assert _found(GPU, circumstances=replace(KNOWN, start_s=36_000)) == {}


def test_serverless_holds_six_gigabytes_at_most() -> None:
    assert "memory" not in _found(SERVERLESS, parameters=3_000_000_000)
    obstacle = _found(SERVERLESS, parameters=12_884_901_888)["memory"]
    assert obstacle.shortfall == 4
    assert obstacle.message.startswith("the weights take 24GiB")


def test_weights_in_fewer_bits_fit_where_sixteen_do_not() -> None:
    fewer = replace(KNOWN, weights_bytes=5 << 30)
    assert "memory" not in _found(SERVERLESS, circumstances=fewer)


def test_serverless_takes_two_hundred_requests_at_once() -> None:
    busy = replace(KNOWN, e2e_p99_s=5.0)
    assert _found(SERVERLESS, circumstances=busy)["concurrency"].shortfall == 2
    assert "concurrency" not in _found(SERVERLESS, circumstances=replace(KNOWN, e2e_p99_s=2.0))


def test_serverless_meets_cold_starts_in_bursts() -> None:
    promised = replace(CHAT, e2e_p99=5.0)
    known = replace(KNOWN, e2e_p99_s=1.0, start_s=20.0)
    assert _found(SERVERLESS, promised, known)["cold start"].shortfall == 4
    steady = replace(promised, shape="steady", peak=20)
    assert "cold start" not in _found(SERVERLESS, steady, known)
    rare = replace(steady, rate=0.001, peak=0.001)
    assert "cold start" in _found(SERVERLESS, rare, known)
    assert "cold start" not in _found(SERVERLESS, CHAT, known)


def test_serverless_latency_is_not_guessed() -> None:
    promised = replace(CHAT, e2e_p99=5.0, shape="steady", peak=20)
    assert "latency unknown" in _found(SERVERLESS, promised)


@pytest.mark.parametrize("configuration", [ASYNC, SERVERLESS])
def test_without_streaming_the_first_token_comes_last(configuration: Configuration) -> None:
    promised = replace(CHAT, ttft_p99=0.5, shape="steady", peak=20)
    slow = replace(KNOWN, e2e_p99_s=2.0)
    assert _found(configuration, promised, slow)["ttft_p99"].shortfall == 4
    assert "ttft_p99" not in _found(configuration, promised, replace(KNOWN, e2e_p99_s=0.4))
    assert _found(configuration, promised)["ttft_p99"].shortfall == math.inf
    assert "ttft_p99" not in _found(REALTIME, promised, slow)


def test_ecs_needs_a_gpu_in_the_instance() -> None:
    cpu = replace(GPU, instance_type="c7i.4xlarge")
    assert _found(cpu)["no GPU"].message == "c7i.4xlarge has no GPU"
    assert "no GPU" in _found(replace(GPU, instance_type="inf2.8xlarge"))


def test_the_gpus_of_a_task_are_in_one_instance() -> None:
    split = replace(GPU, instance_type="g6e.12xlarge", tensor_parallel=4)
    assert _found(split) == {}
    assert _found(replace(split, pipeline_parallel=2))["accelerators"].shortfall == 2


def test_neuron_counts_cores_and_has_limits_of_its_own() -> None:
    inf2 = Configuration(strategy="ecs-neuron", instance_type="inf2.xlarge", tensor_parallel=2)
    assert _found(inf2) == {}
    assert _found(replace(inf2, tensor_parallel=4))["accelerators"].shortfall == 2
    assert "no Inferentia or Trainium" in _found(replace(inf2, instance_type="g5.xlarge"))
    inf1 = replace(inf2, instance_type="inf1.xlarge")
    assert "Inferentia1" in _found(inf1)["engine"].message
    assert _found(inf1, encoder=True) == {}
    assert "mla" in _found(inf2, kind="mla")["engine"].message


def test_a_type_that_the_region_or_the_catalog_does_not_have() -> None:
    assert "region" in _found(GPU, circumstances=replace(KNOWN, offered=False))
    assert "instance type" in _found(replace(GPU, instance_type="g99.large"))
    assert "instance type" in _found(replace(REALTIME, instance_type="ml.g4dn.metal"))
    one = Configuration(strategy="machine", instance_type="g5.xlarge")
    assert "region" in _found(one, circumstances=replace(KNOWN, offered=False))


def test_one_machine_is_one() -> None:
    assert _found(Configuration(strategy="machine")) == {}
    assert _found(Configuration(strategy="machine", count=3))["count"].shortfall == 3
    assert _found(Configuration(strategy="machine", max_count=2))["count"].shortfall == 2


@pytest.mark.parametrize("configuration", [ON_DEMAND, LAMBDA])
def test_bedrock_sells_tokens_of_published_models_only(configuration: Configuration) -> None:
    own = replace(KNOWN, custom_weights=True)
    assert _found(configuration, circumstances=own)["custom weights"].shortfall == math.inf
    other = Circumstances(model="EleutherAI/gpt-j-6b")
    assert "model" in _found(configuration, circumstances=other)


def test_provisioned_throughput_takes_weights_of_ones_own() -> None:
    own = replace(
        KNOWN,
        custom_weights=True,
        bedrock=BedrockAssumptions(model_unit_tokens_per_minute=10_000_000),
    )
    assert _found(PROVISIONED, circumstances=own) == {}
    assert "model" in _found(PROVISIONED, circumstances=replace(own, model="me/mine"))


def test_what_a_model_unit_does_is_not_guessed() -> None:
    assert "throughput unknown" in _found(PROVISIONED)
    few = replace(KNOWN, bedrock=BedrockAssumptions(model_unit_tokens_per_minute=100_000))
    obstacle = _found(PROVISIONED, circumstances=few)["throughput"]
    # 80 requests/s of 228.7 + 63.3 tokens are 1,401,000 tokens a minute.
    assert obstacle.shortfall == pytest.approx(7.0, abs=0.1)
    assert obstacle.relax == "Buy 15 model units"


def test_bedrocks_context_is_a_limit() -> None:
    long = replace(CHAT, prompt=Lengths(p50=1000, p99=127_900))
    assert _found(ON_DEMAND, long)["context"].shortfall == pytest.approx(1.0002, abs=1e-4)


def test_bedrocks_latency_is_the_users_figure_or_unknown() -> None:
    promised = replace(CHAT, ttft_p99=0.5)
    unknown = _found(ON_DEMAND, promised)["latency unknown"]
    assert "--assume bedrock.ttft_p99=SECONDS" in unknown.relax
    assert "pilotage prove" in unknown.relax
    slow = replace(KNOWN, bedrock=BedrockAssumptions(ttft_p99=0.8))
    assert _found(ON_DEMAND, promised, slow)["ttft_p99"].shortfall == pytest.approx(1.6)
    fast = replace(KNOWN, bedrock=BedrockAssumptions(ttft_p99=0.4))
    assert _found(ON_DEMAND, promised, fast) == {}


def test_an_end_to_end_latency_is_put_together_from_its_parts() -> None:
    promised = replace(CHAT, e2e_p99=2.0)
    parts = BedrockAssumptions(ttft_p99=0.46, tpot_p99=0.02)
    # 0.46 + 127 x 0.02 = 3.0
    obstacle = _found(ON_DEMAND, promised, replace(KNOWN, bedrock=parts))["e2e_p99"]
    assert obstacle.shortfall == pytest.approx(1.5)
    known = replace(KNOWN, bedrock=replace(parts, e2e_p99=1.9))
    assert _found(ON_DEMAND, promised, known) == {}


def test_quotas_are_the_accounts() -> None:
    tight = BedrockAssumptions(requests_per_minute=800, tokens_per_minute=10_000_000)
    obstacle = _found(ON_DEMAND, circumstances=replace(KNOWN, bedrock=tight))["quota"]
    assert obstacle.shortfall == 6
    assert obstacle.message == "the peak needs 4,800 requests a minute; your quota is 800"


def test_what_is_taken_for_granted_is_said() -> None:
    notes = notes_of(LAMBDA, CHAT, KNOWN)
    assert notes[0].startswith("the peak needs a Bedrock quota of 4,800 requests and 1,40")
    assert "pilotage prove measures it" in notes[1]
    given = BedrockAssumptions(ttft_p99=1, requests_per_minute=9999, tokens_per_minute=10**7)
    assert notes_of(LAMBDA, CHAT, replace(KNOWN, bedrock=given)) == ()
    assert notes_of(GPU, CHAT, KNOWN) == ()
    (note,) = notes_of(ASYNC, CHAT, KNOWN)
    assert note.startswith("scaled to zero")


_POSITIVE = st.floats(min_value=0.001, max_value=1e5)


@given(
    strategy=st.sampled_from(get_args(Strategy)),
    kind=st.sampled_from(["g6e.2xlarge", "inf2.xlarge", "c7i.xlarge", "g99.large", None]),
    count=st.integers(1, 100),
    parallel=st.integers(1, 64),
    rate=_POSITIVE,
    burst=st.floats(min_value=1, max_value=100),
    prompt=st.integers(1, 10**7),
    images=st.integers(0, 100),
    promise=st.none() | _POSITIVE,
    latency=st.none() | _POSITIVE,
    start=st.none() | _POSITIVE,
    parameters=st.integers(1, 10**13),
    custom=st.booleans(),
)
def test_every_obstacle_has_figures_and_is_a_real_shortfall(
    *,
    strategy: Any,
    kind: str | None,
    count: int,
    parallel: int,
    rate: float,
    burst: float,
    prompt: int,
    images: int,
    promise: float | None,
    latency: float | None,
    start: float | None,
    parameters: int,
    custom: bool,
) -> None:
    demand = Demand(
        rate=rate,
        peak=rate * burst,
        shape="spiky",
        prompt=Lengths(p50=prompt, p99=prompt * 2),
        completion=Lengths(p50=10, p99=100),
        images=images,
        image_width=1024,
        image_height=1024,
        ttft_p99=promise,
        e2e_p99=promise,
    )
    configuration = Configuration(
        strategy=strategy, instance_type=kind, count=count, tensor_parallel=parallel
    )
    circumstances = Circumstances(
        model=LLAMA, custom_weights=custom, e2e_p99_s=latency, start_s=start
    )
    for obstacle in obstacles_of(configuration, demand, model(parameters), circumstances):
        assert obstacle.shortfall > 1
        assert obstacle.message
        assert "\n" not in obstacle.message + obstacle.relax
        assert not obstacle.message.endswith(".")
