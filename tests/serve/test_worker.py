"""The worker's loop in a process of its own, over a real socket and board, a scripted engine in it.

What the engine does with a request is written in its prompt: see `ScriptedEngine`.
"""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pilotage.engines.config import EngineConfig
from pilotage.engines.engine import EngineOutput, EngineRequest, SamplingParams
from pilotage.errors import ModelError, PilotageError
from pilotage.serve.board import Board, State
from pilotage.serve.config import FATAL_EXIT
from pilotage.serve.link import (
    Alive,
    Cancel,
    FrameDecoder,
    Hello,
    Load,
    Loaded,
    LoadFailed,
    Step,
    Submit,
    ToGateway,
    ToWorker,
    Unload,
    Unloaded,
    encode,
)

PROGRAM = '''
import os, sys, time
from pathlib import Path
from pilotage.engines.engine import EngineInfo, EngineOutput
from pilotage.engines.config import EngineConfig
from pilotage.devices import DeviceSlice
from pilotage.errors import ModelError
from pilotage.serve.config import WorkerConfig, write_config
from pilotage.serve import worker

worker._SEND_TIMEOUT_S = 0.5  # so that the test need not wait

class ScriptedEngine:
    """A stand-in: a request brings its prompt, a token a step. Special first tokens:
    -1 is refused, -2 breaks the next step, -3 stays silent, -4 takes three steps to cancel,
    -5 brings its token in steps of 0.2 s for ever."""

    info = EngineInfo(engine="scripted", max_model_len=100, max_num_seqs=4,
        max_num_batched_tokens=64, kv_cache_tokens=1000, kv_cache_bytes=1,
        prefill_tokens_per_s=500.0, load_s=0.1)

    def __init__(self):
        self.running, self.cancelled = {}, {}

    @property
    def busy(self):
        return bool(self.running)

    def submit(self, request):
        if request.id in self.running:
            raise RuntimeError(f"the number {request.id} is still in use")
        if request.prompt_ids[0] == -1:
            raise ValueError("cannot do that")
        self.running[request.id] = list(request.prompt_ids)

    def cancel(self, number):
        if number in self.running and number not in self.cancelled:
            self.cancelled[number] = 3 if self.running[number][0] == -4 else 1

    def step(self):
        outputs = []
        time.sleep(0.2 if any(left[0] == -5 for left in self.running.values()) else 0.005)
        if any(left[0] == -2 for left in self.running.values()):
            raise RuntimeError("the engine broke")
        for number, left in list(self.running.items()):
            if number in self.cancelled:
                self.cancelled[number] -= 1
                if not self.cancelled[number]:
                    del self.cancelled[number], self.running[number]
                    outputs.append(EngineOutput(number, [], None, "cancelled"))
            elif left[0] == -5:
                outputs.append(EngineOutput(number, [5]))
            elif left[0] >= 0:
                token = left.pop(0)
                outputs.append(EngineOutput(number, [token], None, None if left else "length"))
                if not left:
                    del self.running[number]
        return outputs

    def kv_cache_usage(self):
        return 0.5

folder = Path(sys.argv[1])
def engine(name):
    return EngineConfig(model=name, engine="openvino", path="", cache="")

models = sys.argv[2].split(",") if len(sys.argv) > 2 else ["tiny"]
config = WorkerConfig(index=3, engines=tuple(engine(name) for name in models if name),
    device=DeviceSlice(worker=3, kind="cpu", cores=tuple(os.sched_getaffinity(0))),
    socket=str(folder / "w.sock"), board=str(folder / "board"), errors=str(folder / "errors"),
    log_format="text", log_level="info")

def open_engine(config, device):
    if (folder / "damaged").exists() or config.model == "damaged":
        raise ModelError("the file is damaged", where="m.gguf")
    if config.model == "odd":
        raise ZeroDivisionError("of a library")
    while config.model == "slow" and not (folder / "go").exists():
        time.sleep(0.005)
    return ScriptedEngine()

worker.open_engine = open_engine
write_config(folder / "config", config)
sys.exit(worker.main(str(folder / "config")))
'''

REFUSED, BREAKS, SILENT, SLOW_TO_CANCEL, ENDLESS = -1, -2, -3, -4, -5


