"""From sized copies to options: an instance type, a strategy, a count, a bill."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from pilotage.catalog.prices import PriceBook, UnknownPriceError, bedrock_id
from pilotage.errors import UsageError
from pilotage.plan.candidates import Layout, Machine
from pilotage.plan.cost import HOURS_PER_MONTH, Operation, cost_of
from pilotage.plan.demand import Demand
from pilotage.plan.engine_choice import engine_on, kind_of
from pilotage.plan.memory import weights_of
from pilotage.plan.option import Configuration, Cost, Estimate, Obstacle, Option, Strategy
from pilotage.plan.question import Question
from pilotage.plan.roofline import RooflineModel
from pilotage.plan.sizing import Sized
from pilotage.plan.strategies import Circumstances, obstacles_of

_BOOT_S: Final = 60.0
_UNPACK: Final = 200e6
_LOAD: Final = 2e9
_WARM_UP_S: Final = 60.0
"""Seconds from an instance's start to the agent's; bytes a second at which a container image is
fetched and unpacked, and at which weights come from disk to the device; seconds of the engine's
compilation and warm-up. Priors: no measurement; `--assume start=` replaces their sum."""

_QUIET_SHARE: Final = 0.5
"""Rate of the quiet phases as a share of the mean, as `pilotage.plan.simulate.arrivals` has it."""

_WORTH_SCALING: Final = 10.0
"""A busy phase that lasts so many start-up times is scaled for: replicas that are started when it
is foreseen (a schedule), or as it builds up, are there for nearly all of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scaling:
    """How many instances run, and for how long.

    Attributes:
        least: In quiet phases.
        most: In busy ones.
        hours: Instance hours of a month, starts included; None for `most` around the clock.
        starts: Instance starts in a month; None for one each.
    """

    least: int
    most: int
    hours: float | None = None
    starts: float | None = None


