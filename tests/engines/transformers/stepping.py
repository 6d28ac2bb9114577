"""Runs requests through an engine, all at once or arriving by and by."""

from __future__ import annotations

from collections.abc import Sequence

from pilotage.engines.engine import Engine, EngineOutput, EngineRequest, SamplingParams


def greedy(max_tokens: int = 12, **changes: object) -> SamplingParams:
    return SamplingParams(max_tokens=max_tokens, temperature=0.0, **changes)  # type: ignore[arg-type]


def run(
    engine: Engine, requests: Sequence[EngineRequest], every: int = 0
) -> dict[int, list[EngineOutput]]:
    """Outputs of each request; one arrives every ``every`` steps, 0 is all at the beginning."""
    pending = list(requests)
    outputs: dict[int, list[EngineOutput]] = {request.id: [] for request in requests}
    for number in range(5000):
        while pending and (every == 0 or number % every == 0):
            engine.submit(pending.pop(0))
            if every:
                break
        if not pending and not engine.busy:
            return outputs
        for output in engine.step():
            outputs.setdefault(output.id, []).append(output)
    raise AssertionError("the engine does not finish")


def ids(outputs: list[EngineOutput]) -> list[int]:
    return [token for output in outputs for token in output.token_ids]
