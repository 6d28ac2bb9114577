"""When an engine's server is ready: once it has really answered, and how fast it was then."""

from __future__ import annotations

import random
from typing import Final

from pilotage.engines.engine import EngineInfo
from pilotage.engines.external.settings import ExternalSettings
from pilotage.serve.external.engine_client import EngineClient, EngineUnreachable

_PROBE_TIMEOUT_S: Final = 120.0
_WARM_UP_WORDS: Final = 384
_DEFAULT_SEQS: Final = {"vllm": 256, "llamacpp": 4}
"""What the engines take when they are told nothing; vLLM's own default since its version 1."""

_DEFAULT_BATCHED: Final = 2048
_WORDS: Final = ("river", "stone", "paper", "cloud", "seven", "light", "green", "house", "time")


def answers(client: EngineClient) -> bool:
    """Whether it completes one token, which a health route does not tell."""
    try:
        client.answer_one("Hello", _PROBE_TIMEOUT_S)
    except EngineUnreachable:
        return False
    return True


def measure(
    client: EngineClient, settings: ExternalSettings, version: str, load_s: float
) -> EngineInfo:
    """What it can hold and how fast it reads prompts, found out once it answers.

    The prompt of the measurement begins with a random word order, so that no prefix of it is
    cached from an earlier start.
    """
    length = client.context_length(_PROBE_TIMEOUT_S) or settings.max_model_len or 2048
    words = random.Random().choices(_WORDS, k=max(8, min(_WARM_UP_WORDS, length // 4)))  # noqa: S311
    rate = 0.0
    try:
        tokens, took = client.answer_one(" ".join(words), _PROBE_TIMEOUT_S)
        rate = (tokens or len(words)) / max(took, 1e-6)
    except EngineUnreachable:
        pass
    return EngineInfo(
        engine=f"{settings.engine} {version}",
        max_model_len=length,
        max_num_seqs=settings.max_num_seqs or _DEFAULT_SEQS[settings.engine],
        max_num_batched_tokens=settings.max_num_batched_tokens or _DEFAULT_BATCHED,
        kv_cache_tokens=0,
        kv_cache_bytes=settings.kv_cache_bytes or 0,
        prefill_tokens_per_s=rate or 100.0,
        load_s=load_s,
        task=settings.task,
    )
