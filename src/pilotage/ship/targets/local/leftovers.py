"""What a local deployment leaves: weights in the cache, and its ledger."""

from __future__ import annotations

from collections.abc import Iterator

from pilotage.fetch import Cache, Store, default_home
from pilotage.serve.routing.served import served_specs
from pilotage.ship.lifecycle.outcome import Leftover
from pilotage.ship.target import Shipment
from pilotage.ship.targets.local.run_folder import RunFolder


def leftovers_of(shipment: Shipment, folder: RunFolder) -> tuple[Leftover, ...]:
    """Weights, which other servers of this machine may use too, and the record of what was asked.

    Both lie on this machine's own disk and cost nothing.
    """
    return (*_weights(shipment), *_ledgers(folder))


def _weights(shipment: Shipment) -> Iterator[Leftover]:
    sources = {model.source for model in served_specs(shipment.deployment)}
    for revision in Cache(Store(default_home())).revisions():
        if revision.source in sources:
            yield Leftover(
                type="weights",
                id=revision.source,
                size_bytes=revision.size,
                usd_per_month=0.0,
                remove="pilotage cache prune --older-than 1d",
            )


def _ledgers(folder: RunFolder) -> Iterator[Leftover]:
    for path in sorted(folder.path.glob("*ledger.sqlite")):
        yield Leftover(
            type="ledger",
            id=str(path),
            size_bytes=path.stat().st_size,
            usd_per_month=0.0,
            remove=f"rm -r {folder.path}",
        )
