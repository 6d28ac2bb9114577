"""What the children of a server are told: from the plan of its models to their config files."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Literal

from pilotage.devices import DeviceSlice
from pilotage.errors import StoreError
from pilotage.serve.config import ModelConfig, PlacedEngine, WorkerConfig
from pilotage.serve.models.planned import PlannedModel
from pilotage.spec import Deployment, ServingSpec

_LONGEST_SOCKET_PATH: Final = 107
"""Bytes of a Unix socket's path (108 with the final NUL, in Linux)."""


def worker_config(
    deployment: Deployment,
    models: Sequence[PlannedModel],
    piece: DeviceSlice,
    home: Path,
    folder: Path,
) -> WorkerConfig:
    """A worker, with the models it has from the start.

    Raises:
        StoreError: Its socket's path would be too long.
    """
    name = f"worker-{piece.worker}"
    address = str(folder / f"{name}.sock")
    if len(os.fsencode(address)) > _LONGEST_SOCKET_PATH:
        raise StoreError(
            f"the path of the temporary folder is too long for a Unix socket "
            f"({_LONGEST_SOCKET_PATH} bytes)",
            where=str(folder),
            hint="Set TMPDIR to a folder with a shorter path, such as /tmp",
        )
    serving = deployment.serving
    return WorkerConfig(
        index=piece.worker,
        device=piece,
        engines=tuple(
            model.engine_config(serving, home / "compiled")
            for model in models
            if model.load == "preload" and piece.worker in model.workers
            for _ in range(model.copies)
        ),
        socket=address,
        board=str(folder / f"{name}.board"),
        errors=str(folder / f"{name}.error"),
        log_format=children_log_format(deployment),
        log_level=serving.log_level,
    )


def model_config(model: PlannedModel, serving: ServingSpec, home: Path) -> ModelConfig:
    """A model as the gateway knows it; one whose engine is a server of its own has no places."""
    config = model.engine_config(serving, home / "compiled")
    return ModelConfig(
        name=model.name,
        source=model.spec.source,
        engine=model.files.engine,
        load=model.load,
        task=model.files.task,
        path=str(model.files.path),
        max_model_len=model.max_model_len,
        vision=model.files.vision,
        labels=getattr(model.files, "labels", ()),
        placed=tuple(
            PlacedEngine(worker=worker, config=config, copies=model.copies)
            for worker in model.workers
        ),
    )


def children_log_format(deployment: Deployment) -> Literal["text", "json"]:
    """What "auto" means here: the children's own standard error is a pipe to this process."""
    chosen = deployment.serving.log_format
    if chosen == "auto":
        return "text" if sys.stderr.isatty() else "json"
    return chosen
