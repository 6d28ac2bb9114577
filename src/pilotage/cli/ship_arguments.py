"""What all verbs of ``pilotage ship`` take, and what they make of it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, cast, get_args

import typer

from pilotage.cli.fetch import from_environment
from pilotage.cli.models_client import KEY_VARIABLE
from pilotage.errors import PilotageError, UsageError
from pilotage.spec import Portfolio, load, load_file, read_plan
from pilotage.spec.shipping import TargetName
from pilotage.units import format_duration, parse_duration, printable

if TYPE_CHECKING:
    from pilotage.ship.lifecycle import Lifecycle
    from pilotage.ship.target import Rendered, Shipment, Target

_TARGETS: Final = get_args(TargetName)
_LEAST_POLL_S: Final = 0.1
"""No platform is asked more often: it would throttle, and everybody else with it."""

SpecArgument = Annotated[Path, typer.Argument(metavar="SPEC", help="A spec file (.yaml).")]
DeploymentOption = Annotated[
    str | None, typer.Option(help="This deployment of a portfolio.", show_default=False)
]
TargetOption = Annotated[
    str | None,
    typer.Option(
        "--target",
        "-t",
        help=f"Which platform: {', '.join(_TARGETS)}.",
        show_default="shipping.target, or the plan's",
        autocompletion=lambda: list(_TARGETS),
    ),
]
PlanOption = Annotated[
    Path | None,
    typer.Option(help="The plan to follow: what pilotage plan --json wrote.", show_default=False),
]
CanaryOption = Annotated[
    bool,
    typer.Option(
        "--canary",
        help="Its canary, in its place: the same spec as NAME-canary, with one replica.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do it without asking.")]
AddressOption = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        help="Ask here for completions, in place of the deployment's own address: a tunnel, a "
        "domain name.",
        show_default=False,
    ),
]
PollOption = Annotated[
    str, typer.Option(metavar="TIME", help="Time between two questions to the platform.")
]
LimitOption = Annotated[
    str, typer.Option("--timeout", metavar="TIME", help="Longest time that one wait takes.")
]
ParameterOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME=VALUE",
        help="A parameter of the template, in place of what is found: ImageDigest=sha256:…",
        show_default=False,
    ),
]


@dataclass(frozen=True)
class Shipped:
    """What a spec, a plan and a target come to.

    Attributes:
        shipment: What is shipped.
        target: The platform.
    """

    shipment: Shipment
    target: Target

    def rendered(self) -> Rendered:
        """The files, once they break no rule.

        Raises:
            UsageError: They break some; names the fields, the limits and the fixes.
        """
        from pilotage.ship.rules import check_rules  # noqa: PLC0415

        rendered = self.target.render(self.shipment)
        broken = check_rules(rendered, self.shipment)
        if broken:
            first, *others = (f"{one.where}: {one.found}; {one.limit}" for one in broken)
            raise UsageError(
                f"breaks {len(broken)} rule{'s' if others else ''} of {self.shipment.target}: "
                + "; ".join([first, *others]),
                where=broken[0].rule,
                hint=". ".join(dict.fromkeys(one.fix for one in broken)),
            )
        return rendered


def shipped(
    spec: Path,
    deployment: str | None,
    target: str | None,
    plan: Path | None,
    *,
    alone: bool = False,
) -> Shipped:
    """What is to be shipped.

    Args:
        spec: The spec's file.
        deployment: Of a portfolio.
        target: Instead of the spec's.
        plan: The plan's file.
        alone: Its canary in its place.

    Raises:
        SpecError: Spec or plan are wrong, or nothing fits; then with the plan's reason.
        UsageError: There is no such target, or it cannot run this.
    """
    # What follows needs pydantic models and tables that `--help` does not.
    from pilotage.ship.pipeline import canary  # noqa: PLC0415
    from pilotage.ship.sizing_of import prepare  # noqa: PLC0415
    from pilotage.ship.targets import target_of  # noqa: PLC0415

    if target is not None and target not in _TARGETS:
        raise UsageError(
            f'there is no target "{printable(target[:40])}"',
            where="--target",
            hint="Targets: " + ", ".join(_TARGETS),
        )
    found = load(spec, deployment)
    planned = read_plan(plan) if plan is not None else None
    named = cast("TargetName | None", target)
    if alone:
        # What cannot be shipped, or is another's plan, is said of the real one.
        _check_canary(spec, prepare(found, planned, target=named))
        found, planned = canary(found, planned)
    shipment = prepare(found, planned, target=named)
    if shipment.target == "local":  # PILOTAGE_SOURCE says where this machine has its weights from
        shipment = replace(shipment, deployment=from_environment(found))
    return Shipped(shipment, target_of(shipment.target))


def lifecycle(
    wanted: Shipped,
    *,
    poll: str = "5s",
    limit: str = "3h",
    parameters: Sequence[str] = (),
    address: str | None = None,
    completion: bool = True,
    keep: bool = False,
    purge: bool = False,
) -> Lifecycle:
    """How it is applied and destroyed, with what the flags say.

    Raises:
        UsageError: A flag is malformed, or the target is only rendered.
    """
    from pilotage.ship.lifecycle.cloudformation import Options  # noqa: PLC0415
    from pilotage.ship.lifecycle.lifecycle_of import lifecycle_of  # noqa: PLC0415
    from pilotage.ship.lifecycle.waiting import Waiting  # noqa: PLC0415

    if address is not None and not address.startswith(("http://", "https://")):
        raise UsageError("should begin with http:// or https://", where="--address")
    options = Options(
        waiting=Waiting(
            poll_s=duration(poll, "--poll", least=_LEAST_POLL_S),
            limit_s=duration(limit, "--timeout"),
        ),
        parameters=_pairs(parameters),
        address=address,
        key=os.environ.get(KEY_VARIABLE) or None,
        completion=completion,
        keep=keep,
        purge=purge,
    )
    return lifecycle_of(wanted.shipment, options, target=wanted.target)


def _check_canary(spec: Path, shipment: Shipment) -> None:
    from pilotage.ship.pipeline import SUFFIX  # noqa: PLC0415

    whole, taken = load_file(spec), shipment.deployment.name + SUFFIX
    if isinstance(whole, Portfolio) and taken in whole.names:
        raise UsageError(
            f'"{taken}" is a deployment of the portfolio, and would be taken for the canary',
            where="--canary",
            hint="Give that deployment another name",
        )
    if shipment.target == "bedrock-provisioned":
        raise UsageError(
            "a canary would buy model units of its own",
            where="--canary",
            hint="bedrock-provisioned has none; ship diff says what would be bought",
        )


def duration(given: str, flag: str, *, least: float = 0.0) -> float:
    """Seconds of a flag.

    Raises:
        UsageError: It is no duration, or shorter than the least; names the flag.
    """
    try:
        found = parse_duration(given)
    except PilotageError as error:
        raise UsageError(error.message, where=flag, hint=error.hint) from None
    if found < least:
        raise UsageError(f"should be at least {format_duration(least)}", where=flag)
    return found


def _pairs(given: Sequence[str]) -> Mapping[str, str]:
    pairs: dict[str, str] = {}
    for one in given:
        name, mark, value = one.partition("=")
        if not (name and mark):
            raise UsageError(
                f'"{printable(one[:60])}" is no parameter', where="--parameter", hint="NAME=VALUE"
            )
        pairs[name] = value
    return pairs
