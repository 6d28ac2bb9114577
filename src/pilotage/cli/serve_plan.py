"""What a plan's file says of the engine, as flags of ``pilotage serve``."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from pilotage.cli.flags import Overrides
from pilotage.errors import UsageError
from pilotage.spec.plan_file import read_plan

_SETTINGS: Final = ("max_num_seqs", "max_num_batched_tokens", "kv_cache_dtype")
_DTYPES: Final = ("bf16", "fp16", "fp32", "int8", "fp8")
_PROVIDED: Final = ("bedrock", "lambda")


def plan_overrides(path: Path) -> Overrides:
    """Engine, number format, parallelism and batch limits of a plan.

    Number formats that lie in the files (AWQ, GGUF's) are what serving finds there anyway.

    Raises:
        SpecError: The file is no plan.
        UsageError: It plans something that this command cannot serve.
    """
    planned = read_plan(path).deployment
    if planned.strategy.startswith(_PROVIDED):
        raise UsageError(
            f"plans {planned.strategy}, where the provider runs the model",
            where=str(path),
            hint="Nothing needs to be served; plan with --strategy ecs-gpu or machine to serve",
        )
    serving: dict[str, object] = {
        name: planned.settings[name] for name in _SETTINGS if name in planned.settings
    }
    if planned.engine == "vllm":
        serving["tensor_parallel"] = planned.tensor_parallel
        serving["pipeline_parallel"] = planned.pipeline_parallel
    model: dict[str, object] = {}
    if "max_model_len" in planned.settings:
        model["max_model_len"] = planned.settings["max_model_len"]
    if planned.dtype in _DTYPES:
        model["dtype"] = planned.dtype
    if planned.engine is not None:
        model["engine"] = planned.engine
    return {"serving": serving, "model": model}
