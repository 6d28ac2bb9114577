"""What of a local deployment really runs."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

from pilotage.errors import StoreError
from pilotage.ship.lifecycle.outcome import Replicas, Status
from pilotage.ship.target import Shipment
from pilotage.ship.targets.local.run_folder import RunFolder
from pilotage.ship.targets.local.started import Started, strays
from pilotage.ship.targets.local.supervisor import LOCK
from pilotage.ship.targets.local.target import balancer_address
from pilotage.ship.targets.local.unit import answers


def alive_units(folder: RunFolder) -> dict[str, dict[str, Any]]:
    """What the supervisor wrote of each process that still runs, by name."""
    return {
        name: unit
        for name, unit in folder.running().get("units", {}).items()
        if unit["pid"] is not None and Started(unit["pid"], unit["started_at"]).alive()
    }


def supervised(folder: RunFolder) -> dict[str, Any]:
    """What the supervisor that lives now wrote; empty if there is none, or it has not yet."""
    running = folder.running()
    if not running or not Started(running["pid"], running["started_at"]).alive():
        return {}
    return running if folder.is_held(LOCK) else {}


def anything_runs(folder: RunFolder) -> bool:
    """Whether a process of it runs, a supervisor apart; also one that nobody wrote down."""
    return bool(alive_units(folder)) or any(True for _ in strays(folder.revisions))


def has_supervisor(folder: RunFolder) -> bool:
    """Whether one lives; one that has let go of its lock and is about to end counts, too."""
    running = folder.running()
    ends = bool(running) and Started(running["pid"], running["started_at"]).alive()
    return ends or folder.is_held(LOCK)


def status_of(folder: RunFolder, shipment: Shipment) -> Status:
    """The deployment's status: each process is looked up, and asked whether it is ready."""
    if not folder.exists() and not anything_runs(folder):
        return Status(name=shipment.name, state="absent")
    running = folder.running()
    units, alive = running.get("units", {}), alive_units(folder)
    with ThreadPoolExecutor() as pool:
        asked = pool.map(
            lambda unit: answers(unit["process"]["address"], unit["process"]["health_path"]),
            alive.values(),
        )
        ready = dict(zip(alive, asked, strict=True))
    replicas = [name for name, unit in units.items() if unit["process"]["role"] == "replica"]
    healthy = sum(ready.get(name, False) for name in replicas)
    balanced = ready.get("balancer", False)
    since = running.get("since")
    address = units.get("balancer", {}).get("process", {}).get("address")
    return Status(
        name=shipment.name,
        state=_state(folder, units, ready),
        address=address or balancer_address(shipment),
        replicas=Replicas(
            desired=len(replicas) or max(1, shipment.sizing.desired),
            running=sum(name in alive for name in replicas),
            healthy=healthy if balanced else 0,
        ),
        since=None if since is None else datetime.fromtimestamp(since, UTC),
        outputs={"folder": str(folder.path), "ledger": str(folder.ledger)},
        details=tuple(
            _said(name, unit, alive=name in alive, ready=ready.get(name, False))
            for name, unit in units.items()
        ),
    )


def _state(folder: RunFolder, units: dict[str, Any], ready: dict[str, bool]) -> str:
    try:
        wanted = folder.wanted()
    except StoreError:
        return "unreadable"
    here = supervised(folder)
    if wanted is None:
        return "stopping" if ready else "stopped"
    if not here:
        return "unsupervised" if ready else "stopped"
    if any(unit["hopeless"] for unit in units.values()):
        return "failing"
    if here.get("settled") != wanted:
        return "updating"
    return "running" if len(ready) == len(units) and all(ready.values()) else "degraded"


def _said(name: str, unit: dict[str, Any], *, alive: bool, ready: bool) -> str:
    where = unit["process"]["address"]
    if not alive:
        why = f" ({unit['last']})" if unit["last"] else ""
        return f"{name} at {where}: does not run{why}"
    again = f", started again {unit['restarts']} times" if unit["restarts"] else ""
    return f"{name} at {where}: {'ready' if ready else 'not ready'}, pid {unit['pid']}{again}"
