"""Who reaches the model: a Service, and a policy that is closed but for what is named."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import urlsplit

from pilotage.errors import UsageError
from pilotage.ship.target import Shipment
from pilotage.ship.targets.kubernetes.names import ACCESS_LABEL, Manifest, manifest, selector

_HTTPS: Final = 443
_DNS: Final = 53
_POD_IDENTITY: Final = "169.254.170.23/32"
"""EKS's Pod Identity agent, on each node; it answers over plain HTTP (EKS User Guide)."""
_AWS: Final = "service.beta.kubernetes.io/aws-load-balancer"


def service_account(shipment: Shipment, secrets: Sequence[str] = ()) -> Manifest:
    """The identity of the pods, which Kubernetes' own API knows nothing to do with.

    Args:
        shipment: What is shipped.
        secrets: Names of Secrets that KServe's fetch may read, the hub's token among them.
    """
    listed: dict[str, Any] = {"secrets": [{"name": name} for name in secrets]} if secrets else {}
    return manifest(shipment, "v1", "ServiceAccount", automountServiceAccountToken=False, **listed)


def service(shipment: Shipment) -> Manifest:
    """The address: within the cluster, or a load balancer of AWS where the spec says public.

    Raises:
        UsageError: It is public and nobody in particular may reach it.
    """
    network = shipment.shipping.network
    port: dict[str, Any] = {"name": "http", "port": 80, "targetPort": "http", "protocol": "TCP"}
    if not network.public:
        spec = {"type": "ClusterIP", "selector": selector(shipment), "ports": [port]}
        return manifest(shipment, "v1", "Service", spec=spec)
    if not network.allowed_cidrs:
        raise UsageError(
            "a public load balancer needs to know who may reach it",
            where="shipping.network.allowed_cidrs",
            hint='Name the networks, such as [203.0.113.0/24]; ["0.0.0.0/0"] is everybody',
        )
    annotations = {
        f"{_AWS}-type": "external",
        f"{_AWS}-nlb-target-type": "ip",
        f"{_AWS}-scheme": "internet-facing",
        f"{_AWS}-healthcheck-protocol": "http",
        f"{_AWS}-healthcheck-path": shipment.sizing.health_path,
        f"{_AWS}-healthcheck-port": str(shipment.sizing.port),
    }
    if network.certificate_arn is not None:
        annotations |= {
            f"{_AWS}-ssl-cert": network.certificate_arn,
            f"{_AWS}-ssl-ports": str(_HTTPS),
        }
        port = {**port, "name": "https", "port": _HTTPS}
    return manifest(
        shipment,
        "v1",
        "Service",
        annotations=annotations,
        spec={
            "type": "LoadBalancer",
            "loadBalancerSourceRanges": list(network.allowed_cidrs),
            "selector": selector(shipment),
            "ports": [port],
        },
    )


def network_policy(shipment: Shipment) -> Manifest:
    """In: the namespace itself, namespaces labelled for it, the named networks. Out: DNS, HTTPS.

    Weights in S3 take an identity: that of the service account, over HTTPS or from EKS's agent on
    the node. The node's own (169.254.169.254) stays shut.

    Behind a public load balancer requests and health checks come from its own addresses, which
    nobody knows beforehand: there its security group alone holds who may come.
    """
    network = shipment.shipping.network
    sources: list[dict[str, Any]] = [
        {"podSelector": {}},
        {"namespaceSelector": {"matchLabels": {ACCESS_LABEL: "true"}}},
        *({"ipBlock": {"cidr": cidr}} for cidr in network.allowed_cidrs),
    ]
    outward: list[dict[str, Any]] = [{"port": _HTTPS, "protocol": "TCP"}]
    collector = urlsplit(shipment.deployment.serving.otlp_endpoint or "").port
    if collector not in (None, _HTTPS):
        outward.append({"port": collector, "protocol": "TCP"})
    source = shipment.shipping.weights_uri or shipment.deployment.model.source
    identity: list[dict[str, Any]] = []
    if source.startswith("s3://"):
        agent = {"ipBlock": {"cidr": _POD_IDENTITY}}
        identity.append({"to": [agent], "ports": [{"port": 80, "protocol": "TCP"}]})
    return manifest(
        shipment,
        "networking.k8s.io/v1",
        "NetworkPolicy",
        spec={
            "podSelector": {"matchLabels": selector(shipment)},
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [
                {
                    **({} if network.public else {"from": sources}),
                    "ports": [{"port": shipment.sizing.port, "protocol": "TCP"}],
                }
            ],
            "egress": [
                {"ports": [{"port": _DNS, "protocol": kind} for kind in ("UDP", "TCP")]},
                {"ports": outward},
                *identity,
            ],
        },
    )
