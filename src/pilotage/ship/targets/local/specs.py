"""The specs of a local deployment's processes."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import yaml

from pilotage.devices import DeviceSlice
from pilotage.errors import UsageError
from pilotage.ship.target import Shipment
from pilotage.units import format_duration

LOOPBACK: Final = "127.0.0.1"
_TIER: Final = "replicas"
_LONGEST_NAME: Final = 64  # routing.model
_FOR_BALANCER: Final = ("max_body", "max_n", "images", "log_level", "otlp_endpoint", "api_keys")


def replica_spec(shipment: Shipment, number: int, share: DeviceSlice, home: Path) -> str:
    """The spec of one replica: the deployment's, with its port and its share of the machine.

    Args:
        shipment: What is shipped.
        number: Of the replica, from 0.
        share: Its cores and accelerators.
        home: The deployment's run folder.
    """
    deployment = shipment.deployment
    data = deployment.model_dump(
        mode="json", exclude_unset=True, exclude={"shipping", "budget", "workload"}
    )
    # The environment may give the source in the place of a spec's; the name is to stay.
    data["model"] = {**data.get("model", {}), "served_name": deployment.model.name}
    serving = data.get("serving", {})
    for gone in ("workers", "devices_per_worker", "worker_map"):
        serving.pop(gone, None)
    count = max(1, shipment.sizing.desired)
    worker: dict[str, Any] = {"cores": list(share.cores)}
    if share.devices:
        worker["devices"] = list(share.devices)
    data["serving"] = {
        **serving,
        "host": LOOPBACK,
        "port": replica_port(shipment, number),
        "worker_map": [worker],
        # All replicas look at the same free memory.
        "memory_fraction": round(deployment.serving.memory_fraction / count, 4),
        # The balancer asks for keys. A file that is not there: none are needed behind it.
        "api_keys": str(home / "no-keys.json"),
    }
    if deployment.routing is not None and deployment.routing.ledger.url_env is None:
        data["routing"]["ledger"] = {
            **data["routing"].get("ledger", {}),
            "path": str(home / f"replica-{number}-ledger.sqlite"),
        }
    return _text(f"Replica {number} of {shipment.name}.", data)


def balancer_spec(shipment: Shipment, home: Path) -> str:
    """The spec of the balancer: a gateway without a model, over one tier of all replicas.

    Raises:
        UsageError: The gateway cannot stand in front of such a model.
    """
    deployment = shipment.deployment
    if deployment.model.task not in ("auto", "generate"):
        raise UsageError(
            f"the local balancer passes chat on, and the model's task is {deployment.model.task}",
            where="model.task",
            hint="Serve it by `pilotage serve` alone, or ship it to another target",
        )
    model = shipment.deployment.model_name
    if len(model) > _LONGEST_NAME:
        raise UsageError(
            f"the name has {len(model)} characters, and a balancer's at most {_LONGEST_NAME}",
            where="model.served_name",
            hint="Give the model a shorter served_name",
        )
    serving = deployment.serving
    given = serving.model_dump(mode="json", exclude_unset=True)
    timeout = format_duration(serving.request_timeout)
    count = max(1, shipment.sizing.desired)
    data: dict[str, Any] = {
        "name": deployment.name,
        "serving": {
            "host": serving.host,
            "port": serving.port,
            **{name: given[name] for name in _FOR_BALANCER if name in given},
            "request_timeout": timeout,
            "drain_timeout": format_duration(serving.drain_timeout),
        },
        "routing": {
            "model": model,
            "policy": "static",
            "tiers": [
                {
                    "name": _TIER if model != _TIER else f"all-{_TIER}",
                    # Nobody bills this machine by the token; its ledger counts requests and tokens.
                    "price": {"input": 0, "output": 0},
                    # One further attempt a replica: the first may be restarting, the next be full.
                    "retries": count,
                    "backends": [
                        {
                            "kind": "openai",
                            "url": f"http://{LOOPBACK}:{replica_port(shipment, number)}/v1",
                            "model": model,
                            "weight": 1,
                            "timeout": timeout,
                            "first_token_timeout": timeout,
                        }
                        for number in range(count)
                    ],
                }
            ],
            "timeout": timeout,
            "ledger": {"path": str(home / "ledger.sqlite")},
        },
    }
    return _text(f"The balancer of {shipment.name}.", data)


def replica_port(shipment: Shipment, number: int) -> int:
    """The port of a replica: those after the balancer's.

    Raises:
        UsageError: The balancer's is not given, or too high.
    """
    port = shipment.deployment.serving.port
    if port == 0 or port + 1 + number > 65_535:
        raise UsageError(
            "a deployment needs a port that it keeps, and the replicas the ports after it; "
            f"{port} gives none",
            where="serving.port",
            hint="Choose one, such as 8000",
        )
    return port + 1 + number


def _text(head: str, data: dict[str, Any]) -> str:
    body = yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=100)
    return f"# {head} Rendered by pilotage ship: change the deployment's spec, not this.\n{body}"
