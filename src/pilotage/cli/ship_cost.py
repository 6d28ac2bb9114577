"""``pilotage ship cost``: what a month costs, before anything is made."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from pilotage.cli.ship_arguments import (
    CanaryOption,
    DeploymentOption,
    JsonOption,
    PlanOption,
    SpecArgument,
    TargetOption,
    shipped,
)
from pilotage.cli.ship_screen import output, print_json
from pilotage.errors import UsageError
from pilotage.spec import BudgetSpec

if TYPE_CHECKING:
    from pilotage.ship.cost import Bill, Total
    from pilotage.ship.target import Shipment

PriceOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME=USD", help="A price of your own: ml.g5.2xlarge=1.52.", show_default=False
    ),
]
_HOURS_A_MONTH = 730


@dataclass(frozen=True)
class Cost:
    """A month's cost, or why it is not known.

    Attributes:
        total: None where a price is missing.
        unknown: Then why.
    """

    total: Total | None
    unknown: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """As JSON-ready data; dollars are numbers."""
        if self.total is None:
            return {"unknown": self.unknown}
        found = self.total
        bills = {"desired": found.desired, "least": found.least, "most": found.most}
        return {
            **{f"usd_per_month_{name}": float(bill.usd) for name, bill in bills.items()},
            "bills": {name: _bill(bill) for name, bill in bills.items()},
            "notes": found.notes,
        }


def cost(
    spec: SpecArgument,
    *,
    deployment: DeploymentOption = None,
    target: TargetOption = None,
    plan: PlanOption = None,
    canary: CanaryOption = False,
    price: PriceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say what a month costs: at the start, with the fewest and with the most replicas."""
    wanted = shipped(spec, deployment, target, plan, alone=canary)
    found = _total(wanted.shipment, tuple(price or ()))
    if as_json:
        print_json(Cost(found).as_dict())
        return
    console = output()
    for one in found.desired.charges:
        console.print(Text(f"{float(one.usd):>12,.2f} USD  {one.name}: ") + Text(one.formula))
        console.print(Text(f"{'':>18}{one.source}", style="dim"))
    for line in cost_lines(Cost(found), wanted.shipment.deployment.budget):
        console.print(line)


def cost_of(shipment: Shipment) -> Cost:
    """What a month costs, where every price is known."""
    try:
        return Cost(_total(shipment, ()))
    except UsageError as error:
        return Cost(None, str(error))


def cost_lines(cost: Cost, budget: BudgetSpec | None) -> Iterator[Text]:
    """The cost in two lines, red where it breaks the budget."""
    if cost.total is None:
        yield Text(f"cost: not known: {cost.unknown}", style="bold yellow")
        return
    found = cost.total
    yield Text(f"cost: {_said(found.desired)}", style="bold")
    if found.least.replicas != found.most.replicas:
        yield Text(f"      from {_said(found.least)} to {_said(found.most)}")
    limit = budget.usd_per_month if budget is not None else None
    if limit is not None and float(found.desired.usd) > limit:
        yield Text(f"      above the budget of {limit:,.0f} USD a month", style="bold red")
    elif limit is not None and float(found.most.usd) > limit:
        yield Text(f"      at the most above the budget of {limit:,.0f} USD", style="red")
    for note in found.notes:
        yield Text(f"      {note}", style="dim")


def spent(cost: Cost, hours: float | None) -> float | None:
    """What so many hours have cost at the desired replicas, by list prices."""
    if cost.total is None or hours is None:
        return None
    return float(cost.total.desired.usd) * hours / _HOURS_A_MONTH


def _total(shipment: Shipment, given: tuple[str, ...]) -> Total:
    from pilotage.catalog.prices import load_price_book  # noqa: PLC0415
    from pilotage.fetch import default_home  # noqa: PLC0415
    from pilotage.ship.cost import monthly_cost  # noqa: PLC0415

    prices = load_price_book(shipment.shipping.region, home=default_home(), given=given)
    return monthly_cost(shipment, prices)


def _said(bill: Bill) -> str:
    return f"{float(bill.usd):,.2f} USD a month with {bill.replicas} replicas"


def _bill(bill: Bill) -> dict[str, Any]:
    return {
        "replicas": bill.replicas,
        "instances": bill.instances,
        "usd_per_month": float(bill.usd),
        "charges": [
            {"name": one.name, "usd": float(one.usd), "formula": one.formula, "source": one.source}
            for one in bill.charges
        ],
    }
