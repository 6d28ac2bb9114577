"""The page that lies beside the manifests: what must be there first, what to run, what to know."""

from __future__ import annotations

from collections.abc import Sequence

from pilotage.ship.images import ImageFiles
from pilotage.ship.target import Shipment
from pilotage.ship.targets.kubernetes.names import ACCESS_LABEL
from pilotage.ship.targets.kubernetes.pod import hub_secret, keys_secret
from pilotage.ship.targets.kubernetes.workload import metrics_secret


def readme(
    shipment: Shipment,
    *,
    needs: Sequence[str],
    notes: Sequence[str],
    image: ImageFiles | None,
    own_server: bool,
) -> str:
    """The page, Markdown.

    Args:
        shipment: What is shipped.
        needs: What the cluster must have.
        notes: For the reviewer.
        image: What is built; None where it exists.
        own_server: Whether Pilotage's server answers, with its keys.
    """
    namespace = shipment.shipping.namespace
    secrets = [
        f"kubectl -n {namespace} create secret generic {keys_secret(shipment)} "
        "--from-file=keys.json",
        f"kubectl -n {namespace} create secret generic {metrics_secret(shipment)} "
        '--from-literal=key="$METRICS_KEY"',
    ]
    token = (
        f"kubectl -n {namespace} create secret generic {hub_secret(shipment)} "
        '--from-literal=HF_TOKEN="$HF_TOKEN"'
    )
    steps = [
        *(image.commands if image else ()),
        *(secrets if own_server else ()),
        *([token] if shipment.shipping.hub_token_secret_arn else ()),
        "kubectl diff -k . || true",
        "kubectl apply -k .",
    ]
    block = "\n".join(steps)
    return f"""\
# {shipment.deployment.name} on Kubernetes

Rendered by `pilotage ship render --target {shipment.target}` for the namespace `{namespace}`, which
must exist. Everything here carries the label `pilotage.dev/deployment={shipment.deployment.name}`.

## Needs

{_list(needs)}

## Apply

```sh
{block}
```

## Take away

```sh
kubectl delete -k .
```

Secrets are yours: they were not made here, and stay.

## Know

{_list((*notes, *_identity(shipment), *_access(shipment)))}

## Numbers

{_list(shipment.sizing.notes or ("None were given.",))}
"""


def _identity(shipment: Shipment) -> tuple[str, ...]:
    source = shipment.shipping.weights_uri or shipment.deployment.model.source
    if not source.startswith("s3://"):
        return ()
    return (
        f"Weights come from {source}: give the service account a role that may read them, by EKS "
        "Pod Identity (`aws eks create-pod-identity-association`) or IRSA (the annotation "
        "`eks.amazonaws.com/role-arn`). The node's role is out of the pods' reach.",
    )


def _access(shipment: Shipment) -> tuple[str, ...]:
    if shipment.shipping.network.public:
        return (
            "The NetworkPolicy leaves the server's port open, as the load balancer's addresses are "
            "not known: its security group holds the networks that may come "
            "(loadBalancerSourceRanges).",
        )
    return (
        "The NetworkPolicy lets in pods of the namespace, and of namespaces labelled "
        f"`{ACCESS_LABEL}=true` (label those of your ingress and of Prometheus); it needs a "
        "network plugin that keeps policies.",
    )


def _list(lines: Sequence[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)
