"""The latency that no software can beat, against what is promised."""

from __future__ import annotations

from pilotage.plan.candidates import Layout
from pilotage.plan.option import Obstacle
from pilotage.plan.question import Question
from pilotage.plan.roofline import RooflineModel
from pilotage.plan.step_model import Batch


def floor_obstacles(
    question: Question, layout: Layout, model: RooflineModel
) -> tuple[Obstacle, ...]:
    """Promises that the hardware itself breaks, with the arithmetic.

    One request in a hundred has a completion of p99 or longer, so the p99 of the end-to-end
    latency is at least that of the shortest prompt with such a completion; likewise one in a
    hundred has a prompt of p99 or longer, and no first token comes before it has been read.

    How near such a layout is is told by what is expected of it, not by the floor, which nothing
    reaches.
    """
    demand = question.demand
    found = []
    if demand.tpot_p99 is not None and question.completion_p99 > 1:
        found.append(_token_floor(question, layout, model, demand.tpot_p99))
    if demand.ttft_p99 is not None:
        found.append(_prompt_floor(question, layout, model, demand.ttft_p99))
    if demand.e2e_p99 is not None:
        found.append(_answer_floor(question, layout, model, demand.e2e_p99))
    return tuple(one for one in found if one is not None)


def token_floor_s(model: RooflineModel, context: float) -> float:
    """Seconds of one token for one sequence."""
    return model.floor_s(Batch(decode_seqs=1, decode_context=context))


def _token_floor(
    question: Question, layout: Layout, model: RooflineModel, promised: float
) -> Obstacle | None:
    least = token_floor_s(model, question.demand.prompt.p50)
    if least <= promised:
        return None
    return Obstacle(
        limit="tpot_p99",
        message=f"a token takes at least {_ms(least)} ({reading(layout, model)}); "
        f"{_ms(promised)} are promised",
        relax=_relax("tpot_p99", least),
        shortfall=model.decode_s(1, question.demand.prompt.p50) / promised,
    )


def _prompt_floor(
    question: Question, layout: Layout, model: RooflineModel, promised: float
) -> Obstacle | None:
    prompt, images = question.prompt_p99, question.demand.images
    batch = Batch(prefill_tokens=prompt, prefill_context=prompt * (prompt + 1) / 2, images=images)
    least = model.floor_s(batch)
    if least <= promised:
        return None
    what = f"a prompt of {prompt:,} tokens"
    if images:
        what += f" with {images} image{'s' if images > 1 else ''}"
    return Obstacle(
        limit="ttft_p99",
        message=f"{what} takes at least {_ms(least)} "
        f"(2 x {question.anatomy.active_parameters / 1e9:.3g}B weights x {prompt:,} tokens / "
        f"{layout.accelerators} x {model.peak / 1e12:,.0f} TFLOP/s); {_ms(promised)} are promised",
        relax=_relax("ttft_p99", least),
        shortfall=model.step_s(batch) / promised,
    )


def _answer_floor(
    question: Question, layout: Layout, model: RooflineModel, promised: float
) -> Obstacle | None:
    completion = question.completion_p99
    least = model.request_floor_s(1, completion, question.demand.images)
    if least <= promised:
        return None
    each = token_floor_s(model, completion / 2)
    return Obstacle(
        limit="e2e_p99",
        message=f"{completion:,} tokens x {_ms(each)} ({reading(layout, model)}) take at least "
        f"{_ms(least)}; {_ms(promised)} are promised",
        relax=_relax("e2e_p99", least),
        shortfall=completion * model.decode_s(1, completion / 2) / promised,
    )


def reading(layout: Layout, model: RooflineModel) -> str:
    """The arithmetic of one token: "21.3 GB of weights / 320 GB/s"."""
    read = model.parts_of(Batch(decode_seqs=1, decode_context=1.0)).weights
    size = read * model.accelerator.bandwidth * layout.tensor_parallel
    ranks = f"{layout.tensor_parallel} x " if layout.tensor_parallel > 1 else ""
    return f"{size / 1e9:.3g} GB of weights / {ranks}{model.accelerator.bandwidth / 1e9:,.0f} GB/s"


def _relax(limit: str, least: float) -> str:
    return f"promise a {limit} above {_ms(least)}, or take faster memory or fewer bytes a weight"


def _ms(seconds: float) -> str:
    return f"{seconds:.3g} s" if seconds >= 1 else f"{seconds * 1e3:.3g} ms"
