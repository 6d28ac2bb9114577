"""The deployment on SageMaker: real-time, async, and down to zero."""

from __future__ import annotations

from typing import Final

from pilotage.ship.cloudformation import template
from pilotage.ship.graph import Attribute, Graph, Ref, Resource
from pilotage.ship.images import render_image
from pilotage.ship.target import Rendered, Shipment
from pilotage.ship.targets.aws_parts import bill_limit, checked_name, log_group
from pilotage.ship.targets.sagemaker import names
from pilotage.ship.targets.sagemaker.access import execution_role, security_group
from pilotage.ship.targets.sagemaker.alarms import alarm_resources, spend_budget
from pilotage.ship.targets.sagemaker.answers import answer_resources
from pilotage.ship.targets.sagemaker.config import (
    by_components,
    endpoint_config,
    has_own_disks,
    instance_type,
    volume_key,
)
from pilotage.ship.targets.sagemaker.endpoint import component, endpoint
from pilotage.ship.targets.sagemaker.image import Image, image_of
from pilotage.ship.targets.sagemaker.model import model
from pilotage.ship.targets.sagemaker.readme import readme
from pilotage.ship.targets.sagemaker.scaling import scaling_resources
from pilotage.ship.targets.sagemaker.startup import Startup, startup_of
from pilotage.units import format_size

BODY_BYTES: Final = 6_291_456
"""Largest body of InvokeEndpoint (SageMaker API reference)."""

ASYNC_BODY_BYTES: Final = 1 << 30
"""Largest request of an async endpoint."""


class SageMakerTarget:
    """Amazon SageMaker endpoints; the shipment says whether real-time or async."""

    def render(self, shipment: Shipment) -> Rendered:
        """Template and README of the endpoint.

        Raises:
            UsageError: SageMaker cannot run it; says which field, which limit, and the fix.
        """
        checked_name(shipment, names.LONGEST_NAME, "the endpoint")
        instance_type(shipment)
        image = image_of(shipment)
        startup = startup_of(shipment.sizing, downloaded=shipment.shipping.weights_uri is not None)
        graph = _graph(shipment, image, startup)
        built = render_image(shipment)
        notes = (*_notes(shipment, image), *startup.notes)
        if built is not None:
            notes = (*notes, *built.notes)
        return Rendered(
            files={
                "template.yaml": template(graph),
                **(built.files if built is not None else {}),
                "README.md": readme(shipment, image, notes, built),
            },
            graph=graph,
            notes=notes,
            warnings=built.warnings if built is not None else (),
        )


def log_path(shipment: Shipment) -> str:
    """Where SageMaker writes the containers' lines."""
    kind = "InferenceComponents" if by_components(shipment) else "Endpoints"
    return f"/aws/sagemaker/{kind}/{shipment.name}"


def _graph(shipment: Shipment, image: Image, startup: Startup) -> Graph:
    alarms, rollback = alarm_resources(shipment)
    budget = spend_budget(shipment)
    resources: list[Resource] = [log_group(names.LOGS, log_path(shipment), shipment)]
    if shipment.target == "sagemaker-async":
        resources += answer_resources(shipment)
    if shipment.shipping.network.subnets:
        resources.append(security_group(shipment))
    resources.append(execution_role(shipment, image, log_path(shipment)))
    resources.append(model(shipment, image))
    if not has_own_disks(shipment):
        resources.append(volume_key(shipment))
    resources += [endpoint_config(shipment, startup), *alarms]
    resources.append(endpoint(shipment, startup, rollback))
    if by_components(shipment):
        resources.append(component(shipment, startup, rollback))
    resources += scaling_resources(shipment)
    if budget is not None:
        resources.append(budget)
    outputs: dict[str, object] = {
        "EndpointName": Attribute(names.ENDPOINT, "EndpointName"),
        "LogGroup": Ref(names.LOGS),
    }
    if by_components(shipment):
        outputs["InferenceComponentName"] = shipment.name
    if shipment.target == "sagemaker-async":
        outputs["Bucket"] = Ref(names.OUTPUTS)
    return Graph(
        name=shipment.name,
        description=f"{shipment.deployment.name} on SageMaker, by Pilotage",
        parameters=image.parameters,
        resources=tuple(resources),
        outputs=outputs,
    )


def _notes(shipment: Shipment, image: Image) -> tuple[str, ...]:
    sizing, shipping = shipment.sizing, shipment.shipping
    found: list[str] = []
    largest = ASYNC_BODY_BYTES if shipment.target == "sagemaker-async" else BODY_BYTES
    if shipment.deployment.serving.max_body > largest:
        found.append(
            f"SageMaker refuses requests above {largest:,} bytes before they reach the container: "
            f"serving.max_body of {format_size(shipment.deployment.serving.max_body)} is not "
            "reached."
        )
    if by_components(shipment):
        found.append(
            "At zero the endpoint costs nothing and answers nothing: requests fail until the "
            f"first copy is up, instance, image and about {sizing.fetch_s + sizing.load_s:,.0f} s "
            "for the weights later. Clients have to try again; sagemaker-async keeps requests "
            "instead."
        )
    if shipment.target == "sagemaker-async":
        found.append(
            "Async: a request is an object in S3 of at most 1 GB, takes at most 3600 s, and its "
            "answer is another object. Nothing is streamed."
        )
    if shipping.rollout == "downtime":
        found.append(
            "SageMaker has no update without spare capacity: "
            + (
                "half of the fleet is replaced at a time."
                if sizing.desired >= 2
                else "with one instance a second one is started."
            )
        )
    else:
        found.append(
            f"An update starts {max(1, sizing.desired)} new instance(s) beside the old: the quota "
            "of the type has to hold both."
        )
    if shipment.deployment.slo.e2e_p99 is None and shipment.target == "sagemaker":
        found.append("No alarm on latency: the spec promises none (slo.e2e_p99).")
    if bill_limit(shipment) is None or shipping.alarms.topic_arn is None:
        found.append(
            "No alarm on spend: give shipping.alarms.topic_arn, and usd_per_day or a plan with a "
            "predicted cost."
        )
    else:
        found.append(
            'Spend is counted by the tag "pilotage:deployment", which has to be activated once as '
            "a cost allocation tag of the account; AWS Budgets is hours late."
        )
    if shipment.deployment.slo.ttft_p99 is not None:
        found.append(
            "SageMaker measures no time to first token: the promised one is measured by "
            "pilotage prove, not by an alarm."
        )
    if image.vllm:
        found.append(
            "The image is AWS's vLLM: requests are vLLM's, without Pilotage's admission control, "
            "keys and metrics."
        )
    return tuple(found)
