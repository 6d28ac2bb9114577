"""``pilotage ship status``, ``logs`` and ``smoke``."""

from __future__ import annotations

import os
from typing import Annotated

import typer
from rich.text import Text

from pilotage.cli.models_client import KEY_VARIABLE
from pilotage.cli.ship_arguments import (
    AddressOption,
    CanaryOption,
    DeploymentOption,
    JsonOption,
    PlanOption,
    SpecArgument,
    TargetOption,
    duration,
    lifecycle,
    shipped,
)
from pilotage.cli.ship_screen import output, print_json, show_status
from pilotage.errors import UsageError


def status(
    spec: SpecArgument,
    *,
    deployment: DeploymentOption = None,
    target: TargetOption = None,
    plan: PlanOption = None,
    canary: CanaryOption = False,
    as_json: JsonOption = False,
) -> None:
    """Say what is there: its state, address and replicas."""
    wanted = shipped(spec, deployment, target, plan, alone=canary)
    found = lifecycle(wanted).status(wanted.shipment)
    if as_json:
        print_json(found.as_dict())
    else:
        show_status(output(), found)


def logs(
    spec: SpecArgument,
    *,
    deployment: DeploymentOption = None,
    target: TargetOption = None,
    plan: PlanOption = None,
    canary: CanaryOption = False,
    since: Annotated[str, typer.Option(metavar="TIME", help="How far back: 10m, 2h.")] = "15m",
    lines: Annotated[int, typer.Option("--lines", "-n", min=1, help="The most lines.")] = 200,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with new lines.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Print what the replicas wrote, oldest first."""
    import json  # noqa: PLC0415

    from pilotage.ship.lifecycle import HasLogs  # noqa: PLC0415

    wanted = shipped(spec, deployment, target, plan, alone=canary)
    how = lifecycle(wanted)
    if not isinstance(how, HasLogs):
        raise UsageError(f"{wanted.shipment.target} keeps no logs of replicas", where="--target")
    console = output()
    found = how.logs(wanted.shipment, since_s=duration(since, "--since"), most=lines, follow=follow)
    for one in found:
        if as_json:
            told = {"at": one.at.isoformat(), "stream": one.stream, "text": one.text}
            typer.echo(json.dumps(told, ensure_ascii=False))
        else:
            head = f"{one.at:%Y-%m-%d %H:%M:%S} {one.stream}  "
            console.print(Text(head, style="dim") + Text(one.text))


def smoke(
    spec: SpecArgument,
    *,
    deployment: DeploymentOption = None,
    target: TargetOption = None,
    plan: PlanOption = None,
    canary: CanaryOption = False,
    address: AddressOption = None,
    count: Annotated[int, typer.Option("--count", "-n", min=1, help="Completions.")] = 5,
    max_tokens: Annotated[int, typer.Option(min=1, help="Tokens of each, at most.")] = 64,
    as_json: JsonOption = False,
) -> None:
    """Look for the weights on the hosts, then ask for completions and count tokens a second.

    The API key is taken from PILOTAGE_API_KEY. Exit code 1 if a completion fails.
    """
    from pilotage.ship.lifecycle import HasEndpoint, HasWeights  # noqa: PLC0415
    from pilotage.ship.lifecycle.asking import Endpoint, HttpEndpoint  # noqa: PLC0415
    from pilotage.ship.lifecycle.asking import smoke as smoke_test  # noqa: PLC0415

    wanted = shipped(spec, deployment, target, plan, alone=canary)
    shipment = wanted.shipment
    key = os.environ.get(KEY_VARIABLE) or None
    endpoint: Endpoint
    weights: tuple[str, ...] = ()
    if address is not None and shipment.target == "terraform":
        # What another tool applies is known here by the address that is given.
        endpoint = HttpEndpoint(address=address, key=key)
    else:
        how = lifecycle(wanted, address=address)
        if isinstance(how, HasEndpoint):
            endpoint = how.endpoint(shipment)
        else:
            found = address or how.status(shipment).address
            if found is None:
                raise UsageError("has no address that is known here", where="--address")
            endpoint = HttpEndpoint(address=found, key=key)
        weights = how.weights(shipment) if isinstance(how, HasWeights) else ()
    done = smoke_test(
        endpoint,
        shipment.deployment.model_name,
        count=count,
        max_tokens=max_tokens,
        weights=weights,
    )
    if as_json:
        print_json(done.as_dict())
    else:
        console = output()
        for one in done.weights:
            console.print(f"weights: {one}")
        rate = "" if done.tokens_per_s is None else f", {done.tokens_per_s:.1f} tokens/s"
        console.print(f"{done.address}: {done.answers} of {count} completions{rate}")
        for one in done.failures:
            console.print(Text(f"  {one}", style="red"))
    raise typer.Exit(1 if done.failures else 0)
