"""Who may speak to whom: clients to the load balancer, it to the tasks, nobody to the instances."""

from __future__ import annotations

from typing import Any

from pilotage.ship.graph import Ref, Resource
from pilotage.ship.targets.ecs.layout import Layout
from pilotage.ship.targets.ecs.names import BALANCER_GROUP, INSTANCE_GROUP, TASK_GROUP
from pilotage.ship.targets.ecs.network import Network

HTTPS_OUT = {
    "IpProtocol": "tcp",
    "FromPort": 443,
    "ToPort": 443,
    "CidrIp": "0.0.0.0/0",
    "Description": "AWS APIs, images and weights, over TLS",
}


def listening_ports(layout: Layout) -> tuple[int, ...]:
    """Ports of the load balancer; with a certificate 80 only sends clients on to 443."""
    return (443, 80) if layout.shipping.network.certificate_arn else (80,)


def security_groups(layout: Layout, network: Network) -> tuple[Resource, ...]:
    """The three groups and the rules between them."""
    port = layout.sizing.port
    return (
        _group(
            BALANCER_GROUP,
            "Load balancer: what is allowed comes in, and goes out to tasks only",
            network,
            ingress=[
                {
                    "IpProtocol": "tcp",
                    "FromPort": listening,
                    "ToPort": listening,
                    "CidrIp": client,
                    "Description": "Clients",
                }
                for client in network.clients
                for listening in listening_ports(layout)
            ],
            # A rule to nowhere: without any, a group allows everything out.
            egress=[
                {
                    "IpProtocol": "-1",
                    "CidrIp": "127.0.0.1/32",
                    "Description": "Nothing: the rule to the tasks stands by itself",
                }
            ],
            metadata=_plain_http(layout),
        ),
        _group(TASK_GROUP, "Tasks: the load balancer comes in, TLS goes out", network, ingress=[]),
        _group(INSTANCE_GROUP, "Instances: nobody comes in, TLS goes out", network, ingress=[]),
        Resource(
            name="LoadBalancerToTasks",
            type="AWS::EC2::SecurityGroupEgress",
            properties={
                "GroupId": Ref(BALANCER_GROUP),
                "IpProtocol": "tcp",
                "FromPort": port,
                "ToPort": port,
                "DestinationSecurityGroupId": Ref(TASK_GROUP),
                "Description": "Requests and health checks",
            },
        ),
        Resource(
            name="TasksFromLoadBalancer",
            type="AWS::EC2::SecurityGroupIngress",
            properties={
                "GroupId": Ref(TASK_GROUP),
                "IpProtocol": "tcp",
                "FromPort": port,
                "ToPort": port,
                "SourceSecurityGroupId": Ref(BALANCER_GROUP),
                "Description": "Requests and health checks",
            },
        ),
    )


def _group(
    name: str,
    description: str,
    network: Network,
    *,
    ingress: list[dict[str, Any]],
    egress: list[dict[str, Any]] | None = None,
    metadata: dict[str, Any] | None = None,
) -> Resource:
    properties: dict[str, Any] = {
        "GroupDescription": description,
        "VpcId": network.vpc,
        "SecurityGroupEgress": [HTTPS_OUT] if egress is None else egress,
    }
    if ingress:
        properties["SecurityGroupIngress"] = ingress
    return Resource(
        name=name,
        type="AWS::EC2::SecurityGroup",
        properties=properties,
        metadata=metadata or {},
    )


def _plain_http(layout: Layout) -> dict[str, Any]:
    if "0.0.0.0/0" not in layout.shipping.network.allowed_cidrs:
        return {}
    return {
        "checkov": {
            "skip": [
                {
                    "id": "CKV_AWS_260",
                    "comment": "The spec lets the whole internet in, which is said aloud; with a "
                    "certificate port 80 only sends clients on to HTTPS.",
                }
            ]
        }
    }
