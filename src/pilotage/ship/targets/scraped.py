"""Where Prometheus can read a deployment's ``/metrics``, and under which labels."""

from __future__ import annotations

from pilotage.errors import UsageError
from pilotage.ship.monitoring import Scrape
from pilotage.ship.target import Shipment
from pilotage.ship.targets.kubernetes.llm import runs_vllm
from pilotage.ship.targets.kubernetes.monitoring import scrape_of_pods


def scrape_of(shipment: Shipment) -> Scrape:
    """The labels of the deployment's series.

    On Kubernetes they come from what is rendered; elsewhere the job's name is for who configures
    Prometheus, and is the deployment's name with ours before it.

    Raises:
        UsageError: Nobody can read our metrics there; says who watches it instead.
    """
    if shipment.target.startswith(("sagemaker", "lambda", "bedrock")):
        raise UsageError(
            f"nobody can read /metrics behind {shipment.target}",
            where="--target",
            hint="CloudWatch has its metrics, and the rendered template its alarms"
            if shipment.target != "bedrock-provisioned"
            else "CloudWatch has the model units' metrics; for a gateway of yours in front of "
            "them take --target local",
        )
    if shipment.target == "kserve" and runs_vllm(shipment):
        raise UsageError(
            "KServe's own vLLM answers, without Pilotage's metrics",
            where="--target",
            hint="Take the target kubernetes, or watch vLLM's metrics as KServe's docs say",
        )
    if shipment.target in ("kubernetes", "kserve"):
        return scrape_of_pods(shipment)
    return Scrape(job=shipment.name)