class Peer:
    """The gateway's end of the link, as a plain blocking socket."""

    def __init__(self, path: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(10)
        self.socket.connect(str(path))
        self._decoder: FrameDecoder[ToGateway] = FrameDecoder(ToGateway)  # type: ignore[arg-type]
        self._messages: list[ToGateway] = []

    def send(self, *messages: ToWorker) -> None:
        self.socket.sendall(b"".join(map(encode, messages)))

    def receive(self) -> ToGateway:
        """The next message; EOFError when the worker has hung up."""
        while not self._messages:
            data = self.socket.recv(1 << 16)
            if not data:
                raise EOFError
            self._messages += self._decoder.feed(data)
        return self._messages.pop(0)

    def greeted(self) -> Peer:
        assert isinstance(self.receive(), Hello)
        return self

    def step(self) -> Step:
        """The next step that brought something."""
        while True:
            message = self.receive()
            assert isinstance(message, Step)
            if message.outputs:
                return message

    def outputs_until_end(self, number: int) -> list[EngineOutput]:
        outputs: list[EngineOutput] = []
        while not outputs or outputs[-1].finish_reason is None:
            outputs += [output for output in self.step().outputs if output.id == number]
        return outputs


def submit(number: int, *prompt: int, json_schema: str | None = None, engine: int = 0) -> Submit:
    params = SamplingParams(max_tokens=100, json_schema=json_schema)
    return Submit(engine, EngineRequest(number, list(prompt), params))


class RunningWorker:
    def __init__(self, folder: Path, models: str = "tiny") -> None:
        self.folder = folder
        self.board = Board(folder / "board", create=True)
        self.log = folder / "log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", PROGRAM, str(folder), models],
                stdin=subprocess.PIPE,
                stderr=log,
            )
        self._path = folder / "w.sock"
        self._peers: list[Peer] = []
        self.until(lambda: self.board.state is State.READY)

    def until(self, condition: Callable[[], object]) -> None:
        deadline = time.monotonic() + 20
        while not condition():
            assert time.monotonic() < deadline
            assert self.process.poll() is None, self.log.read_text()
            time.sleep(0.005)

    def connect(self) -> Peer:
        self._peers.append(Peer(self._path))
        return self._peers[-1]

    def close(self) -> None:
        for peer in self._peers:
            peer.socket.close()
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[RunningWorker]:
    running = RunningWorker(tmp_path)
    yield running
    running.close()


def test_one_frame_a_step_carries_everybodys_tokens(worker: RunningWorker) -> None:
    peer = worker.connect()
    hello = peer.receive()
    assert isinstance(hello, Hello)
    assert hello.worker == 3
    ((number, model, info),) = [(e.engine, e.model, e.info) for e in hello.engines]
    assert (number, model, info and info.engine) == (0, "tiny", "scripted")
    peer.send(submit(1, 10, 11), submit(2, 20, 21, 22))
    steps = [peer.step() for _ in range(3)]
    assert [[(o.id, o.token_ids) for o in step.outputs] for step in steps] == [
        [(1, [10]), (2, [20])],
        [(1, [11]), (2, [21])],
        [(2, [22])],
    ]
    assert [step.running for step in steps] == [2, 1, 0]
    assert all(step.duration_s > 0 and step.kv_cache_usage == 0.5 for step in steps)
    assert steps[1].outputs[0].finish_reason == "length"
    worker.until(lambda: worker.board.tokens == 5)
    assert worker.board.steps == 3


def test_an_idle_worker_gives_a_sign_of_life_every_second(worker: RunningWorker) -> None:
    peer = worker.connect().greeted()
    peer.receive()  # the round that greeted
    beats, began = worker.board.beats, time.monotonic()
    sign = peer.receive()
    assert isinstance(sign, Step)
    assert (sign.outputs, sign.duration_s, sign.running) == ([], 0.0, 0)
    assert 0.8 < time.monotonic() - began < 5
    assert worker.board.beats > beats
    assert worker.board.steps == 0


def test_a_refused_request_is_answered_and_harms_nobody(worker: RunningWorker) -> None:
    peer = worker.connect().greeted()
    peer.send(submit(1, REFUSED), submit(2, 20))
    (refusal,) = peer.outputs_until_end(1)
    assert (refusal.finish_reason, refusal.error) == ("error", "cannot do that")
    peer.send(submit(3, REFUSED))  # now while idle
    assert peer.outputs_until_end(3)[0].finish_reason == "error"
    peer.send(submit(1, 5))
    assert peer.outputs_until_end(1)[-1].finish_reason == "length"


def test_a_cancellation_is_answered_when_the_engine_has_let_go(worker: RunningWorker) -> None:
    peer = worker.connect().greeted()
    peer.send(submit(1, SLOW_TO_CANCEL), Cancel(0, 1), Cancel(0, 77))
    (ending,) = peer.outputs_until_end(1)
    assert (ending.token_ids, ending.finish_reason) == ([], "cancelled")


