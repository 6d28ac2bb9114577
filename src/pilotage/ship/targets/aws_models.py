"""Which resources a tier's models are, for IAM: exactly those, in every region they may run in.

A cross-region inference profile is two kinds of resources at once: the profile, in the caller's
region and account, and the model behind it in every region that the profile sends requests to
(Bedrock user guide, inference-profiles-prereq, 2026-11-22). A policy with the profile alone is
refused at the first request that goes elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from pilotage.errors import UsageError
from pilotage.ship.graph import Join, Ref
from pilotage.ship.target import Shipment
from pilotage.ship.targets.aws_parts import allow
from pilotage.spec.tiers import BackendSpec

REGIONS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "us": ("us-east-1", "us-east-2", "us-west-1", "us-west-2"),
        "us-gov": ("us-gov-east-1", "us-gov-west-1"),
        "eu": (
            "eu-central-1",
            "eu-central-2",
            "eu-north-1",
            "eu-south-1",
            "eu-south-2",
            "eu-west-1",
            "eu-west-2",
            "eu-west-3",
        ),
        "apac": (
            "ap-east-2",
            "ap-northeast-1",
            "ap-northeast-2",
            "ap-northeast-3",
            "ap-south-1",
            "ap-south-2",
            "ap-southeast-1",
            "ap-southeast-2",
            "ap-southeast-3",
            "ap-southeast-4",
            "ap-southeast-5",
            "ap-southeast-7",
        ),
        "jp": ("ap-northeast-1", "ap-northeast-3"),
        "au": ("ap-southeast-2", "ap-southeast-4", "ap-southeast-6"),
        "ca": ("ca-central-1", "ca-west-1", "us-east-1", "us-east-2", "us-west-2"),
    }
)
"""Regions that a profile of a part of the world may send requests to: all of them, over all models.
A model's own profile uses some; which, AWS changes without notice, and each is a read of a model
that one named."""

_ARN: Final = re.compile(
    r"arn:aws[a-z-]*:bedrock:[a-z0-9-]+:[0-9]*:"
    r"(?P<kind>foundation-model|inference-profile|application-inference-profile|"
    r"provisioned-model|imported-model|custom-model-deployment)/(?P<name>[\w.:-]+)",
    re.ASCII,
)


def asking_statements(shipment: Shipment) -> list[dict[str, Any]]:
    """What a role needs to ask the models and endpoints that the spec routes to, and no others.

    Raises:
        UsageError: An ARN is none of a model, or of a profile whose models cannot be told.
    """
    found = []
    # Converse and ConverseStream are allowed under these two names, too.
    if models := model_resources(shipment):
        asking = ["bedrock:InvokeModel", "bedrock:InvokeModelWithResponseStream"]
        found.append(allow("AskModels", asking, models))
    if endpoints := endpoint_resources(shipment):
        asking = ["sagemaker:InvokeEndpoint", "sagemaker:InvokeEndpointWithResponseStream"]
        found.append(allow("AskEndpoints", asking, endpoints))
    return found


def model_resources(shipment: Shipment) -> list[object]:
    """ARNs of the models and profiles of all Bedrock tiers, each once.

    Raises:
        UsageError: An ARN is none of a model, or of a profile whose models cannot be told.
    """
    found: list[object] = []
    for backend in backends(shipment, "bedrock"):
        for one in _resources(backend):
            if one not in found:
                found.append(one)
    return found


def model_ids(shipment: Shipment) -> tuple[str, ...]:
    """What the tiers call their models, each once."""
    return tuple(dict.fromkeys(one.model for one in backends(shipment, "bedrock") if one.model))


def endpoint_resources(shipment: Shipment) -> list[object]:
    """ARNs of the SageMaker endpoints of all tiers, each once."""
    found: list[object] = []
    for backend in backends(shipment, "sagemaker"):
        one = Join(
            (
                "arn:",
                Ref("AWS::Partition"),
                ":sagemaker:",
                backend.region or Ref("AWS::Region"),
                ":",
                Ref("AWS::AccountId"),
                f":endpoint/{backend.endpoint}",
            )
        )
        if one not in found:
            found.append(one)
    return found


def backends(shipment: Shipment, kind: str) -> list[BackendSpec]:
    """The tiers' backends of a kind."""
    routing = shipment.deployment.routing
    tiers = routing.tiers if routing is not None else ()
    return [one for tier in tiers for one in tier.backends if one.kind == kind]


def _resources(backend: BackendSpec) -> list[object]:
    model = backend.model or ""
    region = backend.region or Ref("AWS::Region")
    if model.startswith("arn:"):
        return _of_arn(model)
    where, _, base = model.partition(".")
    if where == "global":
        # Requests go anywhere, and one of the ARNs of a model has no region at all.
        return [
            _profile(model, region),
            _model(base, region),
            _model(base, ""),
        ]
    if where in REGIONS:
        return [_profile(model, region), *(_model(base, each) for each in REGIONS[where])]
    return [_model(model, region)]


def _of_arn(model: str) -> list[object]:
    found = _ARN.fullmatch(model)
    if found is None:
        raise UsageError(
            f"{model} is no ARN of a Bedrock model or profile",
            where="routing.tiers",
            hint="Copy it from the Bedrock console, or write the model's id",
        )
    if found["kind"] == "application-inference-profile":
        raise UsageError(
            "an application inference profile does not tell which models it uses, and the "
            "role names exactly those",
            where="routing.tiers",
            hint="Name the model or the system's profile (us.…) in the tier instead",
        )
    if found["kind"] != "inference-profile":
        return [model]
    where, _, base = found["name"].partition(".")
    source = model.split(":")[3]
    if where == "global":
        return [model, _model(base, source), _model(base, "")]
    return [model, *(_model(base, each) for each in REGIONS.get(where, (source,)))]


def _profile(name: str, region: object) -> Join:
    return Join(
        (
            "arn:",
            Ref("AWS::Partition"),
            ":bedrock:",
            region,
            ":",
            Ref("AWS::AccountId"),
            f":inference-profile/{name}",
        )
    )


def _model(name: str, region: object) -> Join:
    return Join(("arn:", Ref("AWS::Partition"), ":bedrock:", region, f"::foundation-model/{name}"))
