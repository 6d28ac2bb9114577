"""What a measured system is to the benchmark."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import msgspec

from bench.client import run_load
from bench.load import ClosedLoop, Load, LoadResult
from bench.machine import Cores
from bench.processes import ROOT, get


class NotMeasurable(Exception):
    """This system cannot be measured here; the message says why and what would change that."""


@dataclass(frozen=True, slots=True)
class Setting:
    """What every system is given alike.

    Attributes:
        gguf: The model file.
        dense: The same model as a bf16 safetensors folder, for systems that read no GGUF.
            Called when needed: making it takes a minute, once.
        threads: Compute threads.
        cores: Who runs on which cores.
        max_num_seqs: Sequences that a batching system runs at the same time.
        max_num_batched_tokens: Tokens a step of the engine, for the engine in process and for
            Pilotage, which run the same engine.
        kv_cache_gib: Memory of the KV cache of the same two and of vLLM, in GiB.
    """

    gguf: Path
    dense: Callable[[], Path]
    threads: int
    cores: Cores
    max_num_seqs: int
    max_num_batched_tokens: int
    kv_cache_gib: int = 2


class RunningSystem(Protocol):
    """A system that is up and answers."""

    def measure(self, prompts: Sequence[str], streams: int, tokens: int) -> LoadResult:
        """Have every prompt answered with exactly `tokens` new tokens, `streams` at a time."""
        ...


@dataclass(frozen=True, slots=True)
class Peer:
    """A system of the comparison.

    Attributes:
        key: Its name in results and on the command line.
        letter: Its letter in the table.
        title: What it is, in a few words.
        running: Starts it; leaving the context ends it. Raises NotMeasurable.
        serial: Whether it answers one request at a time by its nature.
        note: What a reader must know to judge its figures.
    """

    key: str
    letter: str
    title: str
    running: Callable[[Setting], AbstractContextManager[RunningSystem]]
    serial: bool = False
    note: str = ""


@dataclass(frozen=True, slots=True)
class HttpSystem:
    """A server that is loaded over HTTP.

    Attributes:
        url: Where requests are posted.
        body: The JSON body that asks for exactly so many new tokens on a prompt.
        cpus: Cores of the load client.
    """

    url: str
    body: Callable[[str, int], dict[str, Any]]
    cpus: tuple[int, ...]

    def measure(self, prompts: Sequence[str], streams: int, tokens: int) -> LoadResult:
        """See `RunningSystem`."""
        bodies = tuple(self.body(prompt, tokens) for prompt in prompts)
        return run_load(Load(self.url, bodies, ClosedLoop(streams, len(bodies)), cpus=self.cpus))


class _Named(msgspec.Struct):
    id: str


class _Models(msgspec.Struct):
    data: list[_Named]


def served_model(base: str) -> str:
    """The id of the first model that an OpenAI-compatible server lists.

    Raises:
        NotMeasurable: It lists none.
    """
    answer = get(f"{base}/v1/models")
    models = msgspec.json.decode(answer, type=_Models).data if answer else []
    if not models:
        raise NotMeasurable(f"{base}/v1/models lists no model")
    return models[0].id


def python_of(environment: str, make_target: str) -> Path:
    """The interpreter of one of the bench's environments.

    Raises:
        NotMeasurable: The environment is not installed.
    """
    python = ROOT / environment / "bin" / "python"
    stamp = ROOT / environment / ".installed"
    if not (python.exists() and stamp.exists()):
        raise NotMeasurable(f"{environment} is not installed: run `make {make_target}`")
    return python


def chat_body(model: str, prompt: str, tokens: int, **extra: object) -> dict[str, Any]:
    """A streamed, greedy chat completion."""
    return {
        "model": model,
        "messages": [{"role": "user", "content": prompt}],
        "max_tokens": tokens,
        "temperature": 0,
        "stream": True,
        **extra,
    }
