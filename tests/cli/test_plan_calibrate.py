"""Calibration: which steps are run, on an engine whose steps take what they should."""

from __future__ import annotations

from pilotage.cli.plan_calibrate import measure_steps, processor
from pilotage.engines.engine import EngineInfo, EngineOutput, EngineRequest


class CountingEngine:
    """Reads prompts 256 tokens a step in turn, then gives every sequence a token a step."""

    info = EngineInfo(
        engine="counting",
        max_model_len=2048,
        max_num_seqs=16,
        max_num_batched_tokens=256,
        kv_cache_tokens=100_000,
        kv_cache_bytes=1,
        prefill_tokens_per_s=1.0,
        load_s=0.0,
    )

    def __init__(self) -> None:
        self.unread: dict[int, int] = {}
        self.left: dict[int, int] = {}
        self.cancelled: set[int] = set()
        self.most = 0

    @property
    def busy(self) -> bool:
        return bool(self.left)

    def submit(self, request: EngineRequest) -> None:
        self.unread[request.id] = len(request.prompt_ids)
        self.left[request.id] = request.params.max_tokens

    def cancel(self, request_id: int) -> None:
        self.cancelled.add(request_id)

    def step(self) -> list[EngineOutput]:
        room, outputs = 256, []
        for request in list(self.left):
            if request in self.cancelled:
                del self.left[request]
                outputs.append(EngineOutput(request, [], finish_reason="cancelled"))
                continue
            read = min(room, self.unread[request])
            room -= read
            self.unread[request] -= read
            if self.unread[request]:
                continue
            self.left[request] -= 1
            ended = not self.left[request]
            outputs.append(EngineOutput(request, [1], finish_reason="length" if ended else None))
            if ended:
                del self.left[request]
        self.most = max(self.most, len(self.left))
        return outputs

    def kv_cache_usage(self) -> float:
        return 0.0


def test_steps_of_several_kinds_are_measured() -> None:
    engine = CountingEngine()
    steps = list(measure_steps(engine, vocab=5000))
    prefills = [batch for batch, _ in steps if batch.prefill_tokens]
    decodes = [batch for batch, _ in steps if batch.decode_seqs]
    assert [batch.prefill_tokens for batch in prefills] == [16, 64, 128, 256]
    assert {batch.decode_seqs for batch in decodes} == {1, 2, 4, 8, 16}
    assert all(seconds > 0 for _, seconds in steps)
    assert not engine.busy
    assert engine.most <= 16


def test_the_processor_has_a_name() -> None:
    assert processor()
