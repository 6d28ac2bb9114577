"""A model whose engine is a server of its own, as the gateway's model directory holds it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from pilotage.engines.engine import Task
from pilotage.errors import PilotageError
from pilotage.serve.api.context import ServedModel
from pilotage.serve.api.errors import ApiError
from pilotage.serve.control import ModelStatus, ReplicaStatus
from pilotage.serve.external.backend import ExternalBackend
from pilotage.serve.generation import Generation, SubmitRequest, Unavailable
from pilotage.tokens import Tokenizer


class _NoDispatcher:
    """Token ids are the engine's own business: nothing is ever submitted."""

    def submit(self, requests: list[SubmitRequest]) -> list[Generation]:
        """See `Dispatcher.submit`."""
        del requests
        raise Unavailable(
            "this model's engine takes text only", retry_after_s=None, code="engine_takes_text"
        )

    def check(self, requests: list[SubmitRequest]) -> None:
        """See `Dispatcher.check`."""
        self.submit(requests)


class _NoTokenizer:
    """Stands where a model's tokenizer is one that only its engine reads."""

    def __getattr__(self, name: str) -> Any:
        raise ApiError(
            "This model's tokenizer is known to its engine only.",
            code="unsupported_parameter",
            param="model",
        )


@dataclass(frozen=True, slots=True)
class ExternalServedModel:
    """See `pilotage.serve.models.manager.ExternalModel`.

    Attributes:
        backend: Forwards its requests.
        served: How the API sees it.
        source: Where it comes from.
        engine: Who runs it.
    """

    backend: ExternalBackend
    served: ServedModel
    source: str
    engine: str

    def status(self) -> ModelStatus:
        """How it is."""
        backend = self.backend
        replica = ReplicaStatus(
            worker=0, device=self.engine, state=backend.state, running=backend.running,
            memory_bytes=0,
        )  # fmt: skip
        return ModelStatus(
            name=self.served.name,
            source=self.source,
            engine=self.engine,
            task=self.served.task,
            state=backend.state,
            replicas=(replica,),
            queued=0 if backend.counts is None else backend.counts.waiting,
        )


def external_model(
    backend: ExternalBackend,
    *,
    path: Path,
    source: str,
    engine: str,
    task: Task,
    created: int,
    max_model_len: int | None,
) -> ExternalServedModel:
    """Make a model of a backend; its tokenizer is ours where we can read it."""
    try:
        tokenizer = Tokenizer.open(path)
    except PilotageError:
        tokenizer = cast("Tokenizer", _NoTokenizer())
    served = ServedModel(
        name=backend.name,
        tokenizer=tokenizer,
        dispatcher=_NoDispatcher(),
        info=backend.info,
        created=created,
        max_model_len=max_model_len,
        task=task,
        backend=backend,
    )
    return ExternalServedModel(backend, served, source, engine)
