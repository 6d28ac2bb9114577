"""An engine in a worker, and what the worker keeps beside it."""

from __future__ import annotations

from dataclasses import dataclass, field

from pilotage.engines.engine import Engine, EngineOutput, EngineRequest
from pilotage.serve.prefill_rate import PrefillRate


@dataclass(slots=True)
class HeldEngine:
    """An engine and what the worker keeps beside it.

    Attributes:
        number: What the link calls it.
        model: The model's name.
        rate: Its prefill rate.
        held: Requests it has not let go of.
        refused: Endings of requests that it did not take.
        unproven: Requests whose JSON schema has yet to bring a token.
        leaving: Whether it is closed once it has let go of what it holds.
    """

    number: int
    model: str
    engine: Engine
    rate: PrefillRate
    held: set[int] = field(default_factory=set)
    refused: list[EngineOutput] = field(default_factory=list)
    unproven: set[int] = field(default_factory=set)
    leaving: bool = False

    @property
    def has_news(self) -> bool:
        """Whether a step would bring something."""
        return self.engine.busy or bool(self.refused)

    def submit(self, request: EngineRequest) -> None:
        """Give it a request; what it refuses ends with its reason."""
        try:
            self.engine.submit(request)
        except ValueError as error:
            self.refused.append(EngineOutput(request.id, [], None, "error", str(error)))
            return
        self.held.add(request.id)
        if request.params.json_schema is not None:
            self.unproven.add(request.id)
        self.rate.submitted(request.id, len(request.prompt_ids))

    def cancel_all(self) -> None:
        """Nobody waits for any of it any more."""
        self.refused.clear()
        for request_id in self.held:
            self.engine.cancel(request_id)

    def blamed(self) -> list[EngineOutput]:
        """Endings of the requests that have probably broken it."""
        reason = "the engine could not compile the JSON schema"
        return [EngineOutput(number, [], None, "error", reason) for number in self.unproven]
