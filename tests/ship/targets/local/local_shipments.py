"""Local deployments whose processes are stand-ins of a few lines: real processes, real signals."""

from __future__ import annotations

import json
import os
import random
import socket
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import psutil
import yaml

from pilotage.ship.sizing_of import prepare
from pilotage.ship.target import Rendered, Shipment
from pilotage.ship.targets.local.processes import PROCESS_FILE, Process, write_processes
from pilotage.spec import Deployment, parse

STAND_IN = Path(__file__).parent / "stand_in"


def deployment(folder: Path, *, port: int = 8000, **sections: Any) -> Deployment:
    """A spec of a model file that nothing opens."""
    model = folder / "model.gguf"
    model.touch()
    data = {
        "name": "demo",
        "model": {"source": str(model), "served_name": "tiny"},
        **sections,
        "serving": {"port": port, **sections.get("serving", {})},
    }
    found = parse(yaml.safe_dump(data), "spec.yaml")
    assert isinstance(found, Deployment)
    return found


def shipment(folder: Path, **sections: Any) -> Shipment:
    """That, to be shipped to this machine."""
    return prepare(deployment(folder, **sections), None, target="local")


def rendered(port: int, *, says: str = "hello", **specs: dict[str, Any]) -> Rendered:
    """Two replicas and a balancer as stand-ins; ``replica_0={…}`` adds to one's spec."""
    files, processes = {}, []
    for number, name in enumerate(("balancer", "replica-0", "replica-1")):
        said = "balancer" if name == "balancer" else says
        spec = {"port": port + number, "says": said, **specs.get(name.replace("-", "_"), {})}
        files[f"{name}.json"] = json.dumps(spec)
        processes.append(
            Process(
                name=name,
                role="balancer" if name == "balancer" else "replica",
                spec=f"{name}.json",
                argv=("pilotage", "serve", f"{name}.json"),
                address=f"http://127.0.0.1:{port + number}",
                health_path="/health/ready",
                log=f"{name}.log",
                grace_s=spec.get("grace_s", 30),
                stop_s=spec.get("stop_s", 20),
                environment={"PYTHONPATH": str(STAND_IN)},
            )
        )
    files[PROCESS_FILE] = write_processes("demo", (*processes[1:], processes[0]))
    return Rendered(files=files)


def free_ports() -> int:
    """The first of three free ports in a row."""
    while True:
        port = random.randrange(20_000, 32_000)
        with ExitStack() as held, suppress(OSError):
            for number in range(3):
                probe = held.enter_context(socket.socket())
                probe.bind(("127.0.0.1", port + number))
            return port


def processes_of(home: Path) -> list[psutil.Process]:
    """Every process, supervisors included, whose command line names a path below ``home``."""
    found = []
    for one in psutil.process_iter():
        with suppress(psutil.Error):
            if one.pid != os.getpid() and any(str(home / "ship") in word for word in one.cmdline()):
                found.append(one)
    return found
