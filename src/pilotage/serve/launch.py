"""From a deployment and a model on disk to a supervisor that is ready to run.

All that can be refused is refused here, before any process is started: a host without keys, a
port that is taken, a model no engine reads, memory that is not there.
"""

from __future__ import annotations

import errno
import ipaddress
import os
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pilotage.engines.memory import MemoryPlan, free_memory, plan_memory
from pilotage.engines.registry import ModelFiles, inspect_model
from pilotage.errors import ResourceError, StoreError, UsageError
from pilotage.serve.board import Board
from pilotage.serve.child import Child
from pilotage.serve.config import GatewayConfig, WorkerConfig, write_config
from pilotage.serve.keys import KeyStore, default_key_file
from pilotage.serve.placement import CpuSlice, available_cores, slice_cpu
from pilotage.serve.supervisor import Event, Supervisor
from pilotage.spec import Deployment

_BACKLOG = 2048
_LONGEST_SOCKET_PATH = 107
"""Bytes of a Unix socket's path (108 with the final NUL, in Linux)."""

_TMPDIR_HINT = "Set TMPDIR to a folder with room"


@dataclass(frozen=True, slots=True)
class ServePlan:
    """What will be started.

    Attributes:
        deployment: The spec.
        model: The model's files and shape.
        memory: The memory plan of each worker.
        slices: The CPU cores of each worker.
        key_file: Where the API keys are.
        has_keys: Whether any key exists.
    """

    deployment: Deployment
    model: ModelFiles
    memory: MemoryPlan
    slices: tuple[CpuSlice, ...]
    key_file: Path
    has_keys: bool


def plan_serving(deployment: Deployment, model_path: Path) -> ServePlan:
    """Decide engine, slices and memory.

    Raises:
        UsageError: More workers than cores, or an address beyond loopback without keys.
        ModelError: No engine here can open the model.
        ResourceError: It does not fit into memory.
    """
    serving = deployment.serving
    key_file = serving.api_keys or default_key_file()
    has_keys = KeyStore(key_file).any_keys
    if not has_keys and not _is_loopback(serving.host):
        raise UsageError(
            f"listening on {serving.host} would let anybody in, as there are no API keys",
            where="--host",
            hint="Make one with `pilotage keys add --name NAME`, or listen on 127.0.0.1",
        )
    slices = slice_cpu(serving.workers, available_cores())
    model = inspect_model(model_path, deployment.model.engine)
    if deployment.model.dtype != "auto":
        raise UsageError(
            f"the openvino engine serves a model in the number format of its files, "
            f"not as {deployment.model.dtype}",
            where="--dtype",
            hint="Leave dtype at auto, or take files of that format",
        )
    memory = plan_memory(
        model.shape,
        workers=serving.workers,
        free_bytes=free_memory(),
        memory_fraction=serving.memory_fraction,
        max_model_len=deployment.model.max_model_len,
        max_num_seqs=serving.max_num_seqs,
        kv_cache_bytes=serving.kv_cache,
        typical_tokens=_typical_tokens(deployment),
    )
    return ServePlan(deployment, model, memory, slices, key_file, has_keys)


def _typical_tokens(deployment: Deployment) -> int | None:
    workload = deployment.workload
    if workload is None or workload.prompt_tokens is None or workload.completion_tokens is None:
        return None
    return workload.prompt_tokens.p99 + workload.completion_tokens.p99


def open_listener(host: str, port: int) -> socket.socket:
    """Bind the address now, so that a taken port is known before the model is loaded.

    Raises:
        ResourceError: The port is taken, or the address is not this machine's.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (OSError, UnicodeError) as error:  # UnicodeError: a label longer than names may have
        raise ResourceError(
            f"there is no address {host}",
            where="--host",
            hint="Give one of this machine's addresses, such as 127.0.0.1",
        ) from error
    listener = socket.socket(family, kind, protocol)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(address)
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise _not_bound(error, host, port) from error
    return listener


def _not_bound(error: OSError, host: str, port: int) -> ResourceError:
    where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    if error.errno == errno.EADDRINUSE:
        return ResourceError(
            "the port is taken by another process",
            where=where,
            hint="Stop that one, or choose another with --port (0 takes any free port)",
        )
    if error.errno == errno.EACCES:
        return ResourceError(
            "this user may not listen on that port", where=where, hint="Take one above 1023"
        )
    return ResourceError(f"cannot listen there: {error.strerror}", where=where)


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
    workers = tuple(_worker_config(plan, piece, home, folder) for piece in plan.slices)
    gateway = GatewayConfig(
        deployment=plan.deployment.model_dump_json(),
        model_path=str(plan.model.path),
        max_model_len=plan.memory.max_model_len,
        key_file=str(plan.key_file),
        listener_fd=listener.fileno(),
        created=int(time.time()),
        workers=workers,
        board=str(folder / "gateway.board"),
        errors=str(folder / "gateway.error"),
        log_format=_log_format(plan.deployment),
        log_level=serving.log_level,
    )
    return Supervisor(
        _child("gateway", "pilotage.serve.gateway", gateway, folder, (listener.fileno(),)),
        [
            _child(f"worker {config.index}", "pilotage.serve.worker", config, folder)
            for config in workers
        ],
        drain_timeout_s=serving.drain_timeout,
        load_timeout_s=serving.load_timeout,
        hang_timeout_s=serving.hang_timeout,
        notify=notify,
    )


def _worker_config(plan: ServePlan, piece: CpuSlice, home: Path, folder: Path) -> WorkerConfig:
    name = f"worker-{piece.worker}"
    address = str(folder / f"{name}.sock")
    if len(os.fsencode(address)) > _LONGEST_SOCKET_PATH:
        raise StoreError(
            f"the path of the temporary folder is too long for a Unix socket "
            f"({_LONGEST_SOCKET_PATH} bytes)",
            where=str(folder),
            hint="Set TMPDIR to a folder with a shorter path, such as /tmp",
        )
    return WorkerConfig(
        index=piece.worker,
        model_path=str(plan.model.path),
        plan=plan.memory,
        cores=piece.cores,
        max_num_batched_tokens=plan.deployment.serving.max_num_batched_tokens,
        prefix_caching=plan.deployment.serving.prefix_caching,
        cache=str(home / "compiled"),
        socket=address,
        board=str(folder / f"{name}.board"),
        errors=str(folder / f"{name}.error"),
        log_format=_log_format(plan.deployment),
        log_level=plan.deployment.serving.log_level,
    )


def _log_format(deployment: Deployment) -> Literal["text", "json"]:
    """What "auto" means here: the children's own standard error is a pipe to this process."""
    chosen = deployment.serving.log_format
    if chosen == "auto":
        return "text" if sys.stderr.isatty() else "json"
    return chosen


def _child(
    name: str,
    module: str,
    config: GatewayConfig | WorkerConfig,
    folder: Path,
    pass_fds: tuple[int, ...] = (),
) -> Child:
    path = folder / f"{name.replace(' ', '-')}.json"
    write_config(path, config)
    board = Board(Path(config.board), create=True)
    return Child(name, module, path, board, Path(config.errors), pass_fds)


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
