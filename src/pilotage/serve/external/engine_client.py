"""The keeper's own questions to the engine's server."""

from __future__ import annotations

import json
import time
from types import TracebackType
from typing import Any, Final

import httpx

from pilotage.engines.engine import Task
from pilotage.engines.external.command import Address

_MAX_ANSWER: Final = 8 << 20


class EngineUnreachable(Exception):
    """The engine did not answer, or not with what was asked for."""


class EngineClient:
    """Asks one engine's server; every question has a time-out.

    Args:
        address: Where it listens.
        api_key: What it wants to be shown.
        model: The name it serves the model under.
        task: What the model does.
    """

    def __init__(self, address: Address, api_key: str, model: str, task: Task) -> None:
        self._model = model
        self._task = task
        base = "http://engine" if address.port is None else f"http://127.0.0.1:{address.port}"
        self._http = httpx.Client(
            transport=httpx.HTTPTransport(uds=address.socket),
            base_url=base,
            headers={"authorization": f"Bearer {api_key}"},
            trust_env=False,
        )

    def __enter__(self) -> EngineClient:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._http.close()

    def metrics(self, timeout_s: float) -> str:
        """Its metrics as text.

        Raises:
            EngineUnreachable: It did not answer.
        """
        return self._ask("GET", "/metrics", None, timeout_s).decode(errors="replace")

    def context_length(self, timeout_s: float) -> int | None:
        """Longest prompt plus completion, as its model list tells."""
        try:
            data = json.loads(self._ask("GET", "/v1/models", None, timeout_s))["data"][0]
        except (EngineUnreachable, ValueError, LookupError, TypeError):
            return None
        meta = data.get("meta") or {}
        for value in (data.get("max_model_len"), meta.get("n_ctx"), meta.get("n_ctx_train")):
            if isinstance(value, int) and value > 0:
                return value
        return None

    def answer_one(self, prompt: str, timeout_s: float) -> tuple[int, float]:
        """Have it answer a prompt with one token, or embed it.

        Returns:
            The prompt's tokens as it counts them (0 if it does not), and the seconds it took.

        Raises:
            EngineUnreachable: It did not, or with an error.
        """
        if self._task == "generate":
            path, body = "/v1/completions", {"prompt": prompt, "max_tokens": 1, "temperature": 0}
        else:
            path, body = "/v1/embeddings", {"input": prompt}
        began = time.perf_counter()
        raw = self._ask("POST", path, {"model": self._model, **body}, timeout_s)
        took = time.perf_counter() - began
        try:
            answer = json.loads(raw)
            usage = answer.get("usage") or {}
            if not (answer.get("choices") or answer.get("data")):
                raise EngineUnreachable("it answered with nothing")
            return int(usage.get("prompt_tokens") or 0), took
        except (ValueError, TypeError, AttributeError) as error:
            raise EngineUnreachable(f"it answered with no JSON: {error}") from None

    def _ask(self, method: str, path: str, body: dict[str, Any] | None, timeout_s: float) -> bytes:
        try:
            answer = self._http.request(method, path, json=body, timeout=timeout_s)
        except httpx.HTTPError as error:
            raise EngineUnreachable(f"{type(error).__name__}: {error}") from None
        if answer.status_code != 200:
            said = answer.text[:300]
            raise EngineUnreachable(f"{path} answered {answer.status_code}: {said}")
        return answer.content[:_MAX_ANSWER]
