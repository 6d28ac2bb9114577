"""KServe: which of its two resources, and with which settings."""

from dataclasses import replace
from typing import Any

import pytest
from kubernetes_manifests import by_kind, captions, finance, receipts, render, resized
from shipments import EXAMPLES

from pilotage.errors import UsageError
from pilotage.ship.target import Shipment
from pilotage.ship.targets.kubernetes.llm import runs_vllm, vllm_arguments
from pilotage.spec import load


def with_settings(shipment: Shipment, **settings: Any) -> Shipment:
    assert shipment.plan is not None
    planned = shipment.plan.deployment.model_copy(update={"settings": settings})
    return replace(shipment, plan=shipment.plan.model_copy(update={"deployment": planned}))


def test_vllm_is_kserves_own_and_the_rest_is_our_container() -> None:
    assert runs_vllm(finance("kserve"))
    assert not runs_vllm(captions("kserve"))
    assert not runs_vllm(resized(receipts("kserve"), engine="transformers"))
    assert set(by_kind(finance("kserve"))) == {
        "ServiceAccount", "LLMInferenceService", "PodDisruptionBudget", "Kustomization",
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
        'count(pilotage_build_info{namespace="default",pod=~"pilotage-receipts(-predictor)?-[a-z0-9]+-[a-z0-9]{5}"})'
    )
    assert metric["target"] == {"type": "Value", "value": "1"}


def test_vllm_gets_the_planned_settings() -> None:
    # The tensor parallel size comes from parallelism: KServe 0.20's preset makes a flag of it.
    assert vllm_arguments(finance("kserve")) == ["--max-model-len", "8192", "--max-num-seqs", "64"]
    found = by_kind(finance("kserve"))["LLMInferenceService"]["spec"]
    assert found["parallelism"] == {"tensor": 4}
    assert found["template"]["volumes"][0]["emptyDir"]["sizeLimit"] == "16384Mi"


def test_a_pipeline_of_gpus_is_none_of_tensors() -> None:
    shipment = finance("kserve")
    assert shipment.plan is not None
    planned = shipment.plan.deployment.model_copy(
        update={"tensor_parallel": 2, "pipeline_parallel": 2}
    )
    shipment = replace(shipment, plan=shipment.plan.model_copy(update={"deployment": planned}))
    found = by_kind(shipment)["LLMInferenceService"]["spec"]
    assert found["parallelism"] == {"tensor": 2}
    assert vllm_arguments(shipment)[:2] == ["--pipeline-parallel-size", "2"]


def test_probes_wait_and_leave_open_whom_they_ask() -> None:
    """KServe's preset says so: over HTTP, or HTTPS where its configuration has TLS."""
    main = by_kind(finance("kserve"))["LLMInferenceService"]["spec"]["template"]["containers"][0]
    assert main["startupProbe"] == {
        "periodSeconds": 10, "timeoutSeconds": 5, "failureThreshold": 204,
    }  # fmt: skip
    for name in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert not {"httpGet", "tcpSocket", "exec", "grpc"} & set(main[name])
        assert main[name]["timeoutSeconds"] >= 5


def test_kserve_still_finds_its_pods() -> None:
    """Its Deployment and InferencePool select app.kubernetes.io/name, which labels of ours beat."""
    kinds = by_kind(finance("kserve"))
    spec = kinds["LLMInferenceService"]["spec"]
    assert "app.kubernetes.io/name" not in spec["labels"]
    assert spec["labels"]["pilotage.dev/deployment"] == "finance"
    spread = spec["template"]["topologySpreadConstraints"]
    budget = kinds["PodDisruptionBudget"]["spec"]
    for found in (*(one["labelSelector"] for one in spread), budget["selector"]):
        assert found["matchLabels"].items() <= spec["labels"].items()
    assert budget["maxUnavailable"] == 1


def test_requests_in_flight_have_the_drain_after_the_presets_sleep() -> None:
    shipment = finance("kserve")
    spec = by_kind(resized(shipment, drain_s=300))["LLMInferenceService"]["spec"]
    # 15 s of preStop, and 5 s that KServe keeps for vLLM's clean-up.
    assert spec["template"]["terminationGracePeriodSeconds"] >= 300 + 15 + 5


def test_kserve_fetches_with_the_token_and_the_revision_that_are_named() -> None:
    shipment = finance("kserve")
    account = by_kind(shipment)["ServiceAccount"]
    assert account["secrets"] == [{"name": "pilotage-finance-hub"}]
    assert "secrets" not in by_kind(receipts("kserve"))["ServiceAccount"]
    model = shipment.deployment.model.model_copy(update={"revision": "abc123"})
    deployment = shipment.deployment.model_copy(update={"model": model})
    found = by_kind(replace(shipment, deployment=deployment))["LLMInferenceService"]["spec"]
    assert found["model"]["uri"] == f"{model.source}:abc123"


@pytest.mark.parametrize("name", ["$(id)", "a;id", "a/b", "'", "`id`"])
def test_no_model_name_becomes_a_command(name: str) -> None:
    shipment = finance("kserve")
    model = shipment.deployment.model.model_copy(update={"served_name": name})
    deployment = shipment.deployment.model_copy(update={"model": model})
    with pytest.raises(UsageError, match="no plain word"):
        render(replace(shipment, deployment=deployment))


def test_what_kserves_vllm_cannot_is_refused() -> None:
    shipment = finance("kserve")
    shipping = shipment.shipping.model_copy(update={"rollout": "downtime"})
    with pytest.raises(UsageError) as refused:
        render(replace(shipment, shipping=shipping))
    assert refused.value.where == "shipping.rollout"
    routed = load(EXAMPLES / "chatbot.yaml").routing
    deployment = shipment.deployment.model_copy(update={"routing": routed})
    with pytest.raises(UsageError) as refused:
        render(replace(shipment, deployment=deployment))
    assert refused.value.where == "routing"


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
