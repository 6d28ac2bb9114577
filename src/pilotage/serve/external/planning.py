"""From a planned model to the keeper of its engine."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final, Literal, cast

from pilotage.devices import DeviceSlice, discover, plan_slices
from pilotage.engines.external.files import largest_lora_rank
from pilotage.engines.external.program import find_program
from pilotage.engines.external.settings import ExternalEngine, external_settings
from pilotage.engines.memory import free_memory, plan_memory
from pilotage.errors import StoreError
from pilotage.serve.board import Board
from pilotage.serve.child import Child
from pilotage.serve.external.config import KeeperConfig
from pilotage.serve.models.planned import PlannedModel
from pilotage.spec import Deployment

_LONGEST_SOCKET_PATH: Final = 107
_LONGEST_NAME: Final = len("/engine-00-000000.sock")
_DEFAULT_SLOTS: Final = 4


def endpoint_file(folder: Path, model: str) -> Path:
    """Where the keeper of a model says where its engine answers. Both sides know the folder."""
    return folder / f"{_file_name(model)}.endpoint"


def check_external(deployment: Deployment, models: tuple[PlannedModel, ...]) -> None:
    """Refuse what can be refused before any process is started.

    Raises:
        UsageError: An engine's program is not there, or too few devices are.
        ResourceError: A model does not fit.
    """
    for number, model in enumerate(one for one in models if one.external):
        nowhere = Path("/nowhere")
        keeper_config(deployment, model, number, home=nowhere, folder=nowhere, log_format="text")


def keeper_child(
    deployment: Deployment,
    model: PlannedModel,
    number: int,
    *,
    home: Path,
    folder: Path,
    log_format: Literal["text", "json"],
) -> Child:
    """The process that keeps the engine of a model.

    Args:
        deployment: The spec.
        model: The model.
        number: Of the keeper, from 0.
        home: Pilotage's home folder.
        folder: The server's private folder.
        log_format: Of its log lines.

    Raises:
        StoreError: The folder's path is too long for a socket in it.
        UsageError: See `check_external`.
    """
    if len(os.fsencode(str(folder))) + _LONGEST_NAME > _LONGEST_SOCKET_PATH:
        raise StoreError(
            f"the path of the temporary folder is too long for a Unix socket "
            f"({_LONGEST_SOCKET_PATH} bytes)",
            where=str(folder),
            hint="Set TMPDIR to a folder with a shorter path, such as /tmp",
        )
    config = keeper_config(
        deployment, model, number, home=home, folder=folder, log_format=log_format
    )
    path = folder / f"keeper-{number}.json"
    config.write(path)
    return Child(
        f"{model.files.engine} ({model.name})",
        "pilotage.serve.external.keeper",
        path,
        Board(Path(config.board), create=True),
        Path(config.errors),
    )


def keeper_config(
    deployment: Deployment,
    model: PlannedModel,
    number: int,
    *,
    home: Path,
    folder: Path,
    log_format: Literal["text", "json"],
) -> KeeperConfig:
    """What a keeper is told; see `keeper_child`."""
    serving = deployment.serving
    engine = cast("ExternalEngine", model.files.engine)
    device = _device(deployment)
    plan = None
    if engine == "llamacpp":
        # llama-server takes memory for every slot's whole context at its start, however large.
        plan = plan_memory(
            model.files.shape,
            workers=1,
            free_bytes=device.memory_bytes if device.devices else free_memory(),
            memory_fraction=serving.memory_fraction,
            max_model_len=model.spec.max_model_len,
            max_num_seqs=serving.max_num_seqs or _DEFAULT_SLOTS,
            kv_cache_bytes=serving.kv_cache,
        )
    name = _file_name(model.name)
    return KeeperConfig(
        worker=number,
        program=find_program(engine, serving.engine_command, os.environ.get("PATH")),
        settings=external_settings(
            model.spec,
            serving,
            engine=engine,
            path=str(model.files.path.absolute()),
            task=model.files.task,
            device=device,
            plan=plan,
            max_lora_rank=largest_lora_rank(serving.lora_adapters),
        ),
        cores=device.cores,
        environment=dict(device.environment),
        folder=str(folder),
        endpoint=str(endpoint_file(folder, model.name)),
        board=str(folder / f"{name}.board"),
        errors=str(folder / f"{name}.error"),
        cache=str(home / "compiled"),
        hang_timeout_s=serving.hang_timeout,
        log_format=log_format,
        log_level=serving.log_level,
    )


def _device(deployment: Deployment) -> DeviceSlice:
    """The devices of an engine that spreads itself over them."""
    serving = deployment.serving
    devices = max(serving.devices_per_worker, serving.tensor_parallel * serving.pipeline_parallel)
    return plan_slices(
        discover(),
        kind=serving.device,
        workers=1,
        devices_per_worker=devices,
        worker_map=(),
        usable={"cuda", "cpu"},
    )[0]


def _file_name(model: str) -> str:
    """A model's name as part of a file's."""
    safe = "".join(one if one.isalnum() or one in "-_" else "-" for one in model)[:40]
    digest = 0
    for byte in model.encode():  # names that look alike once made safe stay apart
        digest = (digest * 257 + byte) & 0xFFFFFF
    return f"external-{safe}-{digest:06x}"
