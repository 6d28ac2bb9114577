"""KServe: which of its two resources, and with which settings."""

from dataclasses import replace
from typing import Any

import pytest
from kubernetes_manifests import by_kind, captions, finance, receipts, render, resized

from pilotage.errors import UsageError
from pilotage.ship.target import Shipment
from pilotage.ship.targets.kubernetes.kserve import runs_vllm, vllm_arguments


def with_settings(shipment: Shipment, **settings: Any) -> Shipment:
    assert shipment.plan is not None
    planned = shipment.plan.deployment.model_copy(update={"settings": settings})
    return replace(shipment, plan=shipment.plan.model_copy(update={"deployment": planned}))


def test_vllm_is_kserves_own_and_the_rest_is_our_container() -> None:
    assert runs_vllm(finance("kserve"))
    assert not runs_vllm(captions("kserve"))
    assert not runs_vllm(resized(receipts("kserve"), engine="transformers"))
    assert set(by_kind(finance("kserve"))) == {
        "ServiceAccount", "LLMInferenceService", "Kustomization",
    }  # fmt: skip
    assert "InferenceService" in by_kind(captions("kserve"))


def test_our_container_keeps_its_probes_and_its_drain() -> None:
    shipment = resized(receipts("kserve"), engine="transformers")
    found = by_kind(shipment)["InferenceService"]
    predictor = found["spec"]["predictor"]
    container = predictor["containers"][0]
    assert container["name"] == "kserve-container"
    assert container["startupProbe"]["failureThreshold"] * 10 >= shipment.sizing.grace_s
    assert predictor["terminationGracePeriodSeconds"] >= shipment.sizing.stop_s
    assert (predictor["minReplicas"], predictor["maxReplicas"]) == (2, 6)
    assert found["metadata"]["annotations"]["serving.kserve.io/deploymentMode"] == "Standard"
    metric = predictor["autoScaling"]["metrics"][0]["external"]
    assert metric["metric"]["query"].endswith(
        'count(pilotage_build_info{namespace="default",pod=~"pilotage-receipts-.*"})'
    )
    assert metric["target"] == {"type": "Value", "value": "1"}


def test_vllm_gets_the_planned_settings() -> None:
    assert vllm_arguments(finance("kserve")) == [
        "--tensor-parallel-size", "4", "--max-model-len", "8192", "--max-num-seqs", "64",
    ]  # fmt: skip
    found = by_kind(finance("kserve"))["LLMInferenceService"]["spec"]
    assert found["parallelism"] == {"tensor": 4}
    main = found["template"]["containers"][0]
    assert main["startupProbe"]["failureThreshold"] == 204
    assert found["template"]["volumes"][0]["emptyDir"]["sizeLimit"] == "16384Mi"


@pytest.mark.parametrize("word", ["64; id", "$(id)", "a b", "`id`", "'"])
def test_no_setting_becomes_a_command(word: str) -> None:
    with pytest.raises(UsageError, match="no plain word"):
        render(with_settings(finance("kserve"), kv_cache_dtype=word))


def test_zero_replicas_are_refused() -> None:
    with pytest.raises(UsageError) as refused:
        render(resized(receipts("kserve"), min_replicas=0))
    assert refused.value.where == "shipping.scaling.min"
    assert "kubernetes" in str(refused.value.hint)


def test_what_is_not_in_it_is_said() -> None:
    assert any("Pilotage's server is not in it" in note for note in render(finance("kserve")).notes)
