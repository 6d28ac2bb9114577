"""What the container is told: ``SM_VLLM_*`` for AWS's vLLM images, a spec for ours.

AWS's and Hugging Face's vLLM images for SageMaker make a flag of every variable:
``SM_VLLM_MAX_MODEL_LEN=4096`` becomes ``--max-model-len 4096``, ``true`` a flag alone, ``false``
none (aws.github.io/deep-learning-containers/vllm, 2026-11-22). Ours takes the spec, in pieces where
it is longer than a variable may be.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any, Final

import yaml

from pilotage.errors import UsageError
from pilotage.ship.images.container import container_spec
from pilotage.ship.target import Shipment

WEIGHTS: Final = "/opt/ml/model"
"""Where SageMaker puts what it downloaded, in every container."""

LONGEST_VALUE: Final = 1024
"""Characters of a variable's value (SageMaker API reference, ContainerDefinition)."""

_DTYPES: Final = {"bf16": "bfloat16", "fp16": "float16", "fp32": "float32"}
# The planner's settings that are vLLM's flags of the same name.
_SETTINGS: Final = (
    "max_model_len",
    "max_num_seqs",
    "max_num_batched_tokens",
    "kv_cache_dtype",
    "gpu_memory_utilization",
)


def vllm_environment(shipment: Shipment) -> dict[str, str]:
    """Variables of AWS's vLLM image.

    Raises:
        UsageError: The model's source or number format is none that this image takes.
    """
    model, serving = shipment.deployment.model, shipment.deployment.serving
    planned = shipment.plan.deployment if shipment.plan else None
    settings: dict[str, Any] = {
        "max_model_len": model.max_model_len,
        "max_num_seqs": serving.max_num_seqs,
        "max_num_batched_tokens": serving.max_num_batched_tokens,
        "kv_cache_dtype": None if serving.kv_cache_dtype == "auto" else serving.kv_cache_dtype,
        "gpu_memory_utilization": serving.gpu_memory_utilization,
        "tensor_parallel_size": planned.tensor_parallel if planned else serving.tensor_parallel,
        "pipeline_parallel_size": (
            planned.pipeline_parallel if planned else serving.pipeline_parallel
        ),
        "enable_prefix_caching": serving.prefix_caching,
        "served_model_name": shipment.deployment.model.name,
        **_numbers(shipment),
    }
    for name in _SETTINGS:
        if planned is not None and planned.settings.get(name) is not None:
            settings[name] = planned.settings[name]
    variables = {
        f"SM_VLLM_{name.upper()}": _text(value)
        for name, value in settings.items()
        if value is not None
    }
    if shipment.shipping.weights_uri is not None:
        # What is in /opt/ml/model is found by itself; naming it keeps a stray HF_MODEL_ID out.
        return {"SM_VLLM_MODEL": WEIGHTS, **variables}
    if not model.source.startswith("hf://"):
        raise UsageError(
            f"AWS's vLLM image takes models of the Hugging Face Hub or of S3, not {model.source}",
            where="model.source",
            hint="Copy the weights to S3 and name them in shipping.weights_uri",
        )
    variables = {"SM_VLLM_MODEL": model.source.removeprefix("hf://"), **variables}
    if model.revision is not None:
        variables["SM_VLLM_REVISION"] = model.revision
    return variables


def own_environment(shipment: Shipment) -> dict[str, str]:
    """Variables of the image that ``pilotage ship`` renders, see `images.fetch_then_serve`."""
    spec = yaml.safe_load(container_spec(shipment))
    # IAM has checked the caller, and SageMaker passes no Authorization header on.
    spec["serving"]["access"] = "platform"
    if shipment.shipping.weights_uri is not None:
        spec["model"]["source"] = f"file://{WEIGHTS}"
    text = yaml.safe_dump(spec, sort_keys=False, allow_unicode=True, width=100)
    pieces = [text[at : at + LONGEST_VALUE] for at in range(0, len(text), LONGEST_VALUE)]
    variables = {"PILOTAGE_SPEC_YAML": pieces[0]}
    for number, piece in enumerate(pieces[1:], start=2):
        variables[f"PILOTAGE_SPEC_YAML_{number}"] = piece
    return {
        # SageMaker's disk for models and caches is there; the image's own is small.
        "PILOTAGE_HOME": "/tmp/pilotage",  # noqa: S108  a container has one user
        # SageMaker starts every container as "IMAGE serve", with no room for flags.
        "PILOTAGE_SERVE_ARGUMENTS": shlex.join(shipment.sizing.arguments),
        **variables,
    }


def checked(variables: Mapping[str, str]) -> dict[str, str]:
    """The variables, each within SageMaker's bound.

    Raises:
        UsageError: A value is too long.
    """
    for name, value in variables.items():
        if len(value) > LONGEST_VALUE:
            raise UsageError(
                f"the variable {name} has {len(value)} characters; SageMaker takes {LONGEST_VALUE}",
                where="shipping.target",
                hint="Shorten the setting it stands for",
            )
    return dict(variables)


def _numbers(shipment: Shipment) -> dict[str, Any]:
    """Number format and quantisation: the spec's word, else the plan's."""
    model = shipment.deployment.model
    dtype: str = model.dtype
    if dtype == "auto" and shipment.plan is not None:
        dtype = shipment.plan.deployment.dtype or "auto"
    quantization: str | None = (
        None if model.quantization in ("auto", "none") else (model.quantization)
    )
    if dtype in ("fp8", "awq", "gptq"):
        # AWQ and GPTQ are read from the files; fp8 is made of them while they load.
        return {"dtype": None, "quantization": "fp8" if dtype == "fp8" else quantization}
    if dtype in ("int8", "int4"):
        raise UsageError(
            f"vLLM does not quantise a model to {dtype} while it loads it",
            where="model.dtype",
            hint="Take files that are quantised (awq, gptq), or dtype fp8",
        )
    return {"dtype": _DTYPES.get(dtype), "quantization": quantization}


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:g}" if isinstance(value, float) else str(value)
