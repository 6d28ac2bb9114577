"""Names that a plan's views share: strategies, configurations, metrics."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from pilotage.catalog.instances import load_instances
from pilotage.plan.demand import Demand
from pilotage.plan.option import Configuration, Strategy
from pilotage.plan.report import figures
from pilotage.plan.result import ModelFacts

_TIMES, _TO = "\N{MULTIPLICATION SIGN}", "\N{EN DASH}"

STRATEGIES: Final[Mapping[Strategy, str]] = MappingProxyType(
    {
        "machine": "One machine",
        "ecs-gpu": "ECS on EC2 GPU",
        "ecs-neuron": "ECS on Inferentia/Trainium",
        "sagemaker-realtime": "SageMaker real-time",
        "sagemaker-async": "SageMaker asynchronous",
        "sagemaker-serverless": "SageMaker serverless",
        "bedrock-on-demand": "Bedrock on-demand",
        "bedrock-provisioned": "Bedrock provisioned throughput",
        "lambda-bedrock": "Lambda + Bedrock on-demand",
    }
)

METRICS: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        "ttft": ("TTFT", "Time to first token"),
        "tpot": ("TPOT", "Time per output token"),
        "e2e": ("E2E", "End to end"),
    }
)
"""Short and long names."""


def strategy_name(strategy: Strategy) -> str:
    """Its name for people: "ECS on EC2 GPU"."""
    return STRATEGIES.get(strategy, strategy)


def label(configuration: Configuration) -> str:
    """A configuration in a few words: count, instance type, number format, parallelism.

    Such as "2 x g6e.xlarge, fp8, TP 2" (with a times sign); the strategy's name where there is
    nothing to choose.
    """
    parts = [_counted(configuration)]
    if configuration.precision is not None:
        parts.append(configuration.precision.name)
    if configuration.tensor_parallel > 1:
        parts.append(f"TP {configuration.tensor_parallel}")
    if configuration.pipeline_parallel > 1:
        parts.append(f"PP {configuration.pipeline_parallel}")
    return ", ".join(parts)


def _counted(configuration: Configuration) -> str:
    count = str(configuration.count)
    if configuration.max_count > configuration.count:
        count += f"{_TO}{configuration.max_count}"
    if configuration.instance_type is not None:
        return f"{count} {_TIMES} {configuration.instance_type}"
    if configuration.strategy == "bedrock-provisioned":
        return f"{count} model unit{'' if count == '1' else 's'}"
    return strategy_name(configuration.strategy)


def hardware(configuration: Configuration) -> str:
    """The accelerators of one instance: "4 x L40S"; empty where there are none or none known."""
    name = configuration.instance_type
    instance = load_instances().get(name.removeprefix("ml.")) if name else None
    if instance is None or instance.accelerator is None:
        return ""
    return f"{instance.accelerator.count} {_TIMES} {instance.accelerator.name.upper()}"


def settings(configuration: Configuration) -> dict[str, Any]:
    """Settings of the engine, by vLLM's names, which the others' are translated from."""
    limits = configuration.limits
    found: dict[str, Any] = {}
    if limits is not None:
        found["max_num_seqs"] = limits.max_num_seqs
        found["max_num_batched_tokens"] = limits.max_num_batched_tokens
        found["max_model_len"] = limits.max_model_len
    precision = configuration.precision
    if precision is not None and precision.kv_bytes == 1:
        found["kv_cache_dtype"] = "fp8"
    return found


def demand_line(demand: Demand) -> str:
    """What is asked for, on one line."""
    rate = f"{figures.rate(demand.rate)}"
    if demand.peak > demand.rate:
        rate += f", peak {figures.rate(demand.peak)}"
    prompt = f"{figures.tokens(demand.prompt.p50)}/{figures.tokens(demand.prompt.p99)}"
    output = f"{figures.tokens(demand.completion.p50)}/{figures.tokens(demand.completion.p99)}"
    line = f"{rate}, {demand.shape}; prompt {prompt} and output {output} tokens at p50/p99"
    if demand.images:
        many = "" if demand.images == 1 else f"{demand.images} "
        line += (
            f"; {many}image{'s' if demand.images > 1 else ''} of "
            f"{demand.image_width}{_TIMES}{demand.image_height}"
        )
    return line


def target(demand: Demand, metric: str) -> float | None:
    """The seconds that are promised for a metric at p99."""
    return {"ttft": demand.ttft_p99, "tpot": demand.tpot_p99, "e2e": demand.e2e_p99}[metric]


def model_line(model: ModelFacts) -> str:
    """The model's size, and what else it is, in a few words."""
    line = f"{figures.tokens(model.parameters)} parameters"
    if model.active_parameters < 0.8 * model.parameters:
        line += f", {figures.tokens(model.active_parameters)} active"
    return line + (", takes images" if model.sees else "")


def in_seconds(seconds: float) -> str:
    """A duration of three digits: "1.25 s", "340 ms"."""
    return f"{seconds:.3g} s" if seconds >= 1 else f"{seconds * 1e3:.3g} ms"