class Offers:
    """Makes options for one question from one price book.

    Args:
        question: What is asked.
        prices: Of the region.
    """

    def __init__(self, question: Question, prices: PriceBook) -> None:
        self.question = question
        self.prices = prices

    def strategies(self, machine: Machine) -> tuple[Strategy, ...]:
        """The strategies that may put the model on this machine."""
        if self.question.instances and machine.instance.name not in self.question.instances:
            return ()
        own: tuple[Strategy, ...] = ("ecs-neuron",) if machine.accelerator.neuron else ("ecs-gpu",)
        hosted: tuple[Strategy, ...] = ("machine", *own, "sagemaker-realtime", "sagemaker-async")
        return tuple(one for one in hosted if one in self.question.strategies)

    def usd_per_hour(self, machine: Machine) -> float | None:
        """An instance's lowest price in any allowed strategy; None when nobody knows one."""
        name, market = machine.instance.name, self.question.market
        found = []
        for strategy in self.strategies(machine):
            if strategy.startswith("sagemaker"):
                price = self.prices.find(f"ml.{name}")
                if price is None and self.question.assumptions.estimate_sagemaker:
                    price = self.prices.sagemaker_estimate(name).high
            else:
                price = self.prices.find(name if market == "on-demand" else f"{name}:{market}")
            if price is not None:
                found.append(float(price.amount))
        return min(found, default=None)

    def rank(self, machine: Machine) -> tuple[bool, float]:
        """What instances are ordered by: those with a price first; else by EC2's on demand."""
        known = self.usd_per_hour(machine)
        if known is not None:
            return False, known
        price = self.prices.find(machine.instance.name)
        return True, float(price.amount) if price is not None else math.inf

    def instances(self, layout: Layout, machine: Machine, copies: int) -> int:
        """Instances that so many copies take."""
        return math.ceil(copies / (machine.count // layout.accelerators))

    def sized(self, sized: Sized, machine: Machine, strategy: Strategy) -> Option:
        """What was simulated, on this machine and in this way."""
        question, layout = self.question, sized.rated.layout
        scaling = self.scaling(layout, machine, sized.copies)
        configuration = self.configuration(layout, machine, strategy, scaling, sized.copies)
        estimate = estimate_of(question, sized)
        obstacles = (
            *sized.obstacles,
            *obstacles_of(
                configuration,
                question.demand,
                question.anatomy,
                self.circumstances(layout, machine, estimate),
            ),
        )
        return self.priced(
            configuration, estimate, obstacles, self.operation(layout, machine, scaling, estimate)
        )

    def misfit(
        self, layout: Layout, machine: Machine, strategy: Strategy, obstacles: tuple[Obstacle, ...]
    ) -> Option:
        """What needed no simulation to be left out."""
        copies = machine.count // layout.accelerators or 1
        scaling = Scaling(least=1, most=1)
        return Option(
            configuration=self.configuration(layout, machine, strategy, scaling, copies),
            obstacles=obstacles,
        )

    def provided(self, strategy: Strategy) -> Option:
        """What the provider runs: no hardware of ours to compute anything from."""
        question = self.question
        demand = question.demand
        given = question.assumptions.bedrock
        count = 1
        if strategy == "bedrock-provisioned" and given.model_unit_tokens_per_minute:
            tokens = question.prompt_mean + question.completion_mean
            count = math.ceil(demand.peak * 60 * tokens / given.model_unit_tokens_per_minute)
        configuration = Configuration(strategy=strategy, count=count, max_count=count)
        circumstances = Circumstances(
            model=question.model,
            custom_weights=question.custom_weights,
            e2e_p99_s=None,
            bedrock=given,
        )
        obstacles = obstacles_of(configuration, demand, question.anatomy, circumstances)
        operation = Operation(
            mean_e2e_s=given.e2e_mean,
            image_tokens=float(demand.images * question.image_tokens) or None,
            cached_share=question.assumptions.cached_share,
            bedrock_id=bedrock_id(question.model),
            image_bytes=0,
        )
        if any(one.limit in ("model", "custom weights") for one in obstacles):
            return Option(configuration=configuration, obstacles=obstacles)
        return self.priced(configuration, None, obstacles, operation)

    def priced(
        self,
        configuration: Configuration,
        estimate: Estimate | None,
        obstacles: tuple[Obstacle, ...],
        operation: Operation,
    ) -> Option:
        """The option with its bill, held against the budget."""
        cost: Cost | None = None
        try:
            cost = cost_of(configuration, self.question.demand, self.prices, operation)
        except UnknownPriceError as error:
            obstacles += (
                Obstacle(limit="price unknown", message=error.message, relax=error.hint or ""),
            )
        except UsageError as error:
            obstacles += (Obstacle(limit="not sold", message=error.message),)
        if cost is not None:
            obstacles += over_budget(self.question.demand, cost)
        return Option(
            configuration=configuration, estimate=estimate, cost=cost, obstacles=obstacles
        )

    def configuration(
        self, layout: Layout, machine: Machine, strategy: Strategy, scaling: Scaling, copies: int
    ) -> Configuration:
        """What would be deployed."""
        name = machine.instance.name
        engine = engine_on(self.question, kind_of(layout.accelerator))
        # Neuron's parallel degree counts cores, of which a chip has several.
        cores = machine.instance.neuron_cores // machine.count if layout.accelerator.neuron else 1
        return Configuration(
            strategy=strategy,
            instance_type=f"ml.{name}" if strategy.startswith("sagemaker") else name,
            count=scaling.least,
            replicas=copies,
            engine=engine.name if engine is not None else None,
            precision=layout.precision,
            tensor_parallel=layout.tensor_parallel * cores,
            pipeline_parallel=layout.pipeline_parallel,
            limits=layout.memory.limits,
            max_count=scaling.most,
        )

    def scaling(self, layout: Layout, machine: Machine, copies: int) -> Scaling:
        """Instances over a month.

        Spiky work is quiet at half its mean and busy at its peak; the share of the busy time
        follows from the mean: ``(rate - quiet) / (peak - quiet)``. Capacity follows it only where
        a busy phase lasts far longer than an instance takes to start; then each phase is paid
        for its start-up, too. Else the peak's capacity stays up.
        """
        question, demand = self.question, self.question.demand
        most = self.instances(layout, machine, copies)
        given = question.assumptions
        start = self.start_s(layout, machine)
        if (
            demand.shape != "spiky"
            or demand.peak <= demand.rate
            or not given.autoscaling
            or given.burst_s < _WORTH_SCALING * start
        ):
            return Scaling(least=most, most=most)
        quiet = _QUIET_SHARE * demand.rate
        busy = (demand.rate - quiet) / (demand.peak - quiet)
        per_copy = demand.peak / copies
        least = self.instances(layout, machine, max(1, math.ceil(quiet / per_copy)))
        phases = HOURS_PER_MONTH * 3600 * busy / given.burst_s
        starts = phases * (most - least)
        hours = HOURS_PER_MONTH * (least + busy * (most - least)) + starts * start / 3600
        return Scaling(least=least, most=most, hours=hours, starts=starts + least)

    def start_s(self, layout: Layout, machine: Machine) -> float:
        """Seconds from the decision for an instance until it answers.

        ``boot + image / unpacking + weights / network + weights / loading + warm-up``.
        """
        given = self.question.assumptions
        if given.start_s is not None:
            return given.start_s
        weights = self.weights_bytes(layout)
        network = max(1.0, machine.instance.network_mbps * 1e6 / 8)
        return (
            _BOOT_S
            + given.image_bytes / _UNPACK
            + weights / network
            + weights / (_LOAD * layout.accelerators)
            + _WARM_UP_S
        )

    def weights_bytes(self, layout: Layout) -> int:
        """Bytes of the weights in this precision."""
        return round(weights_of(self.question.anatomy, layout.precision).total)

    def circumstances(
        self, layout: Layout, machine: Machine, estimate: Estimate | None
    ) -> Circumstances:
        """What a strategy's limits are held against."""
        question = self.question
        return Circumstances(
            model=question.model,
            custom_weights=question.custom_weights,
            weights_bytes=self.weights_bytes(layout),
            e2e_p99_s=estimate.e2e.p99 if estimate and estimate.e2e else None,
            start_s=self.start_s(layout, machine),
            offered=self.prices.offers(machine.instance.name),
            bedrock=question.assumptions.bedrock,
        )

    def operation(
        self, layout: Layout, machine: Machine, scaling: Scaling, estimate: Estimate
    ) -> Operation:
        """How it is run, as far as it costs."""
        question, given = self.question, self.question.assumptions
        return Operation(
            utilisation=min(1.0, max(0.0, estimate.utilisation)),
            instance_hours=scaling.hours,
            market=question.market,
            starts=scaling.starts,
            start_s=self.start_s(layout, machine),
            interruptions_per_hour=given.interruptions_per_hour,
            weights_bytes=self.weights_bytes(layout),
            image_bytes=given.image_bytes,
            mean_e2e_s=estimate.e2e.p50 if estimate.e2e else None,
            estimate_sagemaker=given.estimate_sagemaker,
            through_nat=given.through_nat,
        )


def estimate_of(question: Question, sized: Sized) -> Estimate:
    """What a simulation says, as the plan shows it."""
    simulation, layout = sized.simulation, sized.rated.layout
    demand = question.demand
    return Estimate(
        ttft=simulation.ttft,
        tpot=simulation.tpot,
        e2e=simulation.e2e,
        floor_e2e_s=floor_of_median(question, sized.rated.model),
        requests_per_s=sized.capacity,
        output_tokens_per_s=demand.rate * question.completion_mean,
        utilisation=min(1.0, demand.rate / sized.capacity) if sized.capacity else 1.0,
        memory=layout.memory.terms,
        memory_bytes=layout.memory.memory_bytes,
    )


def floor_of_median(question: Question, model: RooflineModel) -> float:
    """Seconds of the median request that no software can beat."""
    prompt = round(question.demand.prompt.p50) + question.demand.images * question.image_tokens
    completion = 1 if question.anatomy.encoder else round(question.demand.completion.p50)
    return model.request_floor_s(prompt, completion, question.demand.images)


def over_budget(demand: Demand, cost: Cost) -> tuple[Obstacle, ...]:
    """What of the budget a bill breaks."""
    found = []
    month, request = demand.usd_per_month, demand.usd_per_request
    if month is not None and cost.usd_per_month > month:
        found.append(
            Obstacle(
                limit="usd_per_month",
                message=f"${cost.usd_per_month:,.0f} a month; the budget is ${month:,.0f}",
                relax=f"raise the budget to ${math.ceil(cost.usd_per_month):,}",
                shortfall=cost.usd_per_month / month,
            )
        )
    if request is not None and cost.usd_per_request > request:
        found.append(
            Obstacle(
                limit="usd_per_request",
                message=f"${cost.usd_per_request:.4g} a request; the budget is ${request:.4g}",
                relax=f"raise the budget to ${cost.usd_per_request:.4g} a request, "
                "or bring more requests",
                shortfall=cost.usd_per_request / request,
            )
        )
    return tuple(found)