@pytest.mark.parametrize("goodbye", ["close", "rubbish"])
def test_a_gateway_that_goes_takes_its_requests_with_it(
    worker: RunningWorker, goodbye: str
) -> None:
    peer = worker.connect().greeted()
    peer.send(submit(1, SILENT), submit(2, ENDLESS))
    worker.until(lambda: worker.board.running == 2)
    if goodbye == "close":
        peer.socket.close()
    else:
        peer.socket.sendall(b"\xff" * 8)
    worker.until(lambda: worker.board.running == 0)
    again = worker.connect().greeted()
    again.send(submit(1, 4))  # the numbers of a new gateway begin anew
    assert [o.token_ids for o in again.outputs_until_end(1)] == [[4]]


def test_a_new_gateway_never_gets_the_endings_of_the_old_ones_requests(
    worker: RunningWorker,
) -> None:
    old = worker.connect().greeted()
    old.send(submit(1, SLOW_TO_CANCEL), submit(2, ENDLESS))
    worker.until(lambda: worker.board.running == 2)
    new = worker.connect()
    new.send(submit(1, 4, 5))  # at once, as a gateway does whose queue is full
    new.greeted()
    assert [o.token_ids for o in new.outputs_until_end(1)] == [[4], [5]]
    with pytest.raises(EOFError):
        while True:
            old.receive()


def test_a_step_that_fails_is_blamed_on_schemas_that_have_not_proven_themselves(
    worker: RunningWorker,
) -> None:
    peer = worker.connect().greeted()
    peer.send(submit(1, 1, ENDLESS), submit(2, 1, ENDLESS, json_schema="{}"))
    assert peer.step().running == 2  # number 2 has brought a token: its schema works
    peer.send(submit(3, BREAKS, json_schema='{"type": "odd"}'))
    blamed = []
    with pytest.raises(EOFError):
        while True:
            blamed += [o for o in peer.step().outputs if o.finish_reason is not None]
    assert [(o.id, o.finish_reason) for o in blamed] == [(3, "error")]
    assert "JSON schema" in str(blamed[0].error)
    assert worker.process.wait(10) != 0  # its engine is lost; the supervisor starts another
    assert "the engine broke" in worker.log.read_text()


# Several engines ------------------------------------------------------------------------------


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[str], RunningWorker]]:
    """Starts a worker with these models."""
    running: list[RunningWorker] = []

    def begin(models: str) -> RunningWorker:
        running.append(RunningWorker(tmp_path, models))
        return running[-1]

    yield begin
    for one in running:
        one.close()


def config(model: str) -> EngineConfig:
    return EngineConfig(model=model, engine="openvino", path="", cache="")


def test_busy_engines_take_turns_and_number_their_requests_themselves(
    start: Callable[[str], RunningWorker],
) -> None:
    worker = start("one,two")
    peer = worker.connect()
    hello = peer.receive()
    assert isinstance(hello, Hello)
    assert [(e.engine, e.model) for e in hello.engines] == [(0, "one"), (1, "two")]
    peer.send(submit(1, 10, 11, 12), submit(1, 20, 21, 22, engine=1), submit(1, 5, engine=9))
    steps = [peer.step() for _ in range(6)]
    assert [step.engine for step in steps] in ([0, 1] * 3, [1, 0] * 3)
    for engine, first in ((0, 10), (1, 20)):
        brought = [o.token_ids for step in steps if step.engine == engine for o in step.outputs]
        assert brought == [[first], [first + 1], [first + 2]]
    worker.until(lambda: worker.board.running == 0)
    idle = [peer.receive() for _ in range(2)]
    assert sorted(sign.engine for sign in idle if isinstance(sign, Step)) == [0, 1]


def test_an_engine_is_opened_while_another_one_goes_on(
    start: Callable[[str], RunningWorker],
) -> None:
    worker = start("one")
    peer = worker.connect().greeted()
    peer.send(submit(1, *range(90)), Load(4, config("slow")))
    for _ in range(20):
        assert peer.step().engine == 0
    again = worker.connect()  # a gateway that comes meanwhile hears of it
    hello = again.receive()
    assert isinstance(hello, Hello)
    assert [(e.engine, e.model, e.info is None) for e in hello.engines] == [
        (0, "one", False),
        (4, "slow", True),
    ]
    (worker.folder / "go").touch()
    while not isinstance(message := again.receive(), Loaded):
        assert isinstance(message, Step)
    assert (message.engine, message.model, message.info.engine) == (4, "slow", "scripted")
    again.send(submit(1, 7, engine=4))
    step = again.step()
    assert (step.engine, step.outputs[0].token_ids) == (4, [7])


