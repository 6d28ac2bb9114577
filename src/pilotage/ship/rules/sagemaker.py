"""Rules of SageMaker: start-up times, payloads, serverless, scaling to zero."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from pilotage.ship.rules.reading import at, items, number, of_type
from pilotage.ship.rules.rule import Finding, rule
from pilotage.ship.startup import SAGEMAKER_START_S
from pilotage.ship.target import Rendered, Shipment

_CONFIG: Final = "AWS::SageMaker::EndpointConfig"
_COMPONENT: Final = "AWS::SageMaker::InferenceComponent"
_SCALABLE: Final = "AWS::ApplicationAutoScaling::ScalableTarget"
_START_FIELDS: Final = (
    "ContainerStartupHealthCheckTimeoutInSeconds",
    "ModelDataDownloadTimeoutInSeconds",
)
_SHORTEST_START: Final = 60
_REAL_TIME_BODY: Final = 6_291_456
_SERVERLESS_BODY: Final = 4 * 1024 * 1024
_ASYNC_BODY: Final = 1024**3
_REAL_TIME_S: Final = 60
_ASYNC_S: Final = 3600
_SERVERLESS_MEMORY: Final = tuple(range(1024, 6145, 1024))


@rule(
    "sagemaker-start",
    what="SageMaker refuses the endpoint configuration; cfn-lint passes 7200.",
    limit=f"start-up and model-download time-outs are {_SHORTEST_START} to {SAGEMAKER_START_S} s",
)
def _sagemaker_start(rendered: Rendered, _shipment: Shipment) -> Iterator[Finding]:
    for where, held in _starts(rendered):
        for field in _START_FIELDS:
            value = number(held.get(field))
            if value is not None and not _SHORTEST_START <= value <= SAGEMAKER_START_S:
                yield Finding(
                    f"{where}.{field}",
                    f"{value:g} s",
                    f"At most {SAGEMAKER_START_S}; a slower start needs weights in S3, NVMe, "
                    "or the target ecs",
                )


@rule(
    "sagemaker-start-covers-load",
    what="The endpoint fails while its model is still loading.",
    limit="the container's start-up time-out is at least the predicted seconds of fetch and load",
)
def _start_covers_load(rendered: Rendered, shipment: Shipment) -> Iterator[Finding]:
    given = shipment.shipping.grace
    needed = shipment.sizing.fetch_s + shipment.sizing.load_s if given is None else given
    for where, held in _starts(rendered):
        value = number(held.get(_START_FIELDS[0]))
        if value is None or _SHORTEST_START <= value < needed:
            yield Finding(
                f"{where}.{_START_FIELDS[0]}",
                f"{'not set' if value is None else f'{value:g} s'}, the start takes {needed:.0f} s",
                f"Set it to {min(shipment.sizing.grace_s, SAGEMAKER_START_S)}",
            )


@rule(
    "sagemaker-type",
    what="SageMaker knows instance types by names of its own and refuses EC2's.",
    limit='instance types begin with "ml."',
    source="SageMaker ProductionVariant.InstanceType (botocore)",
)
def _sagemaker_type(rendered: Rendered, _shipment: Shipment) -> Iterator[Finding]:
    for where, variant in _variants(rendered):
        name = variant.get("InstanceType")
        if isinstance(name, str) and not name.startswith("ml."):
            yield Finding(f"{where}.InstanceType", name, f"Write ml.{name}")


@rule(
    "sagemaker-body",
    what="Requests above it are refused with 413 before the container sees them.",
    limit=f"bodies: real-time {_REAL_TIME_BODY:,} B, serverless 4 MiB, async 1 GiB",
)
def _sagemaker_body(rendered: Rendered, shipment: Shipment) -> Iterator[Finding]:
    allowed = shipment.deployment.serving.max_body
    for config in of_type(rendered, _CONFIG):
        largest = _REAL_TIME_BODY
        if "AsyncInferenceConfig" in config.properties:
            largest = _ASYNC_BODY
        elif any("ServerlessConfig" in one for _, one in _variants(rendered)):
            largest = _SERVERLESS_BODY
        if allowed > largest:
            yield Finding(
                "serving.max_body",
                f"{allowed:,} B",
                f"Write serving: {{max_body: {largest >> 20}MiB}} in the spec; "
                + (
                    "larger ones need ecs"
                    if largest == _ASYNC_BODY
                    else "larger ones need the target sagemaker-async (1 GiB) or ecs"
                ),
            )


@rule(
    "sagemaker-timeout",
    what="SageMaker ends the request, and the container works on for nobody.",
    limit=f"a request takes at most {_REAL_TIME_S} s, async {_ASYNC_S} s",
)
def _sagemaker_timeout(rendered: Rendered, shipment: Shipment) -> Iterator[Finding]:
    serving = shipment.deployment.serving
    if "request_timeout" not in serving.model_fields_set:
        return  # Nobody asked for longer: the target passes its own.
    for config in of_type(rendered, _CONFIG):
        longest = _ASYNC_S if "AsyncInferenceConfig" in config.properties else _REAL_TIME_S
        if serving.request_timeout > longest:
            yield Finding(
                "serving.request_timeout",
                f"{serving.request_timeout:g} s",
                f"At most {longest}; longer ones need "
                f"{'ecs' if longest == _ASYNC_S else 'sagemaker-async or ecs'}",
            )


@rule(
    "serverless-gpu",
    what="SageMaker serverless inference has no GPU: the model does not load.",
    limit="no accelerators with ServerlessConfig",
)
def _serverless_gpu(rendered: Rendered, shipment: Shipment) -> Iterator[Finding]:
    asked = shipment.sizing.gpus + shipment.sizing.neuron_devices
    for where, variant in _variants(rendered):
        if "ServerlessConfig" in variant and asked:
            yield Finding(
                f"{where}.ServerlessConfig",
                f"{asked} accelerator(s) planned",
                "Ship to sagemaker, or plan a model that runs on a CPU",
            )


@rule(
    "serverless-memory",
    what="SageMaker refuses the endpoint configuration.",
    limit="serverless memory is 1024, 2048 … 6144 MB",
)
def _serverless_memory(rendered: Rendered, _shipment: Shipment) -> Iterator[Finding]:
    for where, variant in _variants(rendered):
        value = number(at(variant, "ServerlessConfig", "MemorySizeInMB"))
        if value is not None and value not in _SERVERLESS_MEMORY:
            yield Finding(
                f"{where}.ServerlessConfig.MemorySizeInMB", f"{value:g}", "Take a step of 1024"
            )


@rule(
    "sagemaker-zero",
    what="A real-time variant cannot have no instance: the scaling target is refused.",
    limit="MinCapacity 0 with async endpoints or inference components only",
)
def _sagemaker_zero(rendered: Rendered, _shipment: Shipment) -> Iterator[Finding]:
    waits = any("AsyncInferenceConfig" in one.properties for one in of_type(rendered, _CONFIG))
    for one in of_type(rendered, _SCALABLE):
        dimension = one.properties.get("ScalableDimension")
        low = number(one.properties.get("MinCapacity"))
        if dimension == "sagemaker:variant:DesiredInstanceCount" and low == 0 and not waits:
            yield Finding(
                f"{one.name}.MinCapacity", "0", "Set scaling.min to 1, or ship to sagemaker-async"
            )


@rule(
    "component-zero",
    what="Instances go to zero only where inference components hold the model.",
    limit="ManagedInstanceScaling.MinInstanceCount 0 only for a variant without a ModelName",
)
def _component_zero(rendered: Rendered, _shipment: Shipment) -> Iterator[Finding]:
    for where, variant in _variants(rendered):
        low = number(at(variant, "ManagedInstanceScaling", "MinInstanceCount"))
        if low == 0 and variant.get("ModelName") is not None:
            yield Finding(
                f"{where}.ManagedInstanceScaling.MinInstanceCount",
                "0 with a ModelName",
                "Leave ModelName out and make an inference component",
            )


@rule(
    "async-concurrency",
    what="SageMaker refuses the endpoint configuration.",
    limit="MaxConcurrentInvocationsPerInstance is 1 to 1000",
    source="SageMaker AsyncInferenceClientConfig (botocore)",
)
def _async_concurrency(rendered: Rendered, _shipment: Shipment) -> Iterator[Finding]:
    path = ("AsyncInferenceConfig", "ClientConfig", "MaxConcurrentInvocationsPerInstance")
    for one in of_type(rendered, _CONFIG):
        value = number(at(one.properties, *path))
        if value is not None and not 1 <= value <= 1000:
            yield Finding(f"{one.name}.{'.'.join(path)}", f"{value:g}", "Choose 1 to 1000")


def _variants(rendered: Rendered) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for one in of_type(rendered, _CONFIG):
        for index, variant in enumerate(items(one.properties, "ProductionVariants")):
            if isinstance(variant, Mapping):
                yield f"{one.name}.ProductionVariants[{index}]", variant


def _starts(rendered: Rendered) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """What holds the time-outs: a component's start-up parameters, else the variant."""
    for where, variant in _variants(rendered):
        if variant.get("ModelName") is not None and "ServerlessConfig" not in variant:
            yield where, variant
    for one in of_type(rendered, _COMPONENT):
        held = at(one.properties, "Specification", "StartupParameters", default={})
        yield f"{one.name}.Specification.StartupParameters", held


SAGEMAKER_RULES: Final = (
    _sagemaker_start,
    _start_covers_load,
    _sagemaker_type,
    _sagemaker_body,
    _sagemaker_timeout,
    _serverless_gpu,
    _serverless_memory,
    _sagemaker_zero,
    _component_zero,
    _async_concurrency,
)
