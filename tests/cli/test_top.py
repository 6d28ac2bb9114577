"""``pilotage top``: figures of two readings, what is drawn, the command in a real terminal."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from math import inf
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from metrics_server import MetricsServer
from rich.console import Console

from pilotage.cli.top import top
from pilotage.cli.top_figures import Figures, figures, quantile
from pilotage.cli.top_reading import Reading, read_metrics
from pilotage.cli.top_view import History, draw
from pilotage.devices.use import DeviceUse
from pilotage.errors import PilotageError
from pilotage.prove.server_side.look import NotMetricsError
from pilotage.serve.telemetry.metrics import Metrics
from pilotage.serve.telemetry.request_record import RequestRecord
from pilotage.serve.telemetry.snapshot import ReplicaSnapshot, Snapshot, WorkerSnapshot

RUN = [sys.executable, "-m", "pilotage.cli.main", "top"]


class Server:
    """The metrics of a gateway with two workers, as the gateway makes them."""

    def __init__(self) -> None:
        self.metrics = Metrics(["chat", "embed"])
        self.queued = 0
        self.metrics.watch(self._snapshot)

    def _snapshot(self) -> Snapshot:
        workers = (
            WorkerSnapshot(
                worker="0",
                up=True,
                restarts=1,
                running_requests=3,
                kv_cache_usage_ratio=0.25,
                kv_cache_tokens=4096,
                device="cuda:0-1",
                models=(
                    ReplicaSnapshot(model="chat", memory_bytes=3 << 30, running_requests=2),
                    ReplicaSnapshot(model="embed", memory_bytes=1 << 30, running_requests=1),
                ),
            ),
            WorkerSnapshot(worker="10", up=False, device="cpu:4-7"),
        )
        return Snapshot(
            queue_requests=self.queued,
            queue_tokens=100 * self.queued,
            workers=workers,
            cpu_s={"worker-0": 1.0},
            queue_by_model={"chat": self.queued, "embed": 0},
        )

    def work(self) -> None:
        """One second's work of worker 0: ten steps, four sequences each, and an answer."""
        for _ in range(10):
            self.metrics.step("0", 0.05, 4, 4)
        self.metrics.request_started()
        self.metrics.request_finished(
            RequestRecord(
                endpoint="/v1/chat/completions",
                status=200,
                duration_s=0.5,
                model="chat",
                operation="chat",
                prompt_tokens=5,
                completion_tokens=40,
                ttft_s=0.05,
            )
        )

    def reading(self, at: float) -> Reading:
        return read_metrics(self.metrics.render().decode(), at)


@pytest.fixture
def server() -> Server:
    return Server()


def test_figures_are_what_happened_between_two_readings(server: Server) -> None:
    server.work()
    before = server.reading(10.0)
    server.queued = 7
    server.work()
    found = figures(before, server.reading(11.0))

    assert found.interval_s == 1.0
    assert (found.queue, found.queue_tokens) == (7, 700)
    assert found.tokens_per_s == 40
    assert found.requests_per_s == 1
    chat, embed = found.models
    assert (chat.model, chat.queue, chat.requests_per_s) == ("chat", 7, 1)
    # One answer in the bucket from 0.04 to 0.06 s.
    assert chat.ttft_p50_s == pytest.approx(0.05)
    assert chat.ttft_p95_s == pytest.approx(0.059)
    assert (embed.queue, embed.ttft_p50_s) == (0, None)
    gpu, cpu = found.slices
    assert (gpu.worker, gpu.device, gpu.up, gpu.restarts) == ("0", "cuda:0-1", True, 1)
    assert gpu.utilisation == pytest.approx(0.5)
    assert (gpu.tokens_per_s, gpu.batch, gpu.running) == (40, 4, 3)
    assert [(model.model, model.memory_bytes >> 30, model.running) for model in gpu.models] == [
        ("chat", 3, 2),
        ("embed", 1, 1),
    ]
    assert (cpu.device, cpu.up, cpu.tokens_per_s, cpu.models) == ("cpu:4-7", False, None, ())


def test_the_first_reading_has_no_rates(server: Server) -> None:
    server.work()
    found = figures(None, server.reading(1.0))
    assert found.interval_s is None
    assert found.tokens_per_s is None
    assert found.models[0].ttft_p50_s is None
    assert found.slices[0].utilisation is None
    assert found.slices[0].kv_usage == 0.25


