"""Who may speak to whom: clients to the load balancer, it to the tasks, nobody to the instances."""

from __future__ import annotations

import ipaddress
from typing import Any, Final
from urllib.parse import urlsplit

from pilotage.ship.graph import Ref, Resource
from pilotage.ship.targets.ecs.layout import Layout
from pilotage.ship.targets.ecs.names import BALANCER_GROUP, INSTANCE_GROUP, TASK_GROUP
from pilotage.ship.targets.ecs.network import Network

_TLS_PORT: Final = 443
_POSTGRES_PORT: Final = 5432
_IPV4: Final = 4
_PRIVATE: Final = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")
"""Addresses of private networks (RFC 1918)."""

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
        _group(
            TASK_GROUP,
            "Tasks: the load balancer comes in, TLS goes out",
            network,
            ingress=[],
            egress=[HTTPS_OUT, *_to_tiers(layout)],
        ),
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


def _to_tiers(layout: Layout) -> list[dict[str, Any]]:
    """Ways to tiers that listen elsewhere than on 443, and to the ledger's database."""
    routing = layout.shipment.deployment.routing
    if routing is None:
        return []
    ports: dict[tuple[int, str], str] = {}
    for tier in routing.tiers:
        for backend in tier.backends:
            if backend.url is None:
                continue
            address = urlsplit(backend.url)
            port = address.port or (443 if address.scheme == "https" else 80)
            if port != _TLS_PORT:
                ports.setdefault((port, _range(address.hostname or "")), f"Tier {tier.name}")
    if routing.ledger.url_env is not None:
        # Where the database is, the secret says; that it is in a private network is assumed.
        ports |= {(_POSTGRES_PORT, block): "The ledger's database" for block in _PRIVATE}
    return [
        {
            "IpProtocol": "tcp",
            "FromPort": port,
            "ToPort": port,
            "CidrIp": block,
            "Description": what.replace("'", ""),
        }
        for (port, block), what in ports.items()
    ]


def _range(host: str) -> str:
    """The address alone where it is one; a name may be anywhere."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return "0.0.0.0/0"
    return f"{address}/32" if address.version == _IPV4 else "0.0.0.0/0"


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
