"""From a deployment and a model on disk to a supervisor that is ready to run.

All that can be refused is refused here, before any process is started: a host without keys, a
port that is taken, a model no engine reads, memory that is not there.
"""

from __future__ import annotations

import ipaddress
import os
import shutil
import socket
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pilotage.devices import DeviceSlice, process_environment
from pilotage.engines.memory import free_memory
from pilotage.errors import StoreError, UsageError
from pilotage.route.pricing import TierPrice
from pilotage.serve.board import Board
from pilotage.serve.child import Child
from pilotage.serve.child_configs import children_log_format, model_config, worker_config
from pilotage.serve.config import GatewayConfig, WorkerConfig, write_config
from pilotage.serve.external.planning import check_external, keeper_child
from pilotage.serve.keys import KeyStore, default_key_file
from pilotage.serve.models.planned import (
    PlannedModel,
    check_names,
    inspect_models,
    place,
    plan_models,
    plan_workers,
)
from pilotage.serve.routing.checks import check_routing
from pilotage.serve.routing.served import check_tasks
from pilotage.serve.supervisor import Event, Supervisor
from pilotage.spec import Deployment

_TMPDIR_HINT = "Set TMPDIR to a folder with room"


@dataclass(frozen=True, slots=True)
class ServePlan:
    """What will be started.

    Attributes:
        deployment: The spec.
        models: The models, the default first; none where all tiers are remote.
        slices: The part of the machine of each worker.
        budgets: Memory that all models of a worker may take, bytes.
        free_bytes: Memory that was free on the machine.
        key_file: Where the API keys are.
        has_keys: Whether any key exists.
        prices: What each tier of ``routing:`` costs; empty without one.
    """

    deployment: Deployment
    models: tuple[PlannedModel, ...]
    slices: tuple[DeviceSlice, ...]
    budgets: tuple[int, ...]
    free_bytes: int
    key_file: Path
    has_keys: bool
    prices: Mapping[str, TierPrice]


def plan_serving(deployment: Deployment, paths: Sequence[Path]) -> ServePlan:
    """Decide engines, slices and memory.

    Args:
        deployment: The spec.
        paths: Where the models of `served_specs` are.

    Raises:
        UsageError: More workers than cores, an address beyond loopback without keys, names that
            do not fit together, a ``routing:`` that cannot run (see `check_routing`).
        ModelError: No engine here can open a model.
        ResourceError: They do not fit into memory.
    """
    serving = deployment.serving
    key_file = serving.api_keys or default_key_file()
    has_keys = KeyStore(key_file).any_keys
    if not has_keys and not _is_loopback(serving.host) and serving.access == "keys":
        raise UsageError(
            f"listening on {serving.host} would let anybody in, as there are no API keys",
            where="--host",
            hint="Make one with `pilotage keys add --name NAME`, or listen on 127.0.0.1",
        )
    check_names(deployment)
    prices = check_routing(deployment, os.environ)
    models = inspect_models(deployment, paths)
    check_tasks(deployment, {spec.name: files.task for spec, files in models})
    slices = plan_workers(serving, [files.engine for _, files in models])
    free_bytes = free_memory()
    budgets = tuple(
        serving.memory_budget
        or (piece.memory_bytes if piece.devices else free_bytes // len(slices))
        for piece in slices
    )
    planned = plan_models(
        deployment,
        models,
        place(serving, models, len(slices)),
        free_bytes=min(free_bytes, sum(budgets)) if budgets else free_bytes,
        budgets=budgets,
        kind=slices[0].kind if slices else "cpu",
    )
    check_external(deployment, planned)
    return ServePlan(deployment, planned, slices, budgets, free_bytes, key_file, has_keys, prices)


@contextmanager
def launch(
    plan: ServePlan,
    listener: socket.socket,
    home: Path,
    notify: Callable[[Event, str], None],
) -> Iterator[Supervisor]:
    """A supervisor for the plan, in a private folder that is removed at the end.

    Raises:
        StoreError: No temporary folder can be made, or it cannot be written.
    """
    try:
        folder = Path(tempfile.mkdtemp(prefix="pilotage-"))
    except OSError as error:
        raise StoreError(
            f"no temporary folder can be made: {error.strerror}",
            where=error.filename,
            hint=_TMPDIR_HINT,
        ) from error
    try:
        try:
            supervisor = _supervisor(plan, listener, home, folder, notify)
        except OSError as error:
            raise StoreError(
                f"cannot write there: {error.strerror}", where=str(folder), hint=_TMPDIR_HINT
            ) from error
        yield supervisor
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _supervisor(
    plan: ServePlan,
    listener: socket.socket,
    home: Path,
    folder: Path,
    notify: Callable[[Event, str], None],
) -> Supervisor:
    serving = plan.deployment.serving
    workers = tuple(
        worker_config(plan.deployment, plan.models, piece, home, folder) for piece in plan.slices
    )
    gateway = GatewayConfig(
        deployment=plan.deployment.model_dump_json(),
        models=tuple(model_config(model, serving, home) for model in plan.models),
        workers=workers,
        budgets=plan.budgets,
        prices=dict(plan.prices),
        state=str(folder / "gateway.state"),
        key_file=str(plan.key_file),
        listener_fd=listener.fileno(),
        created=int(time.time()),
        board=str(folder / "gateway.board"),
        errors=str(folder / "gateway.error"),
        log_format=children_log_format(plan.deployment),
        log_level=serving.log_level,
    )
    children = [
        _child(
            f"worker {config.index}",
            "pilotage.serve.worker",
            config,
            folder,
            environment=process_environment(config.device, os.environ),
        )
        for config in workers
    ]
    children += [
        keeper_child(
            plan.deployment,
            model,
            number,
            home=home,
            folder=folder,
            log_format=children_log_format(plan.deployment),
        )
        for number, model in enumerate(one for one in plan.models if one.external)
    ]
    return Supervisor(
        _child("gateway", "pilotage.serve.gateway", gateway, folder, pass_fds=(listener.fileno(),)),
        children,
        drain_timeout_s=serving.drain_timeout,
        load_timeout_s=serving.load_timeout,
        hang_timeout_s=serving.hang_timeout,
        notify=notify,
    )


def _child(
    name: str,
    module: str,
    config: GatewayConfig | WorkerConfig,
    folder: Path,
    *,
    pass_fds: tuple[int, ...] = (),
    environment: Mapping[str, str] | None = None,
) -> Child:
    path = folder / f"{name.replace(' ', '-')}.json"
    write_config(path, config)
    board = Board(Path(config.board), create=True)
    return Child(name, module, path, board, Path(config.errors), pass_fds, environment)


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
