"""What a plan may choose from, by flags and by the spec's target."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pilotage.errors import UsageError
from pilotage.spec.shipping import ShippingSpec
from pilotage.units import printable

if TYPE_CHECKING:
    from pilotage.plan.option import Strategy


def strategies_of(
    given: Sequence[str], shipping: ShippingSpec | None, *, on_instances: bool
) -> tuple[tuple[Strategy, ...], tuple[str, ...]]:
    """The strategies that may be chosen, and a note where the spec's target has decided.

    Args:
        given: What ``--strategy`` names.
        shipping: The spec's section, whose target counts where nothing is given.
        on_instances: Whether only such are meant as run on instances.

    Raises:
        UsageError: There is no such strategy.
    """
    from pilotage.plan.engine_choice import ON_INSTANCES  # noqa: PLC0415  needs NumPy
    from pilotage.plan.question import STRATEGIES  # noqa: PLC0415  likewise
    from pilotage.ship.choosing import STRATEGIES_OF_TARGET  # noqa: PLC0415

    unknown = [one for one in given if one not in STRATEGIES]
    if unknown:
        raise UsageError(
            f'"{printable(unknown[0][:40])}" is no strategy',
            where="--strategy",
            hint=f"Strategies are {', '.join(STRATEGIES)}",
        )
    notes: tuple[str, ...] = ()
    allowed: Sequence[str] = given or STRATEGIES
    if not given and shipping is not None and shipping.target is not None:
        allowed = STRATEGIES_OF_TARGET[shipping.target]
        notes = (
            f"Only what ships to {shipping.target} was looked at (shipping.target); --strategy "
            "looks at others.",
        )
    if on_instances:
        allowed = [one for one in allowed if one in ON_INSTANCES]
        if not allowed:
            raise UsageError(
                "what may be chosen runs on no instances of one's own",
                where="--instance-type",
                hint=f"Name one of {', '.join(ON_INSTANCES)} by --strategy",
            )
    return tuple(one for one in STRATEGIES if one in allowed), notes


def instance_types(given: Sequence[str]) -> tuple[str, ...]:
    """The instance types that may be chosen, as EC2 names them; empty for all.

    Raises:
        UsageError: One is not known, or nothing can be planned on it.
    """
    if not given:
        return ()
    from pilotage.catalog.instances import load_instances  # noqa: PLC0415
    from pilotage.plan.candidates import machines  # noqa: PLC0415  needs NumPy

    able = {one.instance.name for one in machines()}
    names = tuple(one.strip().removeprefix("ml.") for one in given)
    for name in names:
        if name in able:
            continue
        if name in load_instances():
            message = f"nothing is planned on {name}: of its processors no speeds are known"
        else:
            message = f'"{printable(name[:40])}" is no instance type that Pilotage knows'
        family = name.partition(".")[0]
        near = sorted(one for one in able if one.partition(".")[0] == family)
        raise UsageError(
            message,
            where="--instance-type",
            hint=f"Of its family there are {', '.join(near)}"
            if near
            else "pilotage catalog show lists all",
        )
    return names
