import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from pilotage.spec import (
    ArrivalsSpec,
    Deployment,
    ModelSpec,
    Portfolio,
    ServingSpec,
    SloSpec,
    TokensSpec,
    WorkloadSpec,
)


def test_everything_has_a_default() -> None:
    deployment = Deployment()
    assert deployment.model_name == "SmolLM2-135M-Instruct"
    assert (deployment.serving.host, deployment.serving.port) == ("127.0.0.1", 8000)
    assert deployment.workload is None


def test_the_ttft_target_is_the_promise_or_two_seconds() -> None:
    promised = Deployment(slo=SloSpec.model_validate({"ttft_p99": "400ms"}))
    assert Deployment().ttft_target == 2.0
    assert promised.ttft_target == 0.4
    assert promised.queue_timeout == 0.4
    patient = Deployment(serving=ServingSpec.model_validate({"queue_timeout": "1m"}))
    assert patient.queue_timeout == 60


def test_sections_are_frozen() -> None:
    with pytest.raises(ValidationError):
        Deployment().serving.port = 1  # type: ignore[misc]


def test_nothing_is_converted_silently() -> None:
    for wrong in ({"port": "8000"}, {"port": 8000.0}, {"port": True}, {"prefix_caching": "yes"}):
        with pytest.raises(ValidationError):
            ServingSpec.model_validate(wrong)


def test_peak_and_p99_hold_what_they_are_about() -> None:
    assert ArrivalsSpec(rate=5).peak == 5
    with pytest.raises(ValidationError, match="at least the rate, 20/s, got 10/s"):
        ArrivalsSpec(rate=20, peak=10)
    with pytest.raises(ValidationError, match="at least p50, 9, got 8"):
        TokensSpec(p50=9, p99=8)


def test_a_portfolio_needs_different_names() -> None:
    with pytest.raises(ValidationError, match='"a" is taken'):
        Portfolio(deployments=(Deployment(name="a"), Deployment(name="a")))
    portfolio = Portfolio(deployments=(Deployment(name="a"), Deployment(name="b")))
    assert portfolio.names == ("a", "b")


def test_one_fault_is_reported_once_not_through_derived_fields() -> None:
    with pytest.raises(ValidationError) as caught:
        WorkloadSpec.model_validate({"arrivals": {"rate": -1}})
    assert "rate" in caught.value.errors()[0]["loc"]


def test_relative_paths_start_at_the_given_folder(tmp_path: Path) -> None:
    data = {"model": {"source": "./m.gguf"}, "serving": {"api_keys": "keys.json"}}
    deployment = Deployment.model_validate(data, context={"folder": tmp_path})
    assert deployment.model.local_path == tmp_path / "m.gguf"
    assert deployment.serving.api_keys == tmp_path / "keys.json"


@settings(deadline=None, max_examples=25)
@given(
    ttft=st.floats(min_value=1e-6, max_value=1e6),
    rate=st.floats(min_value=1e-6, max_value=1e9),
    cache=st.integers(min_value=1024**2, max_value=2**50),
)
def test_json_round_trip(ttft: float, rate: float, cache: int) -> None:
    deployment = Deployment(
        model=ModelSpec(source="hf://owner/name"),
        slo=SloSpec(ttft_p99=ttft),
        workload=WorkloadSpec(arrivals=ArrivalsSpec(rate=rate)),
        serving=ServingSpec(kv_cache=cache, api_keys=Path("/keys.json")),
    )
    text = json.dumps(deployment.model_dump(mode="json"))
    assert Deployment.model_validate(json.loads(text)) == deployment


def test_json_is_readable() -> None:
    data = Deployment(serving=ServingSpec(kv_cache=24 * 1024**3)).model_dump(mode="json")
    assert data["serving"]["kv_cache"] == "24GiB"
    assert data["serving"]["request_timeout"] == "10m"


def test_addresses_of_collectors() -> None:
    assert ServingSpec(otlp_endpoint="http://collector:4318").otlp_endpoint is not None
    for wrong in ("collector:4318", "https://me:secret@collector"):
        with pytest.raises(ValidationError):
            ServingSpec(otlp_endpoint=wrong)


def test_a_deployment_with_a_path_survives_json(tmp_path: Path) -> None:
    keys = tmp_path / "keys.json"
    made = Deployment.model_validate({"serving": {"api_keys": str(keys)}})
    assert Deployment.model_validate_json(made.model_dump_json()).serving.api_keys == keys
