"""Kubernetes: a Deployment of our own, or KServe."""

from __future__ import annotations

from pilotage.errors import UsageError
from pilotage.ship.images import ImageFiles, render_image
from pilotage.ship.target import Rendered, Shipment
from pilotage.ship.targets.kubernetes.kserve import (
    check_kserve,
    inference_service,
    pod_monitor,
)
from pilotage.ship.targets.kubernetes.llm import (
    check_llm,
    llm_inference_service,
    pod_selector,
    runs_vllm,
)
from pilotage.ship.targets.kubernetes.monitoring import monitoring
from pilotage.ship.targets.kubernetes.names import Manifest, as_yaml
from pilotage.ship.targets.kubernetes.network import network_policy, service, service_account
from pilotage.ship.targets.kubernetes.placement import GPU, NEURON
from pilotage.ship.targets.kubernetes.pod import hub_secret
from pilotage.ship.targets.kubernetes.readme import readme
from pilotage.ship.targets.kubernetes.scaling import scaling
from pilotage.ship.targets.kubernetes.storage import storage
from pilotage.ship.targets.kubernetes.workload import (
    config_map,
    deployment,
    disruption_budget,
    service_monitor,
)

__all__ = ["KServeTarget", "KubernetesTarget"]


class KubernetesTarget:
    """A Deployment with everything around it; see `pilotage.ship.target.Target`."""

    def render(self, shipment: Shipment) -> Rendered:
        """Manifests, a kustomization, the image's Dockerfile.

        Raises:
            UsageError: A public load balancer that nobody in particular may reach.
        """
        kept, scaled = storage(shipment), scaling(shipment)
        watched, unwatched = monitoring(shipment)
        manifests: dict[str, tuple[Manifest, ...]] = {
            "serviceaccount": (service_account(shipment),),
            "configmap": (config_map(shipment),),
            "persistentvolumeclaim": kept.claims,
            "deployment": (deployment(shipment),),
            "service": (service(shipment),),
            "autoscaler": scaled.manifests,
            "poddisruptionbudget": (disruption_budget(shipment),),
            "networkpolicy": (network_policy(shipment),),
            "servicemonitor": (service_monitor(shipment),),
            **watched,
        }
        keda = any(one["kind"] == "ScaledObject" for one in scaled.manifests)
        needs = [
            "Kubernetes 1.30 or later (a preStop hook that sleeps)",
            *_devices(shipment),
            "prometheus-operator (ServiceMonitor, PrometheusRule)",
            "Grafana with the sidecar of its Helm chart, for the dashboard",
        ]
        if kept.kind != "node":
            needs.append("a default storage class, whose volumes are ReadWriteOnce at least")
        if keda:
            needs.append("KEDA 2.12 or later")
        elif scaled.manifests:
            needs.append("prometheus-adapter, serving our gauge as a custom metric of pods")
        notes = (kept.note, *scaled.notes, *_rollout_notes(shipment), *unwatched)
        return _rendered(
            shipment, manifests, needs, notes, (*scaled.warnings, *_warnings(shipment)), own=True
        )