@pytest.mark.parametrize(
    ("model", "kind", "why"),
    [
        ("damaged", "ModelError", "the file is damaged"),
        ("odd", "ModelError", "the engine could not open it: of a library"),
    ],
)
def test_an_engine_that_cannot_be_opened_harms_nobody(
    start: Callable[[str], RunningWorker], model: str, kind: str, why: str
) -> None:
    worker = start("")
    peer = worker.connect()
    assert peer.receive() == Hello(3, [])
    peer.send(Load(0, config(model)), Load(1, config("good")))
    messages: list[object] = []
    while sum(isinstance(message, Loaded | LoadFailed) for message in messages) < 2:
        messages.append(peer.receive())  # among signs of life, more of them on a slow machine
    (failed,) = [message for message in messages if isinstance(message, LoadFailed)]
    assert (failed.engine, failed.model) == (0, model)
    assert (failed.error["type"], failed.error["message"]) == (kind, why)
    assert any(isinstance(message, Loaded) and message.engine == 1 for message in messages)


def test_an_engine_is_closed_once_it_has_let_go(start: Callable[[str], RunningWorker]) -> None:
    worker = start("one,two")
    peer = worker.connect().greeted()
    peer.send(submit(1, SLOW_TO_CANCEL, engine=1), submit(1, 5, 6), Unload(1), Unload(8))
    seen: list[ToGateway] = []
    while sum(isinstance(message, Unloaded) for message in seen) < 2:
        seen.append(peer.receive())
    assert Unloaded(8) in seen  # that there is none is no reason to wait for ever
    before = seen[: seen.index(Unloaded(1))]
    ended = [o for m in before if isinstance(m, Step) and m.engine == 1 for o in m.outputs]
    assert [o.finish_reason for o in ended] == ["cancelled"]
    peer.send(submit(2, 9))
    assert peer.outputs_until_end(2)[-1].finish_reason == "length"
    hello = worker.connect().receive()
    assert isinstance(hello, Hello)
    assert [e.engine for e in hello.engines] == [0]


def test_an_engine_that_is_not_wanted_any_more_is_closed_when_it_is_there(
    start: Callable[[str], RunningWorker],
) -> None:
    worker = start("")
    peer = worker.connect().greeted()
    peer.send(Load(0, config("slow")), Unload(0))
    assert [peer.receive() for _ in range(2)] == [Alive(), Alive()]  # it has read that
    hello = worker.connect().receive()
    assert hello == Hello(3, [])
    again = worker.connect().greeted()
    (worker.folder / "go").touch()
    while not isinstance(message := again.receive(), Unloaded):
        assert isinstance(message, Alive)
    assert message.engine == 0


def test_an_idle_worker_notices_sigterm_at_once(start: Callable[[str], RunningWorker]) -> None:
    worker = start("one")
    peer = worker.connect().greeted()
    waited = []
    for _ in range(2):
        peer.receive()
    began = time.monotonic()
    worker.process.send_signal(signal.SIGTERM)
    with pytest.raises(EOFError):
        while True:
            waited.append(peer.receive())
    assert worker.process.wait(10) == 0
    # The round that was waiting came to its end by the signal and not by its second.
    assert time.monotonic() - began < 5
    assert len(waited) <= 1


def test_it_ends_when_the_supervisor_does(worker: RunningWorker) -> None:
    assert worker.process.stdin is not None
    worker.process.stdin.close()
    assert worker.process.wait(10) == 0
    assert worker.board.state is State.STOPPED
    worker.process.stdin = None


def test_a_gateway_that_does_not_read_is_dropped(worker: RunningWorker) -> None:
    peer = worker.connect().greeted()
    peer.send(*(submit(number, *range(300)) for number in range(400)))  # over 1 MB of answers
    worker.until(lambda: worker.board.running == 400)
    worker.until(lambda: worker.board.running == 0)
    assert worker.board.steps < 300  # it did not wait for the end of what nobody reads
    assert "does not read" in worker.log.read_text()
    worker.connect().greeted()


def test_sigterm_ends_it_after_the_step_in_hand(worker: RunningWorker) -> None:
    peer = worker.connect().greeted()
    peer.send(submit(1, ENDLESS))
    peer.step()
    worker.process.send_signal(signal.SIGINT)  # Ctrl-C in the terminal is not for it
    peer.step()
    worker.process.send_signal(signal.SIGTERM)
    assert worker.process.wait(10) == 0
    assert worker.board.state is State.STOPPED
    steps = 0
    with pytest.raises(EOFError):
        while True:
            steps += bool(peer.step().outputs)
    assert steps <= 2


def test_an_engine_that_cannot_be_opened_leaves_its_error(tmp_path: Path) -> None:
    (tmp_path / "damaged").touch()
    Board(tmp_path / "board", create=True)
    process = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path)], stdin=subprocess.DEVNULL, check=False
    )
    assert process.returncode == FATAL_EXIT
    error = PilotageError.from_dict(json.loads((tmp_path / "errors").read_text()))
    assert isinstance(error, ModelError)
    assert str(error) == "m.gguf: the file is damaged"
