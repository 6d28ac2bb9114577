"""Where a local deployment is kept."""

from __future__ import annotations

from pilotage.fetch import default_home
from pilotage.ship.target import Shipment
from pilotage.ship.targets.local.run_folder import RunFolder


def run_folder(shipment: Shipment) -> RunFolder:
    """The run folder, in Pilotage's home: found again from wherever the command is called."""
    return RunFolder(default_home() / "ship" / shipment.name)
