"""The ECS target: a shipment as a stack."""

from __future__ import annotations

import json

from pilotage.ship.cloudformation import template
from pilotage.ship.graph import Attribute, Graph, Join, Ref
from pilotage.ship.images import render_image
from pilotage.ship.target import Rendered, Shipment
from pilotage.ship.targets.ecs.alarms import alarms
from pilotage.ship.targets.ecs.cluster import capacity, cluster
from pilotage.ship.targets.ecs.image import NO_DIGEST, image
from pilotage.ship.targets.ecs.layout import Layout, layout
from pilotage.ship.targets.ecs.load_balancer import load_balancer
from pilotage.ship.targets.ecs.machines import ami_parameter, machines
from pilotage.ship.targets.ecs.measurements import metric_filters
from pilotage.ship.targets.ecs.names import (
    ALLOWED_CIDR,
    CAPACITY_PROVIDER,
    CLUSTER,
    DESIRED_COUNT,
    IMAGE_DIGEST,
    KEYS_SECRET,
    LOAD_BALANCER,
    LOGS,
    SCALING_GROUP,
    SERVICE,
    TARGET_GROUP,
    TASK_DEFINITION,
    ZONE_A,
    ZONE_B,
)
from pilotage.ship.targets.ecs.network import Network, network
from pilotage.ship.targets.ecs.prerequisites import prerequisites
from pilotage.ship.targets.ecs.review import notes, readme, warnings
from pilotage.ship.targets.ecs.roles import roles
from pilotage.ship.targets.ecs.scaling import scaling
from pilotage.ship.targets.ecs.secrets import no_secret, secrets
from pilotage.ship.targets.ecs.security_groups import security_groups
from pilotage.ship.targets.ecs.service import desired_count, service
from pilotage.ship.targets.ecs.spend import budget
from pilotage.ship.targets.ecs.tagging import tagged
from pilotage.ship.targets.ecs.task import task


class EcsTarget:
    """ECS on EC2, one CloudFormation stack, and one before it for image and keys."""

    def render(self, shipment: Shipment) -> Rendered:
        """The stack's template, its parameters, and what a reviewer should know.

        ``extra`` holds "prerequisites", the graph of the stack that comes first (None where the
        spec names image and keys); "placeholders": parameters whose default stands for what that
        stack and the push of the image tell, without which `apply` must not go on; and "lookups":
        names of parameters that `apply` asks AWS for (zones that offer the machine, the range of a
        given VPC, the present number of tasks).

        Raises:
            UsageError: ECS cannot run it; says which field, which limit, and the fix.
        """
        planned = layout(shipment)
        placed = network(planned)
        graph = _graph(planned, placed)
        before = prerequisites(planned)
        built = render_image(shipment)
        files = {
            "template.yaml": template(graph),
            "parameters.json": _parameters(graph),
        }
        if before is not None:
            files["prerequisites.yaml"] = template(before)
        said, known = warnings(planned), notes(planned, placed)
        if built is not None:
            files |= built.files
            said, known = (*said, *built.warnings), (*known, *built.notes)
        files["README.md"] = readme(planned, graph, known, said, built)
        return Rendered(
            files=files,
            graph=graph,
            notes=known,
            warnings=said,
            extra={
                "prerequisites": before,
                "placeholders": _placeholders(planned, graph),
                "lookups": tuple(
                    one.name
                    for one in graph.parameters
                    if one.name in (ZONE_A, ZONE_B, ALLOWED_CIDR, DESIRED_COUNT)
                ),
            },
        )


def _graph(layout: Layout, placed: Network) -> Graph:
    used = image(layout)
    hidden = secrets(layout)
    resources = (
        *placed.resources,
        *security_groups(layout, placed),
        *load_balancer(layout, placed),
        *cluster(layout),
        *roles(layout, used, hidden),
        *machines(layout, placed),
        *capacity(layout),
        task(layout, used, hidden),
        service(layout, placed),
        *metric_filters(layout),
        *scaling(layout),
        *alarms(layout),
        *budget(layout),
    )
    return Graph(
        name=layout.name,
        description=f"Pilotage deployment {layout.deployment} on ECS, {layout.instance.name}",
        parameters=(
            *placed.parameters,
            ami_parameter(layout),
            *used.parameters,
            *hidden.parameters,
            desired_count(layout),
        ),
        resources=tuple(tagged(one, layout.shipment.tags) for one in resources),
        outputs=_outputs(layout),
    )


def _outputs(layout: Layout) -> dict[str, object]:
    scheme = "https://" if layout.shipping.network.certificate_arn else "http://"
    return {
        "Url": Join((scheme, Attribute(LOAD_BALANCER, "DNSName"))),
        "ClusterName": Ref(CLUSTER),
        "ServiceName": Attribute(SERVICE, "Name"),
        "ServiceArn": Ref(SERVICE),
        "CapacityProviderName": Ref(CAPACITY_PROVIDER),
        "AutoScalingGroupName": Ref(SCALING_GROUP),
        "TargetGroupArn": Ref(TARGET_GROUP),
        "TaskDefinitionArn": Ref(TASK_DEFINITION),
        "LogGroupName": Ref(LOGS),
    }


def _parameters(graph: Graph) -> str:
    """The parameters as ``aws cloudformation --parameters file://`` reads them."""
    return (
        json.dumps(
            [{"ParameterKey": one.name, "ParameterValue": one.default} for one in graph.parameters],
            indent=2,
        )
        + "\n"
    )


def _placeholders(layout: Layout, graph: Graph) -> dict[str, str]:
    stand_ins = {IMAGE_DIGEST: NO_DIGEST, KEYS_SECRET: no_secret(layout)}
    return {
        one.name: one.default
        for one in graph.parameters
        if one.name in stand_ins and one.default == stand_ins[one.name]
    }
