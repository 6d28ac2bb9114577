"""Plans made by hand, with figures as a search would give them."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime

from pilotage.plan.demand import Demand, Lengths
from pilotage.plan.option import (
    Configuration,
    Cost,
    Estimate,
    Latencies,
    Obstacle,
    Option,
    Strategy,
)
from pilotage.plan.precision import find_precision
from pilotage.plan.result import (
    Answer,
    Curve,
    DecisionPath,
    ModelFacts,
    Note,
    ParetoPoint,
    Plan,
    PortfolioPlan,
    SensitivityRow,
    StatedError,
)
from pilotage.plan.step_model import EngineLimits
from pilotage.plan.terms import Sum, Term

GIB = 1 << 30
WHEN = datetime(2026, 11, 22, 15, 4, tzinfo=UTC)
EC2 = "AWS EC2 on-demand, us-east-1, 2026-07-20 (karpenter-provider-aws)"


def latencies(p50: float, p90: float, p99: float, spread: float = 0.08) -> Latencies:
    return Latencies(
        p50=p50, p90=p90, p99=p99, p99_low=p99 * (1 - spread), p99_high=p99 * (1 + spread)
    )


def rented(
    instance: str,
    count: int,
    usd_per_hour: float,
    *,
    dtype: str = "awq",
    memory_gib: float = 44.7,
    weights_gib: float = 6.9,
    speed: float = 1.0,
    tensor_parallel: int = 1,
    strategy: Strategy = "ecs-gpu",
    obstacles: tuple[Obstacle, ...] = (),
    max_count: int | None = None,
    rate: float = 20,
) -> Option:
    """An option on instances; ``speed`` scales its latencies."""
    kv = memory_gib * 0.92 - weights_gib - 3.1
    memory = Sum(
        "memory of a rank",
        (
            Term(
                "weights",
                weights_gib * GIB,
                "B",
                "9.78e9 x 4.16 bit / 8 + 0.86e9 x 2 B",
                "AWQ g128: 4-bit weights, a 16-bit scale and a zero point a group",
            ),
            Term(
                "activation peak",
                2.2 * GIB,
                "B",
                "max(6 x (14,336 + 4,096) x 8,192 B, 39 KiB x 128,256) = 2.2 GiB",
                "fitted to vLLM logs of 3090 and H100; see shared/facts/planning.md",
            ),
            Term("runtime and graphs", 0.9 * GIB, "B", "0.6 GiB + 0.3 GiB", "vLLM 0.21 logs"),
            Term(
                "KV cache",
                max(kv, 0) * GIB,
                "B",
                f"0.92 x {memory_gib} GiB - 6.9 GiB - 2.2 GiB - 0.9 GiB",
                "vLLM: what gpu_memory_utilization leaves",
            ),
        ),
    )
    hours = count * usd_per_hour * 730
    monthly = Sum(
        "a month",
        (
            Term("instances", hours, "USD/month", f"{count} x ${usd_per_hour}/h x 730 h", EC2),
            Term("load balancer", 22.27, "USD/month", "$0.0225/h x 730 h + LCUs", "AWS ELB, 2026"),
            Term("storage", count * 8.0, "USD/month", f"{count} x 100 GB x $0.08", "AWS EBS gp3"),
        ),
    )
    requests = rate * 730 * 3600
    return Option(
        configuration=Configuration(
            strategy=strategy,
            instance_type=instance,
            count=count,
            replicas=count,
            engine="vllm",
            precision=find_precision(dtype),
            tensor_parallel=tensor_parallel,
            limits=EngineLimits(
                max_num_seqs=64,
                max_num_batched_tokens=8192,
                kv_tokens=int(max(kv, 0) * GIB / 131_072),
                max_model_len=4096,
            ),
            max_count=max_count or count,
        ),
        estimate=Estimate(
            ttft=latencies(0.118 * speed, 0.196 * speed, 0.312 * speed),
            tpot=latencies(0.0116 * speed, 0.0124 * speed, 0.0139 * speed, 0.03),
            e2e=latencies(0.79 * speed, 1.24 * speed, 1.76 * speed),
            floor_e2e_s=0.47 * speed,
            requests_per_s=94 / speed,
            output_tokens_per_s=rate * 66,
            utilisation=0.41,
            memory=memory,
            memory_bytes=int(memory_gib * GIB),
            relative_error={"ttft": 0.12, "tpot": 0.11, "e2e": 0.14},
        ),
        cost=Cost(
            monthly=monthly,
            usd_per_request=monthly.value / requests,
            usd_per_million_tokens=monthly.value / (requests * 280) * 1e6,
            idle_usd=hours * 0.59,
        ),
        obstacles=obstacles,
    )


def bedrock(
    strategy: Strategy, usd: float | None, p99: float, obstacles: tuple[Obstacle, ...] = ()
) -> Option:
    """An option whose provider runs the model; without a price where none is known."""
    term = Term(
        "tokens", usd or 0, "USD/month", "52.6M requests x 280 tokens x $0.16/M", "genai-prices"
    )
    cost = Cost(monthly=Sum("a month", (term,)), usd_per_request=1e-4, usd_per_million_tokens=0.16)
    return Option(
        configuration=Configuration(strategy=strategy),
        estimate=Estimate(
            ttft=latencies(p99 / 3, p99 / 2, p99 * 0.6),
            tpot=None,
            e2e=latencies(p99 / 2, p99 / 1.4, p99),
            floor_e2e_s=0.0,
            requests_per_s=13.3,
            output_tokens_per_s=1320,
            utilisation=0.5,
        ),
        cost=cost if usd is not None else None,
        obstacles=obstacles,
    )


def no_memory(need: float, have: float) -> Obstacle:
    return Obstacle(
        limit="memory",
        message=f"weights take {need} GiB of bf16 and the accelerator has {have} GiB",
        relax="Take a format with fewer bits, or split the model over more accelerators",
        shortfall=need / have,
    )


def too_slow(took: str, ratio: float) -> Obstacle:
    return Obstacle(
        limit="e2e_p99",
        message=f"p99 would be {took}, promised are 2 s",
        relax=f"Promise {took}, or let answers be shorter",
        shortfall=ratio,
    )


def cumulative(median: float, p99: float) -> tuple[tuple[float, float], ...]:
    """A log-normal distribution through two percentiles."""
    sigma = math.log(p99 / median) / 2.3263
    values = [median * math.exp(sigma * (step / 20 - 3)) for step in range(131)]
    return tuple(
        (value, 0.5 * (1 + math.erf(math.log(value / median) / (sigma * math.sqrt(2)))))
        for value in values
    )


def model() -> ModelFacts:
    return ModelFacts(
        name="meta-llama/Llama-3.2-11B-Vision-Instruct",
        family="mllama",
        parameters=10_670_220_835,
        active_parameters=9_775_192_064,
        layers=40,
        context_length=131_072,
        max_model_len=4096,
        stored="bf16",
        sees=True,
    )


def demand() -> Demand:
    return Demand(
        rate=20,
        peak=80,
        shape="spiky",
        prompt=Lengths(p50=180, p99=900),
        completion=Lengths(p50=60, p99=128),
        images=1,
        image_width=512,
        image_height=512,
        ttft_p99=0.4,
        tpot_p99=0.06,
        e2e_p99=2.0,
        usd_per_month=14_000,
    )


def receipts() -> Plan:
    """A vision model that reads receipts: it fits."""
    chosen = rented("g6e.xlarge", 4, 1.861, max_count=7)
    runners_up = (
        rented("g6e.2xlarge", 4, 2.24208, speed=0.99),
        rented("g6e.xlarge", 6, 1.861, dtype="fp8", weights_gib=10.9, speed=1.12),
        rented("p5.4xlarge", 2, 6.88, dtype="fp8", memory_gib=79.2, weights_gib=10.9, speed=0.45),
        rented("ml.g6e.xlarge", 4, 2.605, strategy="sagemaker-realtime", speed=1.03),
        rented("g6e.12xlarge", 1, 10.49264, tensor_parallel=2, speed=0.7),
        rented("p4d.24xlarge", 1, 21.9576, dtype="fp16", memory_gib=39.4, speed=0.6),
    )
    infeasible = (
        rented(
            "g6.xlarge",
            9,
            0.8048,
            memory_gib=22.4,
            speed=1.9,
            obstacles=(too_slow("3.34 s", 1.67),),
        ),
        rented(
            "g5.xlarge", 6, 1.006, memory_gib=22.4, speed=1.3, obstacles=(too_slow("2.29 s", 1.14),)
        ),
        rented(
            "g4dn.xlarge",
            1,
            0.526,
            dtype="fp16",
            memory_gib=14.6,
            weights_gib=19.9,
            speed=6.0,
            obstacles=(no_memory(19.9, 14.6), too_slow("10.6 s", 5.3)),
        ),
        rented(
            "inf2.xlarge",
            6,
            0.7582,
            strategy="ecs-neuron",
            dtype="bf16",
            memory_gib=32,
            speed=1.6,
            obstacles=(
                Obstacle(limit="engine", message="Neuron's vLLM runs no Mllama on Inferentia2"),
            ),
        ),
        bedrock(
            "bedrock-on-demand",
            15_732,
            2.9,
            (
                too_slow("2.9 s", 1.45),
                Obstacle(
                    limit="usd_per_month",
                    message="would be $15,732 a month of $14,000",
                    relax="Raise the budget to $15,732",
                    shortfall=1.12,
                ),
            ),
        ),
        bedrock(
            "bedrock-provisioned",
            None,
            1.2,
            (
                Obstacle(
                    limit="price unknown",
                    message="AWS publishes no price of a model unit",
                    relax="Give prices.bedrock_model_unit_usd_per_hour",
                ),
            ),
        ),
        bedrock("lambda-bedrock", 16_100, 3.1, (too_slow("3.1 s", 1.55),)),
        bedrock(
            "sagemaker-serverless",
            None,
            60.0,
            (Obstacle(limit="no GPU", message="serverless endpoints have none, and 6 GB at most"),),
        ),
        bedrock("sagemaker-async", 4_900, 31.0, (too_slow("31 s", 15.5),)),
    )
    everything = [chosen, *runners_up, *infeasible]
    return Plan(
        name="receipts",
        created_at=WHEN,
        pilotage="0.1.0",
        model=model(),
        demand=demand(),
        chosen=chosen,
        runners_up=runners_up,
        infeasible=infeasible,
        tree=DecisionPath(
            answers=(
                Answer(question="A standard model of Bedrock's?", answer="yes, meta.llama3-2-11b"),
                Answer(
                    question="Steady above 100 requests a second?", answer="no, 20 to 80, spiky"
                ),
                Answer(question="Sporadic?", answer="no"),
            ),
            strategy="bedrock-on-demand",
            verdict="Bedrock on-demand would cost $15,732 a month and take 2.9 s at p99; "
            "four L40S cost $5,489 and take 1.76 s",
            overruled=True,
        ),
        pareto=tuple(_point(option, option is chosen) for option in everything if option.cost),
        sensitivity=(
            *(
                _row("load", factor, usd, p99)
                for factor, usd, p99 in (
                    (0.25, 2_745, 1.71),
                    (0.5, 2_745, 1.82),
                    (1.0, 5_489, 1.76),
                    (2.0, 9_605, 1.84),
                    (4.0, None, None),
                )
            ),
            *(
                _row("length", factor, usd, p99)
                for factor, usd, p99 in (
                    (0.5, 4_116, 0.98),
                    (1.0, 5_489, 1.76),
                    (1.5, 10_060, 1.41),
                    (2.0, 10_060, 1.88),
                    (3.0, None, None),
                )
            ),
        ),
        curves=(
            Curve(metric="ttft", points=cumulative(0.118, 0.312)),
            Curve(metric="tpot", points=cumulative(0.0116, 0.0139)),
            Curve(metric="e2e", points=cumulative(0.79, 1.76)),
        ),
        errors=(
            StatedError(name="ttft", relative=0.12, measured_on="11 rows, each model left out"),
            StatedError(name="tpot", relative=0.11, measured_on="14 rows, each GPU left out"),
            StatedError(name="memory_bytes", relative=0.03, measured_on="9 rows of vLLM logs"),
        ),
        notes=(
            Note(text="Prices are on-demand, without taxes", source=EC2),
            Note(text="AWQ keeps the answers good enough: check it on your own data"),
            Note(text="Images count as 1,601 patches a tile", source="config.json of the model"),
        ),
        region="us-east-1",
        considered=412,
        seconds=1.3,
    )


def _row(of: str, factor: float, usd: float | None, p99: float | None) -> SensitivityRow:
    return SensitivityRow(
        of="load" if of == "load" else "length",
        factor=factor,
        usd_per_month=usd,
        ttft_p99_s=None if p99 is None else p99 / 6,
        e2e_p99_s=p99,
        label="above the budget of $14,000" if usd is None else f"{round(usd / 1372)} x g6e.xlarge",
        feasible=usd is not None,
        held_e2e_p99_s=1.76 * factor**1.4 if factor < 3 else None,
        held_feasible=factor <= 1,
    )


def _point(option: Option, chosen: bool) -> ParetoPoint:
    one, estimate, cost = option.configuration, option.estimate, option.cost
    assert estimate and estimate.e2e and cost
    return ParetoPoint(
        label=f"{one.count} x {one.instance_type}" if one.instance_type else one.strategy,
        strategy=one.strategy,
        usd_per_month=cost.usd_per_month,
        e2e_p99_s=estimate.e2e.p99,
        feasible=option.feasible,
        chosen=chosen,
    )


def finance() -> Plan:
    """A chat model for bank clerks, few requests: Bedrock's token prices are the cheapest."""
    asked = Demand(
        rate=0.5,
        peak=2,
        shape="spiky",
        prompt=Lengths(p50=900, p99=3000),
        completion=Lengths(p50=150, p99=400),
        ttft_p99=1.5,
        e2e_p99=12.0,
    )
    chosen = bedrock("bedrock-on-demand", 359.0, 7.8)
    return Plan(
        name="finance",
        created_at=WHEN,
        pilotage="0.1.0",
        model=ModelFacts(
            name="meta-llama/Llama-3.1-8B-Instruct",
            family="llama",
            parameters=8_030_261_248,
            active_parameters=7_504_924_672,
            layers=32,
            context_length=131_072,
            max_model_len=8192,
            stored="bf16",
        ),
        demand=asked,
        chosen=replace(
            chosen,
            estimate=replace(chosen.estimate, ttft=latencies(0.3, 0.6, 1.1)),  # type: ignore[type-var]
        ),
        runners_up=(rented("g6.xlarge", 1, 0.8048, memory_gib=22.4, rate=0.5),),
        tree=DecisionPath(
            answers=(Answer(question="Sporadic?", answer="yes, 0.5 a second"),),
            strategy="lambda-bedrock",
            verdict="The function adds cost and start-up time, and nothing that is asked for",
            overruled=True,
        ),
        considered=398,
    )


