"""The target ``local``: replicas of one machine behind a balancer, as processes."""

from __future__ import annotations

from pilotage.devices import DeviceSlice, Machine, discover
from pilotage.devices.numbers import format_ranges
from pilotage.fetch import default_home
from pilotage.serve.keys import KeyStore, default_key_file
from pilotage.ship.target import Rendered, Shipment
from pilotage.ship.targets.local.place import run_folder
from pilotage.ship.targets.local.processes import PROCESS_FILE, Process, write_processes
from pilotage.ship.targets.local.shares import shares_of
from pilotage.ship.targets.local.specs import (
    LOOPBACK,
    balancer_spec,
    replica_port,
    replica_spec,
)

_EXTERNAL = ("vllm", "llamacpp")
_BALANCER_GRACE_S = 120  # it loads no model; a busy machine takes some seconds to import it


class LocalTarget:
    """This machine.

    Args:
        machine: What it has; looked at if not given.
    """

    def __init__(self, machine: Machine | None = None) -> None:
        self._machine = machine

    def render(self, shipment: Shipment) -> Rendered:
        """A spec a process, and the list of the processes.

        Raises:
            UsageError: The machine has too few cores or accelerators, the port is not given, or
                the model is none that chats.
        """
        home = run_folder(shipment).path
        shares = shares_of(shipment, self._machine or discover())
        files = {"balancer.yaml": balancer_spec(shipment, home)}
        processes = []
        for number, share in enumerate(shares):
            name = f"replica-{number}"
            files[f"{name}.yaml"] = replica_spec(shipment, number, share, home)
            processes.append(_replica(shipment, name, number, share))
        processes.append(_balancer(shipment))
        files[PROCESS_FILE] = write_processes(shipment.name, tuple(processes))
        return Rendered(files=files, notes=_notes(shipment, shares))


def _replica(shipment: Shipment, name: str, number: int, share: DeviceSlice) -> Process:
    sizing = shipment.sizing
    devices = dict(share.environment) if sizing.engine in _EXTERNAL and share.devices else {}
    return Process(
        name=name,
        role="replica",
        spec=f"{name}.yaml",
        argv=("pilotage", "serve", "--json", f"{name}.yaml", *sizing.arguments),
        address=f"http://{LOOPBACK}:{replica_port(shipment, number)}",
        health_path=sizing.health_path,
        log=f"{name}.log",
        grace_s=max(60, sizing.grace_s),
        stop_s=sizing.stop_s,
        environment={**_environment(), **devices},
    )


def _balancer(shipment: Shipment) -> Process:
    return Process(
        name="balancer",
        role="balancer",
        spec="balancer.yaml",
        argv=("pilotage", "serve", "--json", "balancer.yaml"),
        address=balancer_address(shipment),
        health_path="/health/ready",
        log="balancer.log",
        grace_s=_BALANCER_GRACE_S,
        stop_s=shipment.sizing.stop_s,
        environment=_environment(),
    )


def _environment() -> dict[str, str]:
    """The cache that apply fetches into; and the source is the one that was rendered."""
    return {"PILOTAGE_HOME": str(default_home()), "PILOTAGE_SOURCE": ""}


def balancer_address(shipment: Shipment) -> str:
    """Where this machine reaches the balancer."""
    serving = shipment.deployment.serving
    host = {"0.0.0.0": LOOPBACK, "::": "::1"}.get(serving.host, serving.host)  # noqa: S104
    return f"http://{f'[{host}]' if ':' in host else host}:{serving.port}"


def _notes(shipment: Shipment, shares: tuple[DeviceSlice, ...]) -> tuple[str, ...]:
    serving = shipment.deployment.serving
    notes = [
        f"{len(shares)} replicas on CPU "
        + " and ".join(format_ranges(share.cores) for share in shares)
        + f", at the ports after {serving.port}, behind a balancer at {serving.port}.",
        f"Clients ask for the model {shipment.deployment.model_name!r}, as of one server.",
        "All of it is lost with this machine: replicas survive one another, not a power cut; "
        "after a reboot, apply again.",
        "A change of the balancer's own spec (address, limits) is a pause of a few seconds; all "
        "other changes replace one replica at a time.",
    ]
    if shipment.sizing.engine in _EXTERNAL and not shares[0].devices:
        notes.append(f"{shipment.sizing.engine} is not pinned: its replicas share all cores.")
    if KeyStore(serving.api_keys or default_key_file()).any_keys:
        notes.append(
            "The balancer asks for API keys. The replicas behind it listen on 127.0.0.1 without: "
            "other users of this machine reach them."
        )
    if serving.worker_map or "workers" in serving.model_fields_set:
        notes.append("serving.workers and worker_map are left out: a replica is one worker.")
    return tuple(notes)
