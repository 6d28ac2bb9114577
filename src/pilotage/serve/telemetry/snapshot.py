"""The dispatcher's state at one moment, as `/metrics` shows it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaSnapshot:
    """One copy of a model on a worker.

    Attributes:
        model: The served model's name.
        memory_bytes: What it takes of the worker's device: weights and KV cache.
        running_requests: Requests that it holds.
    """

    model: str
    memory_bytes: int = 0
    running_requests: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSnapshot:
    """One worker.

    Attributes:
        worker: Its name, which it keeps when it is restarted.
        up: Whether it is ready to generate.
        restarts: How often it was started again since the server started.
        running_requests: Sequences that it is generating.
        kv_cache_usage_ratio: Share of its KV cache in use, 0 to 1.
        kv_cache_tokens: Tokens that its KV cache holds.
        prefill_tokens_per_s: Prompt tokens that it processes in a second.
        device: Its device slice, such as ``cuda:0``; empty if that is not known.
        models: The models that are loaded on it.
    """

    worker: str
    up: bool
    restarts: int = 0
    running_requests: int = 0
    kv_cache_usage_ratio: float = 0.0
    kv_cache_tokens: int = 0
    prefill_tokens_per_s: float = 0.0
    device: str = ""
    models: tuple[ReplicaSnapshot, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """The queue and the workers.

    Attributes:
        queue_requests: Sequences that wait for a worker.
        queue_tokens: Their prompt tokens.
        retries: Sequences given to another worker because theirs was lost, since the start.
        workers: Every worker that there should be, down or up.
        cpu_s: CPU seconds that each process has used, by its name.
        queue_by_model: Sequences that wait for a worker, by the model they are for.
    """

    queue_requests: int = 0
    queue_tokens: int = 0
    retries: int = 0
    workers: tuple[WorkerSnapshot, ...] = ()
    cpu_s: Mapping[str, float] = field(default_factory=dict)
    queue_by_model: Mapping[str, int] = field(default_factory=dict)
