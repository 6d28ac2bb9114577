"""Buying, watching and giving up provisioned throughput, through the API.

There is no CloudFormation type for it. The name is what makes it idempotent: it is unique in
account and region, and what has it is looked up before anything is bought. So a purchase that was
interrupted is found, not made a second time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pilotage.errors import PilotageError, ServeError, UsageError
from pilotage.ship.lifecycle.aws_errors import code_of, explained
from pilotage.ship.lifecycle.waiting import Waiting
from pilotage.ship.targets.bedrock_provisioned.request import MONTHS, Commitment, ThroughputRequest
from pilotage.ship.targets.bedrock_provisioned.spend import Spend
from pilotage.units import printable

_OWNER = "pilotage:deployment"

Confirm = Callable[[Spend], bool]
"""Shown what it costs, says whether it is bought. Not asked where it is bought already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Provisioned:
    """Provisioned throughput as Bedrock describes it.

    Attributes:
        arn: What requests name as their model.
        name: Its name.
        state: "Creating", "InService", "Updating" or "Failed".
        units: Model units.
        model_arn: Of the model.
        commitment: None is by the hour.
        created: When.
        expires: When the commitment ends; None without one.
        failure: Why it failed.
    """

    arn: str
    name: str
    state: str
    units: int
    model_arn: str
    commitment: Commitment | None
    created: datetime
    expires: datetime | None = None
    failure: str | None = None


def status(client: Any, name: str) -> Provisioned | None:
    """What has the name; None if nothing has.

    Raises:
        PilotageError: AWS cannot be asked.
    """
    from botocore.exceptions import ClientError  # noqa: PLC0415 - an extra

    with explained(client.meta.region_name):
        try:
            found = client.get_provisioned_model_throughput(provisionedModelId=name)
        except ClientError as error:
            if code_of(error) == "ResourceNotFoundException":
                return None
            raise
    return Provisioned(
        arn=found["provisionedModelArn"],
        name=found["provisionedModelName"],
        state=found["status"],
        units=found["desiredModelUnits"],
        model_arn=found["desiredModelArn"],
        commitment=found.get("commitmentDuration"),
        created=found["creationTime"],
        expires=found.get("commitmentExpirationTime"),
        failure=found.get("failureMessage"),
    )


def create(
    client: Any,
    request: ThroughputRequest,
    confirm: Confirm,
    *,
    spend: Spend,
    waiting: Waiting | None = None,
) -> Provisioned | None:
    """Buy what is requested, once, and wait until it serves.

    Args:
        client: boto3's "bedrock" client.
        request: What.
        confirm: Asked before money is spent.
        spend: What it costs.
        waiting: How long it may take.

    Returns:
        What is in service; None where it was not confirmed, and nothing was bought.

    Raises:
        UsageError: Something else has the name.
        ServeError: Bedrock could not provide it.
        PilotageError: AWS cannot be asked, or refuses.
    """
    if (spend.units, spend.commitment) != (request.units, request.commitment):
        raise ValueError("the spend is not that of the request")
    existing = status(client, request.name)
    if existing is None:
        if not confirm(spend):
            return None
        with explained(client.meta.region_name):
            client.create_provisioned_model_throughput(**request.as_api())
    else:
        check_owned(client, existing, request.tags.get(_OWNER))
        check_same(existing, request)
    return wait(client, request.name, waiting)


def wait(client: Any, name: str, waiting: Waiting | None = None) -> Provisioned:
    """Wait until it serves.

    Raises:
        ServeError: It failed, or is gone.
        TooLongError: It takes too long.
    """
    patience = waiting or Waiting(poll_s=15.0, limit_s=3600.0)
    for number in patience.rounds(f"the provisioned throughput {name}"):
        found = status(client, name)
        if found is None:
            # Just bought, it may take a moment until the name is known.
            if number >= _UNKNOWN_ROUNDS:
                raise ServeError(f"there is no provisioned throughput {name} any more")
        elif found.state == "InService":
            return found
        elif found.state == "Failed":
            raise ServeError(
                f"Bedrock could not provide {name}: "
                f"{printable(found.failure or 'it does not say why')}",
                hint="Model units are a quota of the account that begins at 0: ask AWS for it. "
                "Destroy what failed, then apply again",
            )
    raise AssertionError("rounds end by raising")


_UNKNOWN_ROUNDS = 5


def delete(
    client: Any, name: str, *, owner: str | None = None, now: datetime | None = None
) -> bool:
    """Give it up.

    Args:
        client: boto3's "bedrock" client.
        name: Which.
        owner: The deployment whose tag it must have.
        now: The time; for tests.

    Returns:
        Whether there was one.

    Raises:
        UsageError: Its commitment has not ended, or it is somebody else's.
        PilotageError: AWS cannot be asked, or refuses.
    """
    found = status(client, name)
    if found is None:
        return False
    check_owned(client, found, owner)
    if found.commitment is not None and (
        found.expires is None or found.expires > (now or datetime.now(UTC))
    ):
        end = found.expires.date().isoformat() if found.expires else "its end"
        raise UsageError(
            f"{name} is committed to for {MONTHS[found.commitment]} month(s) and cannot be "
            f"deleted before {end}; it is paid until then",
            where="commitmentDuration",
            hint="It goes on serving. Destroy it after that day: it is billed until it is deleted",
        )
    from botocore.exceptions import ClientError  # noqa: PLC0415 - an extra

    with explained(client.meta.region_name):
        try:
            client.delete_provisioned_model_throughput(provisionedModelId=found.arn)
        except ClientError as error:
            if code_of(error) != "ResourceNotFoundException":
                raise
    return True


def check_owned(client: Any, found: Provisioned, owner: str | None) -> None:
    """Refuse what this deployment did not make.

    Raises:
        UsageError: Its tag is missing or another's.
    """
    if owner is None:
        return
    with explained(client.meta.region_name):
        tags = client.list_tags_for_resource(resourceARN=found.arn)["tags"]
    if {"key": _OWNER, "value": owner} not in tags:
        raise UsageError(
            f'there is provisioned throughput named "{found.name}" that this deployment did not '
            "make",
            where="name",
            hint="Give the deployment another name; nothing of the other one was touched",
        )


def check_same(found: Provisioned, request: ThroughputRequest) -> None:
    """Refuse a change: units and commitment of what is bought stay as they are.

    Raises:
        PilotageError: It differs.
    """
    if differing := differences(found, request):
        raise PilotageError(
            f"{found.name} is there already with other {', '.join(differing)}; Bedrock changes "
            "neither of what is bought",
            where=", ".join(differing),
            hint="Buy under another name, move the traffic, and destroy the old one",
        )


def differences(found: Provisioned, request: ThroughputRequest) -> tuple[str, ...]:
    """Which fields of a request differ from what is there."""
    model = request.model_id
    # Bedrock answers with the ARN of the model, whichever form was asked for.
    same_model = found.model_arn == model or found.model_arn.endswith(f"/{model}")
    pairs = {
        "modelUnits": found.units == request.units,
        "modelId": same_model,
        "commitmentDuration": found.commitment == request.commitment,
    }
    return tuple(name for name, same in pairs.items() if not same)
