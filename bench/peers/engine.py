"""(a) The engine called in process, no server: the ceiling of what Pilotage can reach.

OpenVINO GenAI's ContinuousBatchingPipeline with the scheduler settings that Pilotage gets, in a
process of its own (`bench/peers/engine_process.py`) that is idle between measurements.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import msgspec

from bench.load import LoadResult
from bench.peers.engine_process import EngineSetting, Work
from bench.peers.peer import NotMeasurable, Peer, Setting
from bench.processes import RESULTS, ROOT, keeping_to, kill_group


class _EngineProcess:
    """The engine in a process of its own, idle between measurements."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    def measure(self, prompts: Sequence[str], streams: int, tokens: int) -> LoadResult:
        """See `RunningSystem`."""
        assert self._process.stdin is not None
        work = Work(tuple(prompts), streams, tokens)
        self._process.stdin.write(msgspec.json.encode(work) + b"\n")
        self._process.stdin.flush()
        return msgspec.json.decode(self.line(), type=LoadResult)

    def line(self) -> bytes:
        """The next line the process writes.

        Raises:
            NotMeasurable: It has ended.
        """
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise NotMeasurable(f"the engine ended: see {RESULTS / 'logs' / 'engine.log'}")
        return line


@contextmanager
def running(setting: Setting) -> Iterator[_EngineProcess]:
    """The engine in a process of its own; see `Peer`."""
    engine_setting = EngineSetting(
        str(setting.gguf),
        setting.threads,
        setting.max_num_seqs,
        setting.max_num_batched_tokens,
        setting.kv_cache_gib,
    )
    log = RESULTS / "logs" / "engine.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as errors, keeping_to(setting.cores.servers):
        process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "bench.peers.engine_process",
                msgspec.json.encode(engine_setting).decode(),
            ],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            start_new_session=True,
        )
    try:
        engine = _EngineProcess(process)
        engine.line()  # an empty object: the model is loaded
        yield engine
    finally:
        kill_group(process)


PEER = Peer(
    "engine", "a", "the engine in process, no server", running, note="the ceiling: no HTTP, no text"
)