class KServeTarget:
    """KServe's resources; see `pilotage.ship.target.Target`."""

    def render(self, shipment: Shipment) -> Rendered:
        """Manifests, a kustomization, and the image's Dockerfile where ours runs.

        Raises:
            UsageError: Something is asked for that KServe does not do.
        """
        check_kserve(shipment)
        if shipment.shipping.network.public:
            raise UsageError(
                "who reaches a model of KServe is for its gateway to say",
                where="shipping.network.public",
                hint="Leave it out, and publish KServe's gateway; or take the target kubernetes",
            )
        needs = [*_devices(shipment), "KEDA 2.12 or later"]
        if runs_vllm(shipment):
            check_llm(shipment)
            needs = ["KServe 0.20 or later, with LLMInferenceService", *needs]
            # KServe fetches with what the account names: a token in vLLM's container comes too
            # late.
            token = shipment.shipping.hub_token_secret_arn is not None
            manifests: dict[str, tuple[Manifest, ...]] = {
                "serviceaccount": (
                    service_account(shipment, (hub_secret(shipment),) if token else ()),
                ),
                "llminferenceservice": (llm_inference_service(shipment),),
                "poddisruptionbudget": (disruption_budget(shipment, pod_selector(shipment)),),
            }
            notes: tuple[str, ...] = (
                "LLMInferenceService: KServe runs its own vLLM, fetches the weights itself and "
                "puts its gateway and scheduler in front. Pilotage's server is not in it: neither "
                "its admission, its API keys, its limits of bodies and images nor its metrics.",
                "Its vLLM answers GET /health and /v1 below the address in its status "
                "(http://GATEWAY/NAMESPACE/NAME); `pilotage ship smoke` asks there, or at "
                "--address.",
                "scaling.keda needs a KServe that has it (on its main branch in 2026; 0.20 may "
                "not): set spec.replicas instead where it is refused.",
            )
            return _rendered(shipment, manifests, needs, notes, _warnings(shipment), own=False)
        needs = ["KServe 0.16 or later", *needs]
        watched, unwatched = monitoring(shipment)
        manifests = {
            "serviceaccount": (service_account(shipment),),
            "configmap": (config_map(shipment),),
            "persistentvolumeclaim": storage(shipment).claims,
            "inferenceservice": (inference_service(shipment),),
            "poddisruptionbudget": (disruption_budget(shipment),),
            "networkpolicy": (network_policy(shipment),),
            "podmonitor": (pod_monitor(shipment),),
            **watched,
        }
        needs += [
            "prometheus-operator (PodMonitor, PrometheusRule)",
            "Grafana with the sidecar of its Helm chart, for the dashboard",
        ]
        notes = (
            "InferenceService in Standard mode with Pilotage's own container.",
            storage(shipment).note,
            "KServe sets no progress deadline: a rollout that takes more than 10 minutes is said "
            "to have failed, and goes on all the same.",
            *unwatched,
        )
        return _rendered(shipment, manifests, needs, notes, _warnings(shipment), own=True)


def _rendered(
    shipment: Shipment,
    manifests: dict[str, tuple[Manifest, ...]],
    needs: list[str],
    notes: tuple[str, ...],
    warnings: tuple[str, ...],
    *,
    own: bool,
) -> Rendered:
    image: ImageFiles | None = render_image(shipment) if own else None
    files = {f"{name}.yaml": as_yaml(*found) for name, found in manifests.items() if found}
    kustomization: Manifest = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "namespace": shipment.shipping.namespace,
        "resources": sorted(files),
    }
    files["kustomization.yaml"] = as_yaml(kustomization)
    if image is not None:
        files |= image.files
        notes, warnings = (*notes, *image.notes), (*warnings, *image.warnings)
    files["README.md"] = readme(
        shipment, needs=needs, notes=(*notes, *warnings), image=image, own_server=own
    )
    return Rendered(files=files, notes=notes, warnings=warnings, extra={"image": image})


def _devices(shipment: Shipment) -> tuple[str, ...]:
    if shipment.sizing.gpus:
        return (f"NVIDIA's device plugin ({GPU})",)
    if shipment.sizing.neuron_devices:
        return (f"AWS's Neuron device plugin ({NEURON})",)
    return ()


def _rollout_notes(shipment: Shipment) -> tuple[str, ...]:
    if shipment.shipping.rollout == "spare":
        return (
            "Rollout spare: a new pod starts beside the old ones, which takes one more instance "
            "while it lasts.",
        )
    return ("Rollout downtime: an old pod goes before its successor starts.",)


def _warnings(shipment: Shipment) -> tuple[str, ...]:
    shipping, found = shipment.shipping, []
    if shipment.target == "kubernetes" and shipping.network.certificate_arn is None:
        found.append("Plain HTTP: the Service has no certificate; put TLS in front of it.")
    if shipping.scaling.spot_share > 0:
        found.append(
            "Spot is a preference of the scheduler, with the weight of its share: Kubernetes "
            f"guarantees no base of {shipping.scaling.on_demand_base} on-demand replicas within "
            "one Deployment."
        )
    if shipping.keys_secret_arn is not None or shipping.hub_token_secret_arn is not None:
        found.append(
            "Secrets are Kubernetes' here: copy those of AWS (README), or let External Secrets "
            "do it."
        )
    return tuple(found)
