"""Bedrock on demand: tokens of a model that AWS runs for everybody."""

from __future__ import annotations

import math
from typing import Final

from pilotage.catalog.anatomy import Anatomy
from pilotage.catalog.prices import bedrock_id, bedrock_models
from pilotage.plan.cost import mean_tokens
from pilotage.plan.demand import Demand
from pilotage.plan.option import Configuration, Obstacle
from pilotage.plan.strategies import checks
from pilotage.plan.strategies.latency import bedrock_latency
from pilotage.plan.strategies.limits import Circumstances, Limits, Rules
from pilotage.units import printable

_LIMITS: Final = Limits(
    title="Bedrock on demand",
    request_bytes=25_000_000,
    timeout_s=3600,
    gpu=True,
    custom_weights=False,
    streams=True,
    scales_to_zero=True,
    source="Bedrock API reference, InvokeModel: a body of at most 25,000,000 bytes; Bedrock user "
    "guide: inference times out after 60 minutes. Throughput is a quota of the account",
)


def _check(
    _configuration: Configuration, demand: Demand, _anatomy: Anatomy, circumstances: Circumstances
) -> tuple[Obstacle, ...]:
    return (
        *sold(circumstances, demand),
        *checks.payload(_LIMITS, demand),
        *bedrock_latency(demand, circumstances.bedrock, _LIMITS.title),
        *quotas(demand, circumstances),
    )


def sold(circumstances: Circumstances, demand: Demand) -> tuple[Obstacle, ...]:
    """Whether Bedrock sells this model's tokens, and with a long enough context."""
    model = printable(circumstances.model)
    if circumstances.custom_weights:
        return (
            Obstacle(
                limit="custom weights",
                message=f"Bedrock sells tokens of published models, not of your own {model}",
                relax="Serve the published model, or buy provisioned throughput for a custom one",
            ),
        )
    model_id = bedrock_id(circumstances.model)
    if model_id is None:
        return (
            Obstacle(
                limit="model",
                message=f"Bedrock does not sell tokens of {model}, as far as the catalog knows",
                relax="Take a model that it sells; pilotage catalog show bedrock lists them",
            ),
        )
    known = bedrock_models().get(model_id)
    needed = demand.prompt.p99 + demand.completion.p99
    if known is not None and known.context is not None and needed > known.context:
        return (
            Obstacle(
                limit="context",
                message=f"prompt and completion are {needed:,.0f} tokens at p99; {model_id} takes "
                f"{known.context:,}",
                relax="Shorten the prompts",
                shortfall=needed / known.context,
            ),
        )
    return ()


def quotas(demand: Demand, circumstances: Circumstances) -> tuple[Obstacle, ...]:
    """The peak against the account's quotas, where the user gave them."""
    needed = quota_needed(demand)
    given = {
        "requests": circumstances.bedrock.requests_per_minute,
        "tokens": circumstances.bedrock.tokens_per_minute,
    }
    return tuple(
        Obstacle(
            limit="quota",
            message=f"the peak needs {need:,.0f} {name} a minute; your quota is {given[name]:,}",
            relax="Ask AWS for a higher quota",
            shortfall=need / (given[name] or math.inf),
        )
        for name, need in needed.items()
        if (quota := given[name]) is not None and need > quota
    )


def quota_needed(demand: Demand) -> dict[str, float]:
    """Requests and tokens a minute at the peak, by mean lengths."""
    requests = demand.peak * 60
    tokens = mean_tokens(demand.prompt) + mean_tokens(demand.completion)
    return {"requests": requests, "tokens": requests * tokens}


BEDROCK_ON_DEMAND: Final = Rules(strategy="bedrock-on-demand", limits=_LIMITS, check=_check)
