"""Whole renders: goldens, Kubernetes' own schemas, the CRDs', and kustomize."""

import json
import shutil
import subprocess
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml
from crd_schemas import SCHEMAS
from goldens import check_golden
from kubernetes_manifests import captions, finance, flat, objects, receipts, render, resized

from pilotage.ship.rules import check_rules
from pilotage.ship.target import Rendered
from pilotage.spec import Deployment, parse

SHIPMENTS = {
    "kubernetes-receipts": receipts(),
    "kubernetes-finance": finance(),
    "kubernetes-captions": captions(),
    "kserve-receipts": receipts("kserve"),
    "kserve-finance": finance("kserve"),
}
OTHERS = {
    "zero": resized(receipts(scaling={"min": 0}), min_replicas=0),
    "downtime": resized(
        receipts(rollout="downtime"), min_replicas=1, max_replicas=1, desired=1,
        instance_store=False,
    ),
    "tokens": receipts(scaling={"metric": "tokens_in_flight"}),
    "gpu": receipts(scaling={"metric": "gpu"}),
    "requests": receipts(scaling={"metric": "requests"}),
    "none": receipts(scaling={"metric": "none"}),
    "cpu": resized(receipts(), gpus=0, engine="openvino", instance_type="c7i.4xlarge"),
    "kserve-captions": captions("kserve"),
    "kserve-none": receipts("kserve", scaling={"metric": "none"}),
    "kserve-cpu": resized(receipts("kserve"), gpus=0, engine="openvino"),
}  # fmt: skip
VERSIONS = ("1.30", "1.37")


@cache
def rendered(name: str) -> Rendered:
    return render((SHIPMENTS | OTHERS)[name])


def as_pod(spec: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "one"}, "spec": spec}


def embedded_pods(one: dict[str, Any]) -> list[dict[str, Any]]:
    """Pods inside of KServe's resources, with their own fields alone."""
    if one["kind"] == "InferenceService":
        own = ("minReplicas", "maxReplicas", "timeout", "labels", "deploymentStrategy")
        predictor = one["spec"]["predictor"]
        spec = {key: value for key, value in predictor.items() if key not in (*own, "autoScaling")}
        return [as_pod(spec)]
    if one["kind"] == "LLMInferenceService":
        return [as_pod(one["spec"]["template"])]
    return []


@pytest.mark.parametrize("name", SHIPMENTS)
def test_renders_are_as_kept(name: str) -> None:
    check_golden(name, flat(rendered(name).files))


@pytest.mark.parametrize("name", SHIPMENTS | OTHERS)
def test_every_manifest_keeps_its_schema(name: str) -> None:
    checked = 0
    for one in objects(rendered(name).files):
        schema = SCHEMAS.get((one["apiVersion"], one["kind"]))
        core = [one, *embedded_pods(one)] if schema is None else embedded_pods(one)
        for version in VERSIONS if name in SHIPMENTS else VERSIONS[:1]:
            for manifest in core:
                kubernetes_validate.validate(manifest, version, strict=True)
        if schema is not None:
            jsonschema.validate(one, schema)
        checked += 1
    assert checked >= 3


@pytest.mark.parametrize("name", SHIPMENTS | OTHERS)
def test_references_between_objects_meet(name: str) -> None:
    found = objects(rendered(name).files)
    made = {(one["kind"], one["metadata"]["name"]) for one in found if "metadata" in one}
    text = json.dumps(found)
    for one in found:
        spec = one.get("spec", {})
        pod = spec.get("template", {}).get("spec") or spec.get("template") or spec.get("predictor")
        if pod is None:
            continue
        assert ("ServiceAccount", pod["serviceAccountName"]) in made
        for volume in pod.get("volumes", ()):
            if "configMap" in volume:
                assert ("ConfigMap", volume["configMap"]["name"]) in made
            if "persistentVolumeClaim" in volume:
                name = volume["persistentVolumeClaim"]["claimName"]
                assert ("PersistentVolumeClaim", name) in made
        mounted = {
            mount["name"]
            for container in (*pod["containers"], *pod.get("initContainers", ()))
            for mount in container.get("volumeMounts", ())
        }
        assert mounted == {volume["name"] for volume in pod.get("volumes", ())}
    assert '"kind": "Secret"' not in text


@pytest.mark.parametrize("name", SHIPMENTS | OTHERS)
def test_no_rule_is_broken(name: str) -> None:
    assert check_rules(rendered(name), (SHIPMENTS | OTHERS)[name]) == []


def test_a_misspelt_field_would_be_found() -> None:
    deployment = next(
        one for one in objects(render(receipts()).files) if one["kind"] == "Deployment"
    )
    deployment["spec"]["template"]["spec"]["terminationGracePeriod"] = 30
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(deployment, "1.37", strict=True)


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")
@pytest.mark.parametrize("name", ["kubernetes-receipts", "kserve-finance"])
def test_kustomize_builds_it(name: str, tmp_path: Path) -> None:
    files = rendered(name).files
    for path, text in files.items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(text)
    built = subprocess.run(
        ["kubectl", "kustomize", str(tmp_path)], capture_output=True, text=True, check=True
    )
    made = [one for one in objects(files) if one["kind"] != "Kustomization"]
    kinds = sorted(one["kind"] for one in yaml.safe_load_all(built.stdout))
    assert kinds == sorted(one["kind"] for one in made)
    assert built.stderr == ""


def test_the_spec_in_the_config_map_is_the_spec() -> None:
    one = next(one for one in objects(render(receipts()).files) if one["kind"] == "ConfigMap")
    found = parse(one["data"]["spec.yaml"], "spec.yaml")
    assert isinstance(found, Deployment)
    assert found.model == receipts().deployment.model


def test_a_long_name_still_fits_a_label() -> None:
    shipment = receipts()
    long = shipment.deployment.model_copy(update={"name": "a" * 62 + "b"})
    for one in objects(render(replace(shipment, deployment=long)).files):
        if one["kind"] != "Kustomization":
            assert len(one["metadata"]["name"]) <= 63
            check_core(one)


def check_core(one: dict[str, Any]) -> None:
    if (one["apiVersion"], one["kind"]) not in SCHEMAS:
        kubernetes_validate.validate(one, "1.37", strict=True)


def test_the_page_tells_how() -> None:
    page = render(receipts()).files["README.md"]
    assert "kubectl apply -k ." in page
    assert "create secret generic pilotage-receipts-keys --from-file=keys.json" in page
    assert "docker build" in page
    assert "kubectl delete -k ." in page
