"""What a reviewer is told: what was chosen, what it costs beside machines, what is dangerous."""

from __future__ import annotations

from collections import Counter

from pilotage.ship.graph import Graph
from pilotage.ship.images import ImageFiles
from pilotage.ship.targets.aws_parts import bill_limit
from pilotage.ship.targets.ecs.layout import Layout
from pilotage.ship.targets.ecs.machines import WEIGHTS_MIB_PER_S
from pilotage.ship.targets.ecs.network import Network
from pilotage.units import format_duration

_BALANCER_USD = 16.43
"""An application load balancer in us-east-1, 730 hours at 0.0225 USD, without its LCUs."""
_FREE_GP3_MIB_PER_S = 125
_GP3_USD_PER_MIB_PER_S = 0.04


def warnings(layout: Layout) -> tuple[str, ...]:
    """What is dangerous and was asked for."""
    given = layout.shipping.network
    found = []
    if given.certificate_arn is None:
        found.append(
            "Plain HTTP: shipping.network.certificate_arn names no certificate, so requests, "
            "answers and API keys cross the network unencrypted."
        )
    if given.public and "0.0.0.0/0" in given.allowed_cidrs:
        found.append("The load balancer is open to the whole internet; only API keys guard it.")
    if given.public and not given.allowed_cidrs:
        found.append(
            "The load balancer has an address on the internet, and shipping.network.allowed_cidrs "
            "lets nobody from there in: only the VPC itself reaches it."
        )
    if layout.shipping.rollout == "downtime":
        found.append(
            "Every change stops the old tasks first: nobody answers for about "
            f"{format_duration(layout.sizing.grace_s)}."
        )
    if layout.spot and layout.sizing.drain_s > 120:
        found.append(
            f"Spot machines go two minutes after they say so, and requests may take "
            f"{format_duration(layout.sizing.drain_s)}: longer ones are cut."
        )
    if layout.sizing.min_replicas < 2:
        found.append("One replica: while it is replaced or its machine fails, nobody answers.")
    return tuple(found)


def notes(layout: Layout, network: Network) -> tuple[str, ...]:
    """What else the reviewer should know."""
    sizing = layout.sizing
    found = [*sizing.notes, *network.notes]
    found.append(
        f"The load balancer costs about {_BALANCER_USD:.0f} USD a month beside what it carries."
    )
    if layout.shipping.rollout == "spare":
        found.append(
            "A change starts new tasks beside the old ones, on up to as many machines again "
            f"({layout.most_instances} at most), which the quota must allow; choose rollout: "
            "downtime where it does not."
        )
    found.append(
        f"A model is given {format_duration(sizing.grace_s)} to fetch and load before a health "
        "check counts. The circuit breaker gives up after three failed tasks or more, so a change "
        f"that never comes up is rolled back after about {format_duration(3 * sizing.grace_s)}."
    )
    if not sizing.instance_store:
        extra = (WEIGHTS_MIB_PER_S - _FREE_GP3_MIB_PER_S) * _GP3_USD_PER_MIB_PER_S
        found.append(
            f"Each machine has a gp3 volume of {sizing.weights_gib} GiB for weights at "
            f"{WEIGHTS_MIB_PER_S} MiB/s, whose throughput costs {extra:.0f} USD a month."
        )
    else:
        found.append("Weights lie on the instance's own disks: a new machine fetches them anew.")
    if layout.kind == "neuron":
        found.append(
            "CloudWatch's agent has no metric of NeuronCores: there is no idle alarm, and scaling "
            "follows requests. Neuron's vLLM of today supports Trn2 and later; Inf2 and Trn1 need "
            "an image of the 2.26 release."
        )
    found.append(
        "Percentiles, queue and tokens in flight are taken from the server's request lines by "
        "metric filters: an answer counts when it is complete."
    )
    found.append(
        "A new AMI is taken when the stack changes, by new machines only; those that run stay."
    )
    if bill_limit(layout.shipment) is None:
        found.append("No budget: neither the spec nor a plan says what a day should cost.")
    else:
        found.append(
            "The budget needs pilotage:deployment activated as a cost allocation tag in the "
            "account's billing settings, and lags some hours behind."
        )
    if layout.shipping.alarms.topic_arn is None:
        found.append("Alarms tell nobody: shipping.alarms.topic_arn names no topic.")
    return tuple(found)


def readme(
    layout: Layout,
    graph: Graph,
    notes: tuple[str, ...],
    warnings: tuple[str, ...],
    image: ImageFiles | None,
) -> str:
    """A page for the reviewer, Markdown."""
    sizing = layout.sizing
    rows = (
        ("Machine", f"{layout.instance.name}, {layout.replicas_per_instance} task(s) each"),
        (
            "Replicas",
            f"{sizing.desired} at first, {sizing.min_replicas} to {sizing.max_replicas}",
        ),
        ("Task", f"{sizing.task_cpu} CPU units, {sizing.task_memory_mib} MiB{_devices(layout)}"),
        (
            "Start",
            f"fetch {format_duration(round(sizing.fetch_s))}, "
            f"load {format_duration(round(sizing.load_s))}, "
            f"grace {format_duration(sizing.grace_s)}",
        ),
        (
            "Stop",
            f"drain {format_duration(sizing.drain_s)}, then killed after "
            f"{format_duration(sizing.stop_s)}",
        ),
        ("Scaling", layout.shipping.scaling.metric),
        ("Region", layout.shipping.region),
    )
    kinds = Counter(one.type for one in graph.resources)
    lines = [
        f"# {layout.name}",
        "",
        f"{graph.description}. Rendered by Pilotage; change the spec, not these files.",
        "",
        *(f"> **Warning.** {one}" + "\n" for one in warnings),
        "| What | How |",
        "| --- | --- |",
        *(f"| {what} | {how} |" for what, how in rows),
        "",
        "## What to know",
        "",
        *(f"- {one}" for one in notes),
        "",
        "## Files",
        "",
        "- `template.yaml`: the stack.",
        "- `parameters.json`: its parameters. Those that stand for nothing yet (a digest of zeros, "
        "an account of zeros, 127.0.0.1/32) are given their values by `pilotage ship apply`.",
        *_before(layout),
        *_image(image),
        "",
        "## What is made",
        "",
        *(f"- `{kind}`: {count}" for kind, count in sorted(kinds.items())),
        "",
    ]
    return "\n".join(lines)


def _before(layout: Layout) -> list[str]:
    if layout.shipping.image.uri and layout.shipping.keys_secret_arn:
        return []
    return [
        "- `prerequisites.yaml`: the stack that comes first, with the image's repository and the "
        "secret of API keys: tasks start as soon as the main stack has a service."
    ]


def _image(image: ImageFiles | None) -> list[str]:
    if image is None:
        return []
    return [
        "- `image/`: the image, which is pushed before the main stack is made:",
        "",
        "```sh",
        *image.commands,
        "```",
    ]


def _devices(layout: Layout) -> str:
    sizing = layout.sizing
    if sizing.gpus:
        return f", {sizing.gpus} GPU(s)"
    if sizing.neuron_devices:
        return f", {sizing.neuron_devices} Neuron device(s)"
    return ""
