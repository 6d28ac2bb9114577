"""The machine dealt out to replicas."""

from __future__ import annotations

from pilotage.catalog.engines import computes_on
from pilotage.devices import DeviceSlice, Machine, plan_slices
from pilotage.errors import UsageError
from pilotage.ship.target import Shipment


def shares_of(shipment: Shipment, machine: Machine) -> tuple[DeviceSlice, ...]:
    """The cores and accelerators of each replica.

    Raises:
        UsageError: The machine has too few for so many replicas.
    """
    serving = shipment.deployment.serving
    count = max(1, shipment.sizing.desired)
    try:
        return plan_slices(
            machine,
            kind=serving.device,
            workers=count,
            devices_per_worker=serving.devices_per_worker,
            usable=computes_on(shipment.sizing.engine),
        )
    except UsageError as error:
        raise UsageError(
            f"{count} replicas do not fit on this machine: {error.message}",
            where="shipping.scaling",
            hint=f"Ask for fewer, such as scaling: {{min: 1, max: 1}}. {error.hint or ''}".strip(),
        ) from None
