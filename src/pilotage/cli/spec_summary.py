"""What a deployment's spec means, a line a section, in the words of the file."""

from __future__ import annotations

from collections.abc import Iterator

from pilotage.spec import BudgetSpec, Deployment, ServingSpec, WorkloadSpec
from pilotage.spec.routing import RoutingSpec
from pilotage.spec.shipping import ShippingSpec
from pilotage.units import format_count, format_duration, format_rate, format_size


def lines(deployment: Deployment) -> Iterator[tuple[str, str]]:
    """A line a section, in the words of the file."""
    model, slo = deployment.model, deployment.slo
    parts = [f"{model.name} from {model.source}"]
    if model.revision is not None:
        parts.append(f"revision {model.revision}")
    parts += [f"engine {model.engine}", f"dtype {model.dtype}"]
    if model.max_model_len is not None:
        parts.append(f"at most {model.max_model_len} tokens")
    yield "model", ", ".join(parts)
    if deployment.workload is not None:
        yield "workload", _workload(deployment.workload)
    promises = {"TTFT": slo.ttft_p99, "TPOT": slo.tpot_p99, "end to end": slo.e2e_p99}
    promised = [f"{name} {format_duration(value)}" for name, value in promises.items() if value]
    if promised:
        yield "slo", f"{', '.join(promised)} at p99"
    else:
        target = format_duration(deployment.ttft_target)
        yield "slo", f"none; admission aims at a first token within {target}"
    if deployment.budget is not None and (budget := limits(deployment.budget)):
        yield "budget", budget
    yield "serving", _serving(deployment.serving)
    if deployment.routing is not None:
        yield "routing", _routing(deployment.routing)
    if deployment.shipping is not None:
        yield "shipping", _shipping(deployment.shipping)


def _workload(workload: WorkloadSpec) -> str:
    arrivals, prompt, completion = (
        workload.arrivals,
        workload.prompt_tokens,
        workload.completion_tokens,
    )
    rate, peak = format_rate(arrivals.rate), format_rate(arrivals.peak)
    words = f"{rate}, {'' if peak == rate else f'peak {peak}, '}{arrivals.shape}"
    words += f"; prompts of {format_count(prompt.p50)} tokens, {format_count(prompt.p99)} at p99"
    words += f"; completions of {format_count(completion.p50)}, "
    words += f"{format_count(completion.p99)} at p99"
    if (images := workload.images) is not None:
        number = "1 image" if images.count == 1 else f"{images.count} images"
        words += f"; {number} of {images.width}x{images.height}"
    return words


def limits(budget: BudgetSpec) -> str:
    """A budget in words; empty for one without limits."""
    amounts = {"a month": budget.usd_per_month, "a request": budget.usd_per_request}
    return ", ".join(f"${value:,.10g} {per}" for per, value in amounts.items() if value is not None)


def _serving(serving: ServingSpec) -> str:
    workers = "1 worker" if serving.workers == 1 else f"{serving.workers} workers"
    if serving.kv_cache is not None:
        cache = f"KV cache {format_size(serving.kv_cache)} a worker"
    else:
        cache = f"KV caches from {serving.memory_fraction:.0%} of the free memory"
    host = f"[{serving.host}]" if ":" in serving.host else serving.host
    port = "any free port" if serving.port == 0 else f"port {serving.port}"
    return (
        f"{host}, {port}, {workers}, {cache}, "
        f"prefix caching {'on' if serving.prefix_caching else 'off'}, "
        f"{format_duration(serving.request_timeout)} a request at most"
    )


def _routing(routing: RoutingSpec) -> str:
    tiers = " → ".join(
        f"{tier.name} ({', '.join(dict.fromkeys(backend.kind for backend in tier.backends))})"
        for tier in routing.tiers
    )
    words = f"{routing.model} by {routing.policy} over {tiers}"
    if routing.policy == "static" and routing.tier is not None:
        words += f", always {routing.tier}"
    if routing.calibration is not None:
        words += f", calibrated by {routing.calibration.name}"
    if routing.force:
        words += ", forced"
    shares = {"shadowed": routing.shadow_share, "judged": routing.judge_share}
    told = [f"{100 * share:.3g}% {what}" for what, share in shares.items() if share]
    return ", ".join([words, *told])


def _shipping(shipping: ShippingSpec) -> str:
    network, scaling = shipping.network, shipping.scaling
    parts = [
        shipping.target or "the plan's target",
        f"{shipping.region}{'' if shipping.account is None else f', account {shipping.account}'}",
        "on the internet" if network.public else "inside its VPC",
        "HTTPS" if network.certificate_arn is not None else "plain HTTP",
    ]
    most = "the plan's number of" if scaling.max is None else str(scaling.max)
    if scaling.metric == "none":
        parts.append("never scaled")
    else:
        parts.append(f"{scaling.min} to {most} replicas by {scaling.metric.replace('_', ' ')}")
    if scaling.spot_share:
        parts.append(f"{scaling.spot_share:.0%} on spot above {scaling.on_demand_base}")
    return ", ".join(parts)
