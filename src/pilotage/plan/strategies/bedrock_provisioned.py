"""Bedrock provisioned throughput: model units of one's own, by the hour."""

from __future__ import annotations

from typing import Final

from pilotage.catalog.anatomy import Anatomy
from pilotage.catalog.prices import bedrock_id
from pilotage.plan.demand import Demand
from pilotage.plan.option import Configuration, Obstacle
from pilotage.plan.strategies import checks
from pilotage.plan.strategies.bedrock_on_demand import quota_needed
from pilotage.plan.strategies.latency import bedrock_latency
from pilotage.plan.strategies.limits import Circumstances, Limits, Rules
from pilotage.units import printable

_LIMITS: Final = Limits(
    title="Bedrock provisioned throughput",
    request_bytes=25_000_000,
    timeout_s=3600,
    gpu=True,
    # Of models that were customised within Bedrock from one that it sells.
    custom_weights=True,
    streams=True,
    scales_to_zero=False,
    source="Bedrock user guide, prov-throughput, 2026-11-22: custom models need it; what a model "
    "unit does in tokens a minute, AWS's account manager says; InvokeModel: 25,000,000 bytes",
)


def _check(
    configuration: Configuration, demand: Demand, _anatomy: Anatomy, circumstances: Circumstances
) -> tuple[Obstacle, ...]:
    found: list[Obstacle] = []
    if bedrock_id(circumstances.model) is None:
        found.append(
            Obstacle(
                limit="model",
                message=f"Bedrock has no model units of {printable(circumstances.model)}, as far "
                "as the catalog knows",
                relax="Take a model that it sells, or one customised from such a one",
            )
        )
    return (
        *found,
        *checks.payload(_LIMITS, demand),
        *_units(configuration, demand, circumstances),
        *bedrock_latency(demand, circumstances.bedrock, _LIMITS.title),
    )


def _units(
    configuration: Configuration, demand: Demand, circumstances: Circumstances
) -> tuple[Obstacle, ...]:
    each = circumstances.bedrock.model_unit_tokens_per_minute
    if each is None:
        return (
            Obstacle(
                limit="throughput unknown",
                message="what a model unit does is not published: how many the peak needs cannot "
                "be computed",
                relax="Ask AWS, and pass --assume bedrock.model_unit_tokens_per_minute=TOKENS",
            ),
        )
    needed = quota_needed(demand)["tokens"]
    if needed <= each * configuration.count:
        return ()
    return (
        Obstacle(
            limit="throughput",
            message=f"the peak needs {needed:,.0f} tokens a minute; {configuration.count} model "
            f"units do {each * configuration.count:,}",
            relax=f"Buy {-(-needed // each):.0f} model units",
            shortfall=needed / (each * configuration.count),
        ),
    )


BEDROCK_PROVISIONED: Final = Rules(strategy="bedrock-provisioned", limits=_LIMITS, check=_check)