def test_counters_that_fell_count_from_zero(server: Server) -> None:
    server.work()
    server.work()
    again = Server()
    again.work()
    found = figures(server.reading(1.0), again.reading(2.0))
    assert found.tokens_per_s == 40
    assert found.models[0].requests_per_s == 1


def test_a_step_that_ended_late_is_no_more_than_all_the_time(server: Server) -> None:
    before = server.reading(1.0)
    server.metrics.step("0", 30.0, 1, 1)
    assert figures(before, server.reading(2.0)).slices[0].utilisation == 1.0


def test_drivers_figures_go_to_the_slice_that_has_the_device(server: Server) -> None:
    uses = {"cuda": {0: DeviceUse(utilisation=0.5), 1: DeviceUse(), 2: DeviceUse()}}
    gpu, cpu = figures(None, server.reading(1.0), uses).slices
    assert list(gpu.devices) == [0, 1]
    assert cpu.devices == {}


@given(
    counts=st.lists(st.integers(0, 50), min_size=1, max_size=8),
    q=st.floats(0, 1),
)
def test_a_quantile_lies_in_the_bucket_that_holds_it(counts: list[int], q: float) -> None:
    bounds: dict[float, float] = {}
    total = 0
    for place, count in enumerate(counts):
        total += count
        bounds[inf if place == len(counts) - 1 else float(place + 1)] = total
    found = quantile(bounds, q)
    if total == 0:
        assert found is None
        return
    assert found is not None
    finite = [bound for bound in bounds if bound != inf]
    assert 0 <= found <= max(finite, default=0.0)
    at_most = max((count for bound, count in bounds.items() if bound <= found), default=0)
    at_least = min(count for bound, count in bounds.items() if bound >= found)
    assert at_most <= q * total + 1e-9 or found in bounds
    assert at_least >= q * total - 1e-9 or found == max(finite, default=0.0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<html>", "not the metrics of a Pilotage server"),
        ("vllm:num_requests_running 3\n", "not the metrics of a Pilotage server"),
        ("pilotage_worker_up{worker= 1\n", "not Prometheus text"),
        ("pilotage_x 1\n" * 20_001, "20,001 series"),
    ],
)
def test_other_texts_are_refused(text: str, message: str) -> None:
    with pytest.raises(NotMetricsError, match=message):
        read_metrics(text, 0.0)


def rendered(found: Figures | None, *, width: int = 100, trouble: str | None = None) -> str:
    history = History()
    if found is not None:
        history.add(found)
    console = Console(width=width, force_terminal=False, highlight=False)
    with console.capture() as capture:
        console.print(draw(found, history, url="http://h:1", width=width, trouble=trouble))
    return capture.get()


def busy(server: Server) -> Figures:
    before = server.reading(1.0)
    server.queued = 7
    server.work()
    uses = {"cuda": {1: DeviceUse(utilisation=0.9, memory_used_bytes=8 << 30)}}
    return figures(before, server.reading(2.0), uses)


def test_the_view_has_one_block_a_slice(server: Server) -> None:
    text = rendered(busy(server))
    assert "40.0 tokens/s" in text
    assert "queue 7 (700 tokens)" in text
    assert re.search(r"chat\s+7\s+1\.0\s+50ms\s+59ms", text)
    assert text.index("cuda:0-1  worker 0  ● up  1 restart ") < text.index(
        "cpu:4-7  worker 10  ● down"
    )
    assert re.search(r"busy\s+█{10}░{10}\s+50%", text)
    assert re.search(r"cuda 1\s+█{18}░{2}\s+90%\s+8GiB", text)
    assert re.search(r"KV cache\s+█{5}░{15}\s+25% of 4,096 tokens", text)
    assert re.search(r"memory\s+█{20}\s+3GiB\s+chat\s+running 2", text)
    assert re.search(r"\s+█{7}░{13}\s+1GiB\s+embed\s+running 1", text)


@pytest.mark.parametrize("width", [20, 40, 60, 200])
def test_no_line_is_wider_than_the_terminal(server: Server, width: int) -> None:
    text = rendered(busy(server), width=width, trouble="the server cannot be reached")
    assert max(map(len, text.splitlines())) <= width
    assert "cuda:0-1" in text


def test_what_a_server_says_cannot_write_to_the_terminal(server: Server) -> None:
    found = busy(server)
    bad = replace_slice(found, "\x1b[2Jevil")
    assert "\x1b[2J" not in rendered(bad)
    assert "\x1b[2J" not in rendered(None, trouble="\x1b[2Jevil")


