"""From a config to an engine that is ready; the heavy imports happen here, in the worker."""

from __future__ import annotations

from pathlib import Path

from pilotage.devices import DeviceSlice
from pilotage.engines.compiled.manifest import is_artifact
from pilotage.engines.config import EngineConfig
from pilotage.engines.engine import Engine
from pilotage.engines.transformers_files import require_transformers
from pilotage.errors import UsageError


def open_engine(config: EngineConfig, device: DeviceSlice) -> Engine:
    """Load a model and warm it up.

    Raises:
        ModelError: Its files cannot be used.
        ResourceError: It does not fit on the device.
        UsageError: The engine cannot do what is asked, or an extra is not installed.
    """
    if is_artifact(Path(config.path)):
        return _compiled(config, device)
    if config.task != "generate" and config.engine in ("openvino", "onnxruntime"):
        return _encoder(config, device)
    if config.engine == "openvino":
        return _openvino(config, device)
    if config.engine == "transformers":
        return _transformers(config, device)
    raise UsageError(
        f"the engine {config.engine} does not run inside a worker", where="model.engine"
    )


def _compiled(config: EngineConfig, device: DeviceSlice) -> Engine:
    from pilotage.engines.compiled.opening import open_artifact  # noqa: PLC0415  heavy

    return open_artifact(config, device)


def _encoder(config: EngineConfig, device: DeviceSlice) -> Engine:
    from pilotage.engines.encoders.engine import EncoderEngine  # noqa: PLC0415  heavy

    return EncoderEngine.open(config, device)


def _openvino(config: EngineConfig, device: DeviceSlice) -> Engine:
    from pilotage.engines.openvino import OpenVinoEngine  # noqa: PLC0415  heavy

    assert config.plan is not None
    return OpenVinoEngine.open(
        Path(config.path),
        config.plan,
        threads=device.threads,
        cache=Path(config.cache),
        max_num_batched_tokens=config.max_num_batched_tokens,
        prefix_caching=config.prefix_caching,
    )


def _transformers(config: EngineConfig, device: DeviceSlice) -> Engine:
    require_transformers()
    from pilotage.engines.transformers.loading import (  # noqa: PLC0415  heavy, and optional
        open_transformers,
    )

    return open_transformers(config, device)
