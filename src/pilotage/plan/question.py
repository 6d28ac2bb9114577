"""The question a plan answers: a model, a workload, promises, and what may be chosen."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Final, Literal

from pilotage.catalog.anatomy import Anatomy
from pilotage.catalog.engines import Work
from pilotage.errors import SpecError, UsageError
from pilotage.plan.assumptions import Assumptions
from pilotage.plan.demand import Demand, Lengths
from pilotage.plan.option import Strategy
from pilotage.plan.replay import Recording
from pilotage.plan.roofline import image_prompt_tokens
from pilotage.spec import Deployment
from pilotage.spec.deployment import DEFAULT_TTFT_TARGET
from pilotage.units import format_duration

STRATEGIES: Final[tuple[Strategy, ...]] = (
    "machine",
    "ecs-gpu",
    "ecs-neuron",
    "sagemaker-realtime",
    "sagemaker-async",
    "sagemaker-serverless",
    "bedrock-on-demand",
    "bedrock-provisioned",
    "lambda-bedrock",
)
"""All of them, as `--strategy` names them."""

_Z99: Final = 2.3263478740408408
"""The standard normal's 99th percentile."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is to be planned.

    Attributes:
        name: The deployment's.
        model: The model's name as catalogues know it, such as "meta-llama/Llama-3.1-8B-Instruct".
        anatomy: The model.
        demand: What is asked of it.
        max_model_len: Longest sequence that is planned for, tokens.
        engine: As the spec says, "auto" included.
        task: Likewise.
        dtype: Likewise.
        quantization: Likewise.
        custom_weights: Whether the weights are one's own, and not the published ones.
        strategies: Those that may be chosen.
        instances: Instance types that may be chosen; empty for all.
        market: How EC2 is paid.
        assumptions: What no spec says.
        seed: Of all simulations.
        notes: What was taken for granted while the question was put.
        recording: A trace that simulations replay in place of arrivals that they draw.
    """

    name: str
    model: str
    anatomy: Anatomy
    demand: Demand
    max_model_len: int
    engine: str = "auto"
    task: str = "auto"
    dtype: str = "auto"
    quantization: str = "auto"
    custom_weights: bool = False
    strategies: tuple[Strategy, ...] = STRATEGIES
    instances: tuple[str, ...] = ()
    market: Literal["on-demand", "spot", "one-year"] = "on-demand"
    assumptions: Assumptions = field(default_factory=Assumptions)
    seed: int = 0
    notes: tuple[str, ...] = ()
    recording: Recording | None = None

    @property
    def work(self) -> Work:
        """What an engine has to do; of an encoder, "auto" is told by whether it has a head."""
        if self.task in ("generate", "embed"):
            return "generate" if self.task == "generate" else "embed"
        if self.task == "auto" and not self.anatomy.encoder:
            return "generate"
        return "embed" if self.task == "auto" and not self.anatomy.head_parameters else "predict"

    @property
    def image_tokens(self) -> int:
        """Prompt tokens that one image adds."""
        vision = self.anatomy.vision
        if vision is None or not self.demand.images:
            return 0
        return image_prompt_tokens(vision, self.demand.image_width, self.demand.image_height)

    @property
    def prompt_mean(self) -> float:
        """Mean tokens of a prompt, images included."""
        return mean_of(self.demand.prompt) + self.demand.images * self.image_tokens

    @property
    def completion_mean(self) -> float:
        """Mean tokens of a completion; an encoder brings one answer."""
        return 1.0 if self.anatomy.encoder else mean_of(self.demand.completion)

    @property
    def completion_p99(self) -> int:
        """Tokens of a long completion."""
        return 1 if self.anatomy.encoder else round(self.demand.completion.p99)

    @property
    def prompt_p99(self) -> int:
        """Tokens of a long prompt, images included."""
        return round(self.demand.prompt.p99) + self.demand.images * self.image_tokens


def mean_of(lengths: Lengths) -> float:
    """Mean of the log-normal through ``lengths``: ``p50 * exp(sigma**2 / 2)``.

    ``sigma = ln(p99 / p50) / 2.3263``.
    """
    sigma = math.log(lengths.p99 / lengths.p50) / _Z99
    return lengths.p50 * math.exp(sigma * sigma / 2)


def ask(
    deployment: Deployment,
    anatomy: Anatomy,
    *,
    model: str,
    custom_weights: bool = False,
    strategies: tuple[Strategy, ...] = STRATEGIES,
    instances: tuple[str, ...] = (),
    market: Literal["on-demand", "spot", "one-year"] = "on-demand",
    assumptions: Assumptions | None = None,
    seed: int = 0,
    where: str | None = None,
) -> Question:
    """The question that a deployment puts.

    Args:
        deployment: The spec.
        anatomy: Its model.
        model: The model's name, as catalogues know it.
        custom_weights: Whether the weights are one's own.
        strategies: What may be chosen.
        instances: Instance types that may be chosen; empty for all.
        market: How EC2 is paid.
        assumptions: What no spec says.
        seed: Of all simulations.
        where: The spec's file, for errors.

    Raises:
        SpecError: There is no workload, promises contradict each other, or lengths do not fit in
            the model's context.
    """
    demand, notes = _demand(deployment, where)
    question = Question(
        name=deployment.name,
        model=model,
        anatomy=anatomy,
        demand=demand,
        max_model_len=_max_model_len(deployment, anatomy, where),
        engine=deployment.model.engine,
        task=deployment.model.task,
        dtype=deployment.model.dtype,
        quantization=deployment.model.quantization,
        custom_weights=custom_weights,
        strategies=strategies,
        instances=instances,
        market=market,
        assumptions=assumptions or Assumptions(),
        seed=seed,
        notes=notes,
    )
    check(question, where=where)
    return question


def check(question: Question, *, where: str | None = None) -> None:
    """Refuse what nothing could do.

    Raises:
        SpecError: Promises contradict each other, lengths do not fit, images meet no eyes.
        UsageError: A figure that a spec could not even hold.
    """
    demand, anatomy = question.demand, question.anatomy
    if not (demand.rate > 0 and demand.peak >= demand.rate):
        raise UsageError(
            f"a plan needs traffic: a rate above 0 and a peak that is not below it, "
            f"got {demand.rate:g}/s and {demand.peak:g}/s",
            where=_field(where, "workload.arrivals"),
        )
    for name, limit in (
        ("usd_per_month", demand.usd_per_month),
        ("usd_per_request", demand.usd_per_request),
    ):
        if limit is not None and limit <= 0:
            raise UsageError(
                "a budget of 0 buys nothing; leave it out for no bound",
                where=_field(where, f"budget.{name}"),
            )
    _check_promises(demand, where)
    if demand.images and anatomy.vision is None:
        raise SpecError(
            f"requests bring images, and {anatomy.name} takes none",
            where=_field(where, "workload.images"),
            hint="Leave them out, or take a model that sees",
        )
    if question.max_model_len > anatomy.context_length:
        raise SpecError(
            f"{question.max_model_len:,} tokens are longer than the model's context of "
            f"{anatomy.context_length:,}",
            where=_field(where, "model.max_model_len"),
            hint=f"At most {anatomy.context_length}",
        )
    longest = question.prompt_p99 + (0 if anatomy.encoder else 1)
    if longest > question.max_model_len:
        shown = f"prompts of {question.prompt_p99:,} tokens at p99"
        if question.image_tokens:
            shown += f" ({demand.images} x {question.image_tokens:,} of them images)"
        raise SpecError(
            f"{shown} do not fit in {question.max_model_len:,}",
            where=_field(where, "workload.prompt_tokens"),
            hint=f"Raise model.max_model_len (the model's context is {anatomy.context_length:,}), "
            "or shorten the prompts",
        )


def _check_promises(demand: Demand, where: str | None) -> None:
    ttft, tpot, e2e = demand.ttft_p99, demand.tpot_p99, demand.e2e_p99
    for name, value in (("ttft_p99", ttft), ("tpot_p99", tpot), ("e2e_p99", e2e)):
        if value is not None and value <= 0:
            raise UsageError("should be above 0", where=_field(where, f"slo.{name}"))
    if e2e is not None and ttft is not None and e2e < ttft:
        raise SpecError(
            f"the promises contradict each other: an answer cannot be whole after "
            f"{format_duration(e2e)} at p99 when its first token may take {format_duration(ttft)}",
            where=_field(where, "slo.e2e_p99"),
            hint=f"Set ttft_p99 below {format_duration(e2e)}, or leave it out",
        )
    if e2e is not None and tpot is not None and e2e < tpot:
        raise SpecError(
            f"the promises contradict each other: a token may take {format_duration(tpot)}, the "
            f"whole answer only {format_duration(e2e)}",
            where=_field(where, "slo.e2e_p99"),
            hint=f"Set tpot_p99 below {format_duration(e2e)}, or leave it out",
        )


def _demand(deployment: Deployment, where: str | None) -> tuple[Demand, tuple[str, ...]]:
    workload, slo, budget = deployment.workload, deployment.slo, deployment.budget
    if workload is None:
        raise SpecError(
            "a plan needs a workload: how often requests come and how long they are",
            where=_field(where, "workload"),
            hint='Add "workload: {arrivals: {rate: 5/s}}", or pass --rate 5/s',
        )
    arrivals, images = workload.arrivals, workload.images
    notes: list[str] = []
    ttft = slo.ttft_p99
    if ttft is None and slo.tpot_p99 is None and slo.e2e_p99 is None and arrivals.shape != "batch":
        ttft = DEFAULT_TTFT_TARGET
        notes.append(
            f"No promise is made, so a first token within {format_duration(ttft)} at p99 is "
            "planned for, as serving aims at."
        )
    return (
        Demand(
            rate=arrivals.rate,
            peak=arrivals.peak,
            shape=arrivals.shape,
            prompt=Lengths(p50=workload.prompt_tokens.p50, p99=workload.prompt_tokens.p99),
            completion=Lengths(
                p50=workload.completion_tokens.p50, p99=workload.completion_tokens.p99
            ),
            images=images.count if images else 0,
            image_width=images.width if images else 0,
            image_height=images.height if images else 0,
            ttft_p99=ttft,
            tpot_p99=slo.tpot_p99,
            e2e_p99=slo.e2e_p99,
            usd_per_month=budget.usd_per_month if budget else None,
            usd_per_request=budget.usd_per_request if budget else None,
        ),
        tuple(notes),
    )


def _max_model_len(deployment: Deployment, anatomy: Anatomy, where: str | None) -> int:
    wanted = deployment.model.max_model_len
    if wanted is None:
        return anatomy.context_length
    if wanted > anatomy.context_length:
        raise SpecError(
            f"{wanted:,} tokens are longer than the model's context of {anatomy.context_length:,}",
            where=_field(where, "model.max_model_len"),
            hint=f"At most {anatomy.context_length}",
        )
    return wanted


def _field(where: str | None, field_name: str) -> str:
    return f"{where}: {field_name}" if where else field_name