def replace_slice(found: Figures, device: str) -> Figures:
    first = msgspec.structs.replace(found.slices[0], device=device)
    return msgspec.structs.replace(found, slices=(first,))


def test_times_stay_when_an_interval_brought_none(server: Server) -> None:
    history = History()
    first = busy(server)
    history.add(first)
    history.add(figures(server.reading(2.0), server.reading(3.0)))
    assert history.times("chat") == (first.models[0].ttft_p50_s, first.models[0].ttft_p95_s)
    assert history.times("other") == (None, None)
    assert history.sparkline("0", 20) == "█▁"


@pytest.fixture
def live(server: Server) -> Iterator[MetricsServer]:
    def answer(path: str, authorization: str) -> tuple[int, bytes]:
        if path == "/locked/metrics" and authorization != "Bearer right":
            return 401, b"{}"
        if path == "/page/metrics":
            return 200, b"<html></html>"
        if path.endswith("/metrics") and "nothing" not in path:
            server.work()
            return 200, server.metrics.render()
        return 404, b""

    http = MetricsServer(answer)
    try:
        yield http
    finally:
        with suppress(OSError):
            http.stop()


def look(url: str, *, interval: str = "100ms", as_json: bool = False) -> None:
    top(url=url, interval=interval, once=True, as_json=as_json, key_env="PILOTAGE_API_KEY")


def test_once_as_json_is_one_object(
    live: MetricsServer, capsys: pytest.CaptureFixture[str]
) -> None:
    look(f"{live.url}/v1", as_json=True)
    (line,) = capsys.readouterr().out.splitlines()
    told = json.loads(line)
    assert told["interval_s"] >= 0.1
    assert told["slices"][0]["device"] == "cuda:0-1"
    assert told["slices"][0]["tokens_per_s"] > 0
    assert told["models"][0]["ttft_p50_s"] == pytest.approx(0.05)


def test_once_without_a_terminal_is_plain_text(
    live: MetricsServer, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    look(live.url)
    text = capsys.readouterr().out
    assert "\x1b" not in text
    assert "cuda:0-1  worker 0  ● up" in text


@pytest.mark.parametrize(
    ("url", "interval", "code", "message"),
    [
        ("http://127.0.0.1:9", "1s", 1, "cannot be reached"),
        ("ftp://x", "1s", 2, "not an http:// or https:// address"),
        ("http://127.0.0.1:9", "1ms", 2, "--interval: 1ms is not a time from"),
        ("http://127.0.0.1:9", "soon", 2, "--interval"),
        ("{live}/locked", "1s", 1, "wants another API key.*PILOTAGE_API_KEY"),
        ("{live}/page", "1s", 1, "not the metrics of a Pilotage server"),
        ("{live}/v1/nothing", "1s", 1, "nothing/metrics: the server has no metrics there"),
    ],
)
def test_what_goes_wrong_is_said(
    live: MetricsServer, url: str, interval: str, code: int, message: str
) -> None:
    with pytest.raises(PilotageError, match=message) as caught:
        look(url.replace("{live}", live.url), interval=interval)
    assert caught.value.exit_code == code


def test_the_key_is_sent(
    live: MetricsServer, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PILOTAGE_API_KEY", "right")
    look(f"{live.url}/locked", as_json=True)
    assert "slices" in json.loads(capsys.readouterr().out)


def test_a_reader_that_leaves_ends_the_lines(live: MetricsServer) -> None:
    process = subprocess.Popen(
        [*RUN, "--url", live.url, "--json", "--interval", "100ms"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    assert "slices" in json.loads(process.stdout.readline())
    process.stdout.close()
    assert process.wait(60) == 0
    assert process.stderr.read() == ""
    process.stderr.close()


OWN_TERMINAL = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""
"""So that Ctrl-C and the like reach what runs in it."""


class Terminal:
    """`pilotage top` in a terminal of its own."""

    def __init__(self, url: str, *, columns: int = 100) -> None:
        self.master, slave = pty.openpty()
        self._resize(slave, columns)
        self.before = termios.tcgetattr(slave)
        self._slave = slave
        self.seen = ""
        # The terminal's own size counts, not the one that a test runner may have written down.
        inherited = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "LINES")}
        self.process = subprocess.Popen(
            [sys.executable, "-c", OWN_TERMINAL, *RUN, "--url", url, "--interval", "100ms"],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env={**inherited, "TERM": "xterm-256color", "PYTHONFAULTHANDLER": "1"},
            start_new_session=True,
        )

    @staticmethod
    def _resize(terminal: int, columns: int) -> None:
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 30, columns, 0, 0))

    def resize(self, columns: int) -> None:
        self._resize(self.master, columns)

    def press(self, text: str) -> None:
        os.write(self.master, text.encode())

    def read_until(self, done: Callable[[str], bool], seconds: float = 60.0) -> str:
        """What is on the screen from now on, until it is as wanted."""
        deadline = time.monotonic() + seconds
        start = len(self.seen)
        while not done(self.seen[start:]):
            assert time.monotonic() < deadline, self.seen[-3000:]
            if select.select([self.master], [], [], 0.2)[0]:
                with suppress(OSError):
                    self.seen += os.read(self.master, 65536).decode("utf-8", "replace")
        return self.seen[start:]

    def end(self) -> int:
        """Its exit code; the terminal must be as it was."""
        deadline = time.monotonic() + 60
        while self.process.poll() is None:
            if time.monotonic() > deadline:
                self.process.send_signal(signal.SIGABRT)  # says on the screen where it stands
                deadline = inf
            if select.select([self.master], [], [], 0.1)[0]:
                self.seen += os.read(self.master, 65536).decode("utf-8", "replace")
        while select.select([self.master], [], [], 0)[0]:
            self.seen += os.read(self.master, 65536).decode("utf-8", "replace")
        assert deadline < inf, self.seen[-5000:]
        assert termios.tcgetattr(self._slave) == self.before
        assert self.seen.count("\x1b[?1049h") == self.seen.count("\x1b[?1049l")
        assert self.seen.count("\x1b[?25l") <= self.seen.count("\x1b[?25h")
        assert "Traceback" not in self.seen
        return self.process.returncode

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self.master)
        os.close(self._slave)


