"""The lifecycle of provisioned throughput: the purchase as a difference that is agreed to."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from pilotage.catalog.prices import PriceBook, load_price_book
from pilotage.errors import PilotageError
from pilotage.fetch import default_home
from pilotage.ship.lifecycle.aws import Aws
from pilotage.ship.lifecycle.difference import Change, Difference
from pilotage.ship.lifecycle.lifecycle import Agree, AgreeToDestroy
from pilotage.ship.lifecycle.outcome import Applied, Destroyed, Status
from pilotage.ship.lifecycle.progress import Note, Say
from pilotage.ship.lifecycle.waiting import Waiting
from pilotage.ship.target import Rendered, Shipment
from pilotage.ship.targets.bedrock_provisioned import provisioning
from pilotage.ship.targets.bedrock_provisioned.provisioning import Provisioned, differences
from pilotage.ship.targets.bedrock_provisioned.request import FILE, ThroughputRequest
from pilotage.ship.targets.bedrock_provisioned.spend import Spend, spend_of

_TYPE = "bedrock:ProvisionedModelThroughput"


class BedrockLifecycle:
    """Buys, watches and gives up model units; see `Lifecycle`.

    Args:
        client_of: Gives boto3's "bedrock" client of a region.
        prices: Instead of the price book of the region and Pilotage's home.
        waiting: How long things may take.
    """

    def __init__(
        self,
        client_of: Callable[[str], Any] | None = None,
        prices: PriceBook | None = None,
        waiting: Waiting | None = None,
    ) -> None:
        self._client_of = client_of or (lambda region: Aws(region).client("bedrock"))
        self._prices = prices
        self._waiting = waiting

    def diff(self, shipment: Shipment, rendered: Rendered) -> Difference:
        """What would be bought, with what it costs in the notes.

        Raises:
            PilotageError: AWS cannot be asked, the price is not known, or what is there is not
                ours.
        """
        request = ThroughputRequest.read(rendered.files[FILE])
        client = self._client(shipment)
        found = provisioning.status(client, request.name)
        where = f"provisioned throughput {request.name} in {shipment.shipping.region}"
        if found is None:
            change = Change(action="add", name=request.name, type=_TYPE)
            return Difference(
                where=where,
                changes=(change,),
                new=True,
                notes=self._spend(shipment, request).sentences(),
            )
        provisioning.check_owned(client, found, shipment.deployment.name)
        fields = differences(found, request)
        changes = (
            Change(action="replace", name=request.name, type=_TYPE, id=found.arn, fields=fields),
        )
        return Difference(where=where, changes=changes if fields else ())

    def apply(self, shipment: Shipment, rendered: Rendered, *, agree: Agree, say: Say) -> Applied:
        """Buy what is rendered, once it is agreed to, and wait until it is in service.

        Raises:
            PilotageError: It differs from what was bought before, or Bedrock cannot provide it.
        """
        request = ThroughputRequest.read(rendered.files[FILE])
        client = self._client(shipment)
        difference = self.diff(shipment, rendered)
        if difference.new:
            if not agree(difference):
                return Applied(difference=difference, applied=False, agreed=False)
            spend = self._spend(shipment, request)
            say(Note(step="change", text=f"buying {spend.units} model unit(s)", what=request.name))
            found = provisioning.create(
                client, request, lambda _: True, spend=spend, waiting=self._waiting
            )
        else:
            existing = provisioning.status(client, request.name)
            if existing is not None:
                provisioning.check_same(existing, request)
            say(Note(step="check", text="is bought already", what=request.name))
            found = provisioning.wait(client, request.name, self._waiting)
        return Applied(
            difference=difference,
            applied=difference.new,
            status=None if found is None else _status(found),
        )

    def status(self, shipment: Shipment) -> Status:
        """What is bought.

        Raises:
            PilotageError: AWS cannot be asked, or it is not ours.
        """
        client = self._client(shipment)
        found = provisioning.status(client, shipment.name)
        if found is None:
            return Status(name=shipment.name, state="absent")
        provisioning.check_owned(client, found, shipment.deployment.name)
        return _status(found)

    def destroy(self, shipment: Shipment, *, agree: AgreeToDestroy, say: Say) -> Destroyed:
        """Give the units up.

        Raises:
            PilotageError: Their commitment has not ended, or AWS cannot be asked.
        """
        now = self.status(shipment)
        if now.absent:
            return Destroyed(name=shipment.name, existed=False)
        if not agree(now):
            return Destroyed(name=shipment.name, agreed=False)
        say(Note(step="delete", text="giving up model units", what=shipment.name))
        provisioning.delete(self._client(shipment), shipment.name, owner=shipment.deployment.name)
        hours = (datetime.now(UTC) - now.since).total_seconds() / 3600 if now.since else None
        return Destroyed(name=shipment.name, hours=hours)

    def _client(self, shipment: Shipment) -> Any:
        return self._client_of(shipment.shipping.region)

    def _spend(self, shipment: Shipment, request: ThroughputRequest) -> Spend:
        prices = self._prices or load_price_book(shipment.shipping.region, home=default_home())
        try:
            return spend_of(request, prices)
        except PilotageError as error:
            raise type(error)(
                f"nothing is bought: {error.message}", where=error.where, hint=error.hint
            ) from None


def _status(found: Provisioned) -> Status:
    paid = (
        f"committed until {found.expires.date().isoformat()}"
        if found.expires is not None
        else "paid by the hour"
    )
    return Status(
        name=found.name,
        state=found.state,
        address=found.arn,
        since=found.created,
        outputs={"ProvisionedModelArn": found.arn},
        details=(
            f"{found.units} model unit(s) of {found.model_arn}, {paid}",
            *((found.failure,) if found.failure else ()),
        ),
    )
