"""The load balancer: HTTPS where there is a certificate, and patience for slow answers."""

from __future__ import annotations

import math
from typing import Final

from pilotage.ship.graph import Ref, Resource
from pilotage.ship.targets.ecs.layout import Layout
from pilotage.ship.targets.ecs.names import (
    BALANCER_GROUP,
    LISTENER,
    LOAD_BALANCER,
    TARGET_GROUP,
)
from pilotage.ship.targets.ecs.network import Network

TLS_POLICY: Final = "ELBSecurityPolicy-TLS13-1-2-2021-06"
LONGEST_IDLE_S: Final = 4000
"""Most seconds that an application load balancer waits for a byte (ELB attributes)."""
LONGEST_DEREGISTRATION_S: Final = 3600

_NO_ACCESS_LOGS = {
    "id": "CKV_AWS_91",
    "comment": "The server writes one line a request, with status, tokens and latency, to the log "
    "group of this stack; a bucket would tell less and stay behind.",
}
_NO_CERTIFICATE = "The spec names no certificate; plain HTTP is said aloud in every render."


def load_balancer(layout: Layout, network: Network) -> tuple[Resource, ...]:
    """Load balancer, target group and listeners."""
    given = layout.shipping.network
    return (
        Resource(
            name=LOAD_BALANCER,
            type="AWS::ElasticLoadBalancingV2::LoadBalancer",
            properties={
                "Type": "application",
                "Scheme": "internet-facing" if given.public else "internal",
                "Subnets": list(network.balancer_subnets),
                "SecurityGroups": [Ref(BALANCER_GROUP)],
                "LoadBalancerAttributes": _attributes(
                    {
                        # A completion that is not streamed sends nothing until it is whole; the
                        # default of 60 s would cut it.
                        "idle_timeout.timeout_seconds": _idle_s(layout),
                        "routing.http.drop_invalid_header_fields.enabled": "true",
                        "routing.http.desync_mitigation_mode": "strictest",
                    }
                ),
            },
            # The internet's way in has to be there before it, and after it.
            depends_on=("PublicRoute",) if given.vpc_id is None and given.public else (),
            metadata={"checkov": {"skip": [_NO_ACCESS_LOGS]}},
        ),
        _target_group(layout, network),
        *_listeners(given.certificate_arn),
    )


def _target_group(layout: Layout, network: Network) -> Resource:
    sizing = layout.sizing
    deregistration = min(LONGEST_DEREGISTRATION_S, sizing.drain_s)
    return Resource(
        name=TARGET_GROUP,
        type="AWS::ElasticLoadBalancingV2::TargetGroup",
        properties={
            "TargetType": "ip",
            "VpcId": network.vpc,
            "Protocol": "HTTP",
            "Port": sizing.port,
            "HealthCheckPath": sizing.health_path,
            "HealthCheckIntervalSeconds": 15,
            "HealthCheckTimeoutSeconds": 10,
            "HealthyThresholdCount": 2,
            "UnhealthyThresholdCount": 4,
            "Matcher": {"HttpCode": "200"},
            "TargetGroupAttributes": _attributes(
                {
                    "deregistration_delay.timeout_seconds": deregistration,
                    # Requests differ a thousandfold in work: turns would pile them up on whoever
                    # drew the long ones. It rules out slow start, which a replica does not need
                    # that is ready only after it has warmed up.
                    "load_balancing.algorithm.type": "least_outstanding_requests",
                    "stickiness.enabled": "false",
                }
            ),
        },
    )


def _listeners(certificate: str | None) -> tuple[Resource, ...]:
    forward = {"Type": "forward", "TargetGroupArn": Ref(TARGET_GROUP)}
    if certificate is None:
        return (
            Resource(
                name=LISTENER,
                type="AWS::ElasticLoadBalancingV2::Listener",
                properties={
                    "LoadBalancerArn": Ref(LOAD_BALANCER),
                    "Port": 80,
                    "Protocol": "HTTP",
                    "DefaultActions": [forward],
                },
                metadata={
                    "checkov": {
                        "skip": [
                            {"id": "CKV_AWS_2", "comment": _NO_CERTIFICATE},
                            {"id": "CKV_AWS_103", "comment": _NO_CERTIFICATE},
                        ]
                    }
                },
            ),
        )
    return (
        Resource(
            name=LISTENER,
            type="AWS::ElasticLoadBalancingV2::Listener",
            properties={
                "LoadBalancerArn": Ref(LOAD_BALANCER),
                "Port": 443,
                "Protocol": "HTTPS",
                "SslPolicy": TLS_POLICY,
                "Certificates": [{"CertificateArn": certificate}],
                "DefaultActions": [forward],
            },
        ),
        Resource(
            name="RedirectListener",
            type="AWS::ElasticLoadBalancingV2::Listener",
            properties={
                "LoadBalancerArn": Ref(LOAD_BALANCER),
                "Port": 80,
                "Protocol": "HTTP",
                "DefaultActions": [
                    {
                        "Type": "redirect",
                        "RedirectConfig": {
                            "Protocol": "HTTPS",
                            "Port": "443",
                            "StatusCode": "HTTP_301",
                        },
                    }
                ],
            },
        ),
    )


def _idle_s(layout: Layout) -> int:
    timeout = layout.shipment.deployment.serving.request_timeout
    return min(LONGEST_IDLE_S, math.ceil(timeout) + 5)


def _attributes(values: dict[str, str | int]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": str(value)} for key, value in values.items()]