@contextmanager
def terminal(url: str, *, columns: int = 100) -> Iterator[Terminal]:
    screen = Terminal(url, columns=columns)
    try:
        yield screen
    finally:
        screen.close()


@pytest.mark.parametrize("leave", ["q", "\x03", "term"])
def test_a_key_leaves_and_the_terminal_is_as_it_was(live: MetricsServer, leave: str) -> None:
    with terminal(live.url) as screen:
        screen.read_until(lambda text: "cuda:0-1" in text and "tokens/s" in text)
        assert termios.tcgetattr(screen.master)[3] & termios.ECHO == 0
        if leave == "term":
            screen.process.send_signal(signal.SIGTERM)
        else:
            screen.press(leave)
        assert screen.end() == 0


def test_other_keys_do_nothing_and_a_new_size_is_taken(live: MetricsServer) -> None:
    with terminal(live.url, columns=40) as screen:
        screen.read_until(lambda text: "KV cache" in text)
        assert "q quits" not in screen.seen
        screen.press("x\r\x1b[A")
        screen.resize(120)
        screen.read_until(lambda text: "q quits" in text)
        screen.press("Q")
        assert screen.end() == 0


def test_a_server_that_goes_away_and_comes_back(live: MetricsServer) -> None:
    with terminal(live.url) as screen:
        screen.read_until(lambda text: "cuda:0-1" in text)
        live.stop()
        gone = screen.read_until(lambda text: "asking again" in text)
        assert "cannot be reached" in gone
        live.start()
        screen.read_until(
            lambda text: (
                "cuda:0-1" in text.rpartition("asking again")[2]
                and "requests/s" in text.rpartition("asking again")[2]
            )
        )
        screen.press("q")
        assert screen.end() == 0


def test_a_server_that_is_none_ends_it(live: MetricsServer) -> None:
    with terminal(f"{live.url}/page") as screen:
        screen.read_until(lambda text: "not the metrics of a Pilotage server" in text)
        assert screen.end() == 1


def test_the_page_shows_what_is_drawn(server: Server) -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "top.md").read_text()
    found = re.search(r"\$ pilotage top --url http://h:1\n(.*?)```", page, re.DOTALL)
    assert found is not None
    shown = msgspec.structs.replace(busy(server), version="")
    drawn = "\n".join(line.rstrip() for line in rendered(shown, width=80).splitlines())
    assert found[1].rstrip() == drawn
