"""The process in which the bare engine runs: ``python -m bench.peers.engine_process SETTING``.

It reads one `Work` a line and writes one `LoadResult` a line. The engine is fed the same way as
the servers: so many streams, each submitting its next prompt when its last one has ended. The
chat template and the tokenizer are in the time, as for the servers; tokens are not turned into
text, which only makes the ceiling higher.
"""

from __future__ import annotations

import os
import sys
import time
from typing import Any

import msgspec

from bench.load import LoadResult, Record


class EngineSetting(msgspec.Struct, frozen=True):
    """What the engine process is started with; see `Setting`."""

    gguf: str
    threads: int
    max_num_seqs: int
    max_num_batched_tokens: int
    kv_cache_gib: int


class Work(msgspec.Struct, frozen=True):
    """Prompts to answer with exactly `tokens` new tokens each, `streams` at a time."""

    prompts: tuple[str, ...]
    streams: int
    tokens: int


class _Request:
    """A prompt that the engine works on."""

    def __init__(self, index: int, handle: Any, submitted: float) -> None:
        self.index = index
        self.handle = handle
        self.submitted = submitted
        self.chunk_times: list[float] = []
        self.tokens = 0

    def read(self, now: float) -> None:
        """Take what the last step has produced."""
        new = 0
        while self.handle.can_read():
            new += sum(len(output.generated_ids) for output in self.handle.read().values())
        if new:
            self.tokens += new
            self.chunk_times.append(now)


class _Engine:
    """The pipeline, and the loop that steps it."""

    def __init__(self, setting: EngineSetting) -> None:
        import openvino_genai as genai  # noqa: PLC0415 - heavy, and only this process needs it

        self._genai = genai
        scheduler = genai.SchedulerConfig()
        scheduler.cache_size = setting.kv_cache_gib
        scheduler.max_num_seqs = setting.max_num_seqs
        scheduler.max_num_batched_tokens = setting.max_num_batched_tokens
        scheduler.enable_prefix_caching = True
        self._pipeline = genai.ContinuousBatchingPipeline(
            setting.gguf, scheduler, "CPU", {"INFERENCE_NUM_THREADS": setting.threads}
        )
        self._tokenizer = self._pipeline.get_tokenizer()

    def run(self, work: Work) -> LoadResult:
        """Do the work; the closed loop of `bench.client`, without HTTP."""
        waiting = iter(enumerate(work.prompts))
        records: list[Record] = []
        cpu = time.process_time()
        start = time.perf_counter()
        first = (next(waiting, None) for _ in range(work.streams))
        running = [self._submit(*item, work.tokens) for item in first if item is not None]
        while running:
            self._pipeline.step()
            now = time.perf_counter()
            still = []
            for request in running:
                request.read(now)
                if request.tokens < work.tokens:
                    still.append(request)
                    continue
                records.append(_record(request, start, now))
                if (item := next(waiting, None)) is not None:
                    still.append(self._submit(*item, work.tokens))
            running = still
        return LoadResult(tuple(records), now - start, time.process_time() - cpu)

    def _submit(self, index: int, prompt: str, tokens: int) -> _Request:
        submitted = time.perf_counter()
        generation = self._genai.GenerationConfig()
        generation.max_new_tokens = tokens
        generation.ignore_eos = True
        text = self._tokenizer.apply_chat_template(
            [{"role": "user", "content": prompt}], add_generation_prompt=True
        )
        return _Request(index, self._pipeline.add_request(index, text, generation), submitted)


def _record(request: _Request, start: float, now: float) -> Record:
    times = tuple(at - start for at in request.chunk_times)
    return Record(
        index=request.index,
        scheduled_s=request.submitted - start,
        sent_s=request.submitted - start,
        first_token_s=times[0],
        end_s=now - start,
        chunk_times_s=times,
        status=None,
        outcome="complete",
        completion_tokens=request.tokens,
        counted_by="usage",
        finish_reason="length",
    )


def main() -> None:
    """Serve work from standard input until it ends."""
    # The engine's libraries may print; results have the real standard output for themselves.
    results = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    engine = _Engine(msgspec.json.decode(sys.argv[1], type=EngineSetting))
    results.write(b"{}\n")
    results.flush()
    for line in sys.stdin.buffer:
        result = engine.run(msgspec.json.decode(line, type=Work))
        results.write(msgspec.json.encode(result) + b"\n")
        results.flush()
    results.flush()
    os._exit(0)  # the engine's threads do not always end with the interpreter


if __name__ == "__main__":
    main()
