"""What a spot interruption does to the chosen plan: simulated, and told."""

from __future__ import annotations

from typing import Final

from pilotage.plan.found import Judged
from pilotage.plan.offers import Offers
from pilotage.plan.report.wording import in_seconds
from pilotage.plan.result import Note
from pilotage.plan.simulate import Spot
from pilotage.plan.sizing import FINAL_REQUESTS, Sizer, broken_promises
from pilotage.units import format_duration

_DAY_S: Final = 86_400.0
_SOURCE: Final = "simulated at the peak, with one instance less"


def interruption_check(offers: Offers, sizer: Sizer, chosen: Judged | None) -> Note | None:
    """What becomes of the promises while an instance that was taken away is replaced.

    A successor is started at the notice, two minutes before the end, so the others carry the peak
    alone for as long as a start takes beyond that. None where no instance can be taken away.
    """
    question = offers.question
    rate = question.assumptions.interruptions_per_hour
    if question.market != "spot" or not rate or chosen is None:
        return None
    sized, machine, one = chosen.sized, chosen.machine, chosen.option.configuration
    if sized is None or machine is None or one.strategy.startswith("sagemaker"):
        return None
    layout = sized.rated.layout
    spot = Spot(interruptions_per_hour=rate)
    gap = offers.start_s(layout, machine) - spot.notice_s
    a_day = offers.instances(layout, machine, sized.copies) * rate * _DAY_S / 3600
    often = f"{a_day:.2g} times a day a spot instance is taken away"
    if gap <= 0:
        return Note(text=f"{often}; its successor has started before it goes.")
    while_short = f"{often}; for {format_duration(gap, digits=2)} until its successor answers"
    left = sized.copies - machine.count // layout.accelerators
    if left < 1:
        return Note(text=f"{while_short} nobody is served.")
    run = sizer.trial(sized.rated, left, FINAL_REQUESTS)
    broken = broken_promises(question.demand, run)
    if broken:
        return Note(
            text=f"{while_short} the others do not keep the promises at the peak: "
            f"{broken[0].message}.",
            source=_SOURCE,
        )
    kept = f": TTFT of {in_seconds(run.ttft.p99)} at p99" if run.ttft else ""
    return Note(text=f"{while_short} the others keep the promises{kept}.", source=_SOURCE)
