"""The ``serving:`` section: how one machine serves the model."""

from __future__ import annotations

from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import Field, Strict, field_validator

from pilotage.spec.engine_options import EngineOptions
from pilotage.spec.fields import Duration, LocalPath, Size
from pilotage.spec.images import ImageLimitsSpec
from pilotage.spec.placement import AliasSpec, ServedModelSpec, WorkerSpec

_KIB, _MIB, _GIB = 1024, 1024**2, 1024**3


class ServingSpec(EngineOptions):
    """How one machine serves the model: address, workers, memory, limits, logs."""

    host: str = Field(
        default="127.0.0.1",
        min_length=1,
        max_length=253,
        description="Address to listen on. Anything beyond loopback needs API keys.",
    )
    access: Literal["keys", "platform"] = Field(
        default="keys",
        description="Who decides who may call. keys: API keys, and loopback alone without any; "
        "platform: what runs the container has checked the caller (SageMaker), so /invocations and "
        "health are open without keys, and nothing else is.",
    )
    port: int = Field(
        default=8000, ge=0, le=65_535, description="TCP port to listen on; 0 takes any free port."
    )
    workers: int = Field(
        default=1,
        ge=1,
        le=1024,
        description="Worker processes. They split the CPU cores, and each holds the whole model.",
    )
    device: Literal["auto", "cpu", "cuda", "neuron"] = Field(
        default="auto",
        description="What workers compute on; auto takes accelerators where there are some that "
        "the engine can use.",
    )
    devices_per_worker: int = Field(
        default=1,
        ge=1,
        le=1024,
        description="CUDA devices or NeuronCores of each worker (tensor parallel engines).",
    )
    models_per_worker: int = Field(
        default=1, ge=1, le=64, description="Copies of each model in a worker."
    )
    models: tuple[ServedModelSpec, ...] = Field(
        default=(), strict=False, description="Further models of the same server."
    )
    worker_map: tuple[WorkerSpec, ...] = Field(
        default=(),
        strict=False,
        description="The workers one by one, instead of equal shares of the machine.",
    )
    aliases: dict[str, Annotated[tuple[AliasSpec, ...], Strict(False)]] = Field(
        default={},
        description="Static names in front of models; several targets share the requests by "
        "weight. They can be moved while the server runs.",
    )
    memory_budget: Size | None = Field(
        default=None,
        ge=_MIB,
        description="Memory that all models of a worker may take; the least recently used goes "
        "first. Derived from the free memory if not given.",
    )
    idle_unload: Duration | None = Field(
        default=None,
        gt=0,
        description="Unload a lazy model that had no request for so long. Never if not given.",
    )
    images: ImageLimitsSpec = Field(
        default=ImageLimitsSpec(), description="Which images are accepted."
    )
    max_num_seqs: int | None = Field(
        default=None,
        ge=1,
        le=65_536,
        description="Sequences that run at the same time in a worker. "
        "Derived from the memory if not given.",
    )
    max_num_batched_tokens: int | None = Field(
        default=None,
        ge=1,
        le=1_048_576,
        description="Tokens that one engine step may process. Chosen by the engine if not given.",
    )
    kv_cache: Size | None = Field(
        default=None,
        ge=_MIB,
        description="Memory for the KV cache of a worker. "
        "Derived from the free memory if not given.",
    )
    memory_fraction: float = Field(
        default=0.6,
        gt=0,
        le=1,
        description="Share of the free memory that the KV caches of all workers may take.",
    )
    prefix_caching: bool = Field(
        default=True, description="Keep the KV cache of prompt beginnings that requests share."
    )
    request_timeout: Duration = Field(
        default=600.0,
        gt=0,
        description="Longest time a request may take, from its arrival to its last token.",
    )
    queue_timeout: Duration | None = Field(
        default=None,
        gt=0,
        description="Longest time a request may wait before it runs. The TTFT target if not given.",
    )
    drain_timeout: Duration = Field(
        default=30.0,
        ge=0,
        description="Time that running requests get to finish when the server is told to stop.",
    )
    load_timeout: Duration = Field(
        default=1800.0, gt=0, description="Longest time a worker may take to load the model."
    )
    hang_timeout: Duration = Field(
        default=10.0,
        gt=0,
        description="A worker whose engine makes no progress and uses no CPU for this long "
        "is replaced.",
    )
    max_body: Size = Field(
        default=4 * _MIB, ge=_KIB, le=_GIB, description="Largest request body that is read."
    )
    max_n: int = Field(
        default=16, ge=1, le=1024, description='Largest "n": completions of one request.'
    )
    api_keys: LocalPath | None = Field(
        default=None,
        description="File of salted API-key hashes. keys.json in the Pilotage home if not given.",
    )
    log_format: Literal["auto", "text", "json"] = Field(
        default="auto", description="Log lines; auto writes text to a terminal, JSON elsewhere."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Least severe log line that is written."
    )
    otlp_endpoint: str | None = Field(
        default=None,
        description="OpenTelemetry collector that receives the spans (OTLP over HTTP). "
        "Needs the otel extra.",
    )

    @field_validator("otlp_endpoint")
    @classmethod
    def _is_http_address(cls, endpoint: str | None) -> str | None:
        if endpoint is not None:
            parts = urlsplit(endpoint)
            if parts.scheme not in ("http", "https") or not parts.netloc:
                raise ValueError("should be an http:// or https:// address")
            if "@" in parts.netloc:
                raise ValueError("should not hold a user name or password")
        return endpoint
