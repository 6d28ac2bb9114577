"""The lifecycle of Kubernetes manifests, through the ``kubectl`` that is there."""

from pilotage.ship.lifecycle.kubernetes.kubectl import MANAGER
from pilotage.ship.lifecycle.kubernetes.lifecycle import KubernetesLifecycle
from pilotage.ship.lifecycle.kubernetes.objects import LABEL

__all__ = ["LABEL", "MANAGER", "KubernetesLifecycle"]