def impossible() -> Plan:
    """387 ms on a T4: nothing fits."""
    misses = (
        rented(
            "g4dn.xlarge",
            1,
            0.526,
            dtype="fp16",
            memory_gib=14.6,
            weights_gib=19.9,
            speed=6,
            obstacles=(no_memory(19.9, 14.6), replace(too_slow("10.6 s", 27.4))),
        ),
        rented(
            "p5.4xlarge",
            1,
            6.88,
            dtype="fp8",
            memory_gib=79.2,
            speed=0.45,
            obstacles=(
                Obstacle(
                    limit="e2e_p99",
                    message="p99 would be 0.79 s, promised are 387 ms",
                    relax="Promise 0.8 s, or let answers have 60 tokens at most",
                    shortfall=2.05,
                ),
            ),
        ),
        bedrock(
            "sagemaker-serverless",
            None,
            60.0,
            (Obstacle(limit="no GPU", message="serverless endpoints have none, and 6 GB at most"),),
        ),
    )
    return replace(
        receipts(),
        name="receipts-on-a-t4",
        demand=replace(demand(), e2e_p99=0.387),
        chosen=None,
        runners_up=(),
        infeasible=misses,
        sensitivity=(),
        curves=(),
        tree=None,
        pareto=tuple(_point(option, False) for option in misses if option.cost),
    )


def portfolio() -> PortfolioPlan:
    """Two that fit, and one that does not."""
    return PortfolioPlan(
        name="platform",
        created_at=WHEN,
        pilotage="0.1.0",
        plans=(receipts(), finance(), impossible()),
        usd_per_month=5_000,
        relax=(
            "receipts: promise 2.3 s at p99 instead of 2 s and take 6 x g5.xlarge: saves $1,030",
            "receipts-on-a-t4: promise 0.8 s at p99: 1 x p5.4xlarge, $5,053 a month",
        ),
    )
