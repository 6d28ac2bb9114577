"""``pilotage ship diff``, ``apply`` and ``destroy``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from pilotage.cli.ship_arguments import (
    AddressOption,
    CanaryOption,
    DeploymentOption,
    JsonOption,
    LimitOption,
    ParameterOption,
    PlanOption,
    PollOption,
    SpecArgument,
    TargetOption,
    YesOption,
    lifecycle,
    shipped,
)
from pilotage.cli.ship_cost import cost_lines, cost_of, spent
from pilotage.cli.ship_screen import (
    agreed,
    errors,
    output,
    print_json,
    progress,
    show_destroyed,
    show_difference,
    show_remarks,
    show_status,
)

if TYPE_CHECKING:
    from pilotage.ship.lifecycle import Difference, Status


def diff(
    spec: SpecArgument,
    *,
    deployment: DeploymentOption = None,
    target: TargetOption = None,
    plan: PlanOption = None,
    canary: CanaryOption = False,
    parameter: ParameterOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say what applying would change, and what of it would be replaced. Nothing is changed."""
    wanted = shipped(spec, deployment, target, plan, alone=canary)
    rendered = wanted.rendered()
    difference = lifecycle(wanted, parameters=parameter or ()).diff(wanted.shipment, rendered)
    if as_json:
        print_json(difference.as_dict())
    else:
        show_difference(output(), difference)


def apply(
    spec: SpecArgument,
    *,
    deployment: DeploymentOption = None,
    target: TargetOption = None,
    plan: PlanOption = None,
    canary: CanaryOption = False,
    yes: YesOption = False,
    address: AddressOption = None,
    parameter: ParameterOption = None,
    completion: Annotated[
        bool,
        typer.Option(
            "--completion/--no-completion", help="Ask the model for a real completion at the end."
        ),
    ] = True,
    keep: Annotated[
        bool,
        typer.Option("--keep", help="Leave what came up and does not answer, to be looked at."),
    ] = False,
    poll: PollOption = "5s",
    limit: LimitOption = "3h",
    as_json: JsonOption = False,
) -> None:
    """Show cost and difference, ask, change it, and wait until the model really answers.

    It can be stopped at any moment and run again: the state is what the platform has.
    """
    wanted = shipped(spec, deployment, target, plan, alone=canary)
    rendered = wanted.rendered()
    shipment = wanted.shipment
    console = errors()
    total = cost_of(shipment)

    how = lifecycle(
        wanted,
        poll=poll,
        limit=limit,
        parameters=parameter or (),
        address=address,
        completion=completion,
        keep=keep,
    )
    with progress(as_json=as_json) as say:

        def agree(difference: Difference) -> bool:
            with say.paused():
                if not as_json:
                    show_remarks(console, rendered)
                    for line in cost_lines(total, shipment.deployment.budget):
                        console.print(line)
                    show_difference(console, difference)
                return agreed("Apply this?", yes=yes)

        done = how.apply(shipment, rendered, agree=agree, say=say)
    if as_json:
        print_json({**done.as_dict(), "cost": total.as_dict()})
    elif not done.agreed:
        console.print("Nothing was changed.")
    elif done.status is not None:
        show_status(output(), done.status)
    raise typer.Exit(0 if done.agreed else 1)


def destroy(
    spec: SpecArgument,
    *,
    deployment: DeploymentOption = None,
    target: TargetOption = None,
    plan: PlanOption = None,
    canary: CanaryOption = False,
    yes: YesOption = False,
    purge: Annotated[
        bool,
        typer.Option("--purge", help="Remove logs, images and volumes that would be left, too."),
    ] = False,
    poll: PollOption = "5s",
    limit: LimitOption = "3h",
    as_json: JsonOption = False,
) -> None:
    """Take it all away, in the order that does not hang, and list what is left and what it cost."""
    wanted = shipped(spec, deployment, target, plan, alone=canary)
    shipment = wanted.shipment
    console = errors()

    how = lifecycle(wanted, poll=poll, limit=limit, purge=purge)
    with progress(as_json=as_json) as say:

        def agree(status: Status) -> bool:
            with say.paused():
                if not as_json:
                    show_status(console, status)
                return agreed(f"Destroy {status.name}?", yes=yes)

        done = how.destroy(shipment, agree=agree, say=say)
    usd = spent(cost_of(shipment), done.hours)
    if as_json:
        print_json({**done.as_dict(), "usd": usd})
    elif not done.agreed:
        console.print("Nothing was destroyed.")
    else:
        show_destroyed(output(), done, usd)
    raise typer.Exit(0 if done.agreed else 1)
