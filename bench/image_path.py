"""The front's share of an image request: parse, check, decode, resize, against bare Pillow.

    make bench-images          (python bench/image_path.py [--repeats 9] [--json FILE])

A JPEG of about 10 MB goes through ``POST /infer`` of the gateway's real API, in a process of its
own with uvicorn on uvloop and a dispatcher that answers at once; nothing else is not real. Beside
every request the same bytes are decoded and resized by Pillow in one thread, so that the machine's
noise hits both alike. The ratio of wall times is the median over the pairs; CPU times are those of
the gateway and its decoders against Pillow's.

Then 16 such uploads run at once, several rounds of them, while a timer in the server measures how
late its event loop is. A process beside it that does nothing but the same measures what the
machine alone does to an event loop: with more to run than cores, that is not nothing. Where that
alone is more than the promise, the gateway is judged without the time that its thread was ready
to run and had no core.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import os
import socket
import statistics
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path

import msgspec
import numpy as np
import psutil
from PIL import Image
from rich.console import Console

if __package__ in {None, ""}:  # run as a file: the repository is not on the path yet
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench.image_server import BICUBIC, STALLS_PATH, StallClock, Stalls, vision
from bench.machine import this_machine
from bench.model import model_file
from bench.processes import free_port, get, server

MEGABYTES = 10
MOST_RATIO = 1.3
MOST_STALL_MS = 10.0
_WIDTH, _HEIGHT = 4032, 3024  # a telephone's 12 megapixels
_WARM_UP = 3


class Report(msgspec.Struct):
    """What the run showed; times are medians over the pairs, seconds."""

    machine: str
    load_average: float
    image: str
    pillow_s: float
    request_s: float
    ratio: float
    ratios: list[float]
    pillow_cpu_s: float
    front_cpu_s: float
    cpu_ratio: float
    uploads: int
    rounds: int
    uploads_per_s: float
    stalls: Stalls
    machine_stalls: Stalls
    gateway_mib: float

    def failures(self) -> list[str]:
        """The promises that were not kept."""
        broken = []
        if self.ratio > MOST_RATIO:
            broken.append(f"a request takes more than {MOST_RATIO:g} times bare Pillow")
        # Where the machine alone holds up a process that does nothing for longer than that, only
        # what the gateway itself adds can be judged.
        quiet = self.machine_stalls.longest_ms <= MOST_STALL_MS
        stall = self.stalls.longest_ms if quiet else self.stalls.own_longest_ms
        if stall > MOST_STALL_MS:
            broken.append(f"the event loop stalled for more than {MOST_STALL_MS:g} ms")
        return broken


def photograph(megabytes: float, seed: int = 0) -> bytes:
    """A JPEG of about that many megabytes: shapes, gradients and a sensor's noise."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[0:_HEIGHT, 0:_WIDTH]
    shapes = np.stack([x * 255 // _WIDTH, y * 255 // _HEIGHT, (x // 64 + y // 48) % 2 * 200], -1)
    shapes = shapes.astype(np.float32)
    grain = random.standard_normal(shapes.shape, dtype=np.float32)  # drawn once: it takes long
    noisy = np.empty_like(grain)
    low, high = 0.0, 120.0
    data = b""
    for _ in range(8):  # the noise decides how long it becomes
        np.multiply(grain, (low + high) / 2, out=noisy)
        noisy += shapes
        image = Image.fromarray(noisy.clip(0, 255, out=noisy).astype(np.uint8))
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=90)
        data = buffer.getvalue()
        if abs(len(data) / 1e6 - megabytes) < 0.03 * megabytes:
            break
        if len(data) / 1e6 > megabytes:
            high = (low + high) / 2
        else:
            low = (low + high) / 2
    return data


def form(image: bytes) -> bytes:
    """The whole HTTP request."""
    head = (
        b'--bench\r\nContent-Disposition: form-data; name="text_prompt"\r\n\r\nWhat is it?\r\n'
        b'--bench\r\nContent-Disposition: form-data; name="image"; filename="a.jpg"\r\n'
        b"Content-Type: image/jpeg\r\n\r\n"
    )
    body = head + image + b"\r\n--bench--\r\n"
    return (
        b"POST /infer HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n"
        b"Content-Type: multipart/form-data; boundary=bench\r\n"
        b"Content-Length: %d\r\n\r\n" % len(body)
    ) + body


def bare(image: bytes) -> int:
    """What the model needs, by Pillow alone; returns how many bytes it is."""
    with Image.open(io.BytesIO(image)) as opened:
        pixels = opened.convert("RGB")
    fitted = pixels.resize(vision().fitted(*pixels.size), Image.Resampling(BICUBIC))
    return len(fitted.tobytes())


def post(port: int, request: bytes) -> float:
    """Seconds from the first byte of a request to the last of its answer, which must be good."""
    began = time.perf_counter()
    with socket.create_connection(("127.0.0.1", port), timeout=120) as connection:
        connection.sendall(request)
        answer = b""
        while part := connection.recv(65536):
            answer += part
    if not answer.startswith(b"HTTP/1.1 200"):
        raise RuntimeError(f"the server answers {answer[:300]!r}")
    return time.perf_counter() - began


def cpu_s(process: psutil.Process) -> float:
    """CPU seconds of a process and its children."""
    times = [one.cpu_times() for one in (process, *process.children(recursive=True))]
    return sum(one.user + one.system for one in times)


def pairs(port: int, image: bytes, gateway: psutil.Process, repeats: int) -> list[list[float]]:
    """Wall and CPU seconds of Pillow and of a request, side by side, for every repeat."""
    request = form(image)
    found = []
    for index in range(-_WARM_UP, repeats):
        began, began_cpu = time.perf_counter(), time.thread_time()
        bare(image)
        pillow, pillow_cpu = time.perf_counter() - began, time.thread_time() - began_cpu
        before = cpu_s(gateway)
        took = post(port, request)
        if index >= 0:
            found.append([pillow, took, pillow_cpu, cpu_s(gateway) - before])
    return found


def _watch(channel: Connection) -> None:
    """Measure an idle event loop until told to say what was found."""

    async def run() -> None:
        clock = StallClock()
        ticking = asyncio.create_task(clock.run())
        channel.send("ready")
        await asyncio.get_running_loop().run_in_executor(None, channel.recv)
        channel.send_bytes(msgspec.json.encode(clock.taken()))
        ticking.cancel()

    import uvloop  # noqa: PLC0415 - as the server has it

    uvloop.run(run())


def stalls(port: int, image: bytes, uploads: int, rounds: int) -> tuple[Stalls, Stalls, float]:
    """How late the server's loop was, and an idle one's, and uploads a second meanwhile."""
    request = form(image)
    context = get_context("spawn")
    ours, theirs = context.Pipe()
    watcher = context.Process(target=_watch, args=(theirs,))
    watcher.start()
    ours.recv()
    together = threading.Barrier(uploads)

    def one() -> None:
        for _ in range(rounds):
            together.wait()
            post(port, request)

    get(f"http://127.0.0.1:{port}{STALLS_PATH}")  # begins anew
    began = time.perf_counter()
    with ThreadPoolExecutor(uploads) as threads:
        for done in [threads.submit(one) for _ in range(uploads)]:
            done.result()
    took = time.perf_counter() - began
    measured = msgspec.json.decode(get(f"http://127.0.0.1:{port}{STALLS_PATH}") or b"", type=Stalls)
    ours.send("enough")
    idle = msgspec.json.decode(ours.recv_bytes(), type=Stalls)
    watcher.join()
    return measured, idle, uploads * rounds / took


def measure(repeats: int, uploads: int, rounds: int, megabytes: float) -> Report:
    """Start the server and take all figures."""
    image = photograph(megabytes)
    port = free_port()
    command = [sys.executable, "-m", "bench.image_server", port, model_file(None)]
    ready = f"http://127.0.0.1:{port}/health/live"
    with server("image_server", command, ready_url=ready, ready_timeout_s=60) as process:
        gateway = psutil.Process(process.pid)
        found = pairs(port, image, gateway, repeats)
        measured, idle, rate = stalls(port, image, uploads, rounds)
        memory = gateway.memory_info().rss / 2**20
    pillow, request, pillow_cpu, front_cpu = (
        statistics.median(column) for column in zip(*found, strict=True)
    )
    ratios = [row[1] / row[0] for row in found]
    return Report(
        machine=str(this_machine()),
        load_average=os.getloadavg()[0],
        image=f"JPEG, {_WIDTH} x {_HEIGHT}, {len(image) / 1e6:.1f} MB",
        pillow_s=pillow,
        request_s=request,
        ratio=statistics.median(ratios),
        ratios=ratios,
        pillow_cpu_s=pillow_cpu,
        front_cpu_s=front_cpu,
        cpu_ratio=front_cpu / pillow_cpu,
        uploads=uploads,
        rounds=rounds,
        uploads_per_s=rate,
        stalls=measured,
        machine_stalls=idle,
        gateway_mib=memory,
    )


def show(report: Report, console: Console) -> None:
    """Print the figures."""
    console.print(f"{report.machine}; load average {report.load_average:.1f}")
    console.print(f"{report.image}, to {vision().fitted(_WIDTH, _HEIGHT)} pixels")
    console.print(
        f"Pillow {1000 * report.pillow_s:.0f} ms, request {1000 * report.request_s:.0f} ms: "
        f"[bold]{report.ratio:.2f} times[/] (of {min(report.ratios):.2f} to "
        f"{max(report.ratios):.2f}; at most {MOST_RATIO:g}); CPU {1000 * report.pillow_cpu_s:.0f} "
        f"and {1000 * report.front_cpu_s:.0f} ms: {report.cpu_ratio:.2f} times"
    )
    console.print(
        f"{report.uploads} uploads at once, {report.rounds} rounds, {report.uploads_per_s:.1f}/s: "
        f"longest stall of the event loop [bold]{report.stalls.longest_ms:.1f} ms[/], "
        f"{report.stalls.over_10_ms} of {report.stalls.ticks} ticks late by more than 10 ms (at "
        f"most {MOST_STALL_MS:g} ms); without waiting for a core "
        f"[bold]{report.stalls.own_longest_ms:.1f} ms[/], {report.stalls.own_over_10_ms} ticks; "
        f"an idle process beside it {report.machine_stalls.longest_ms:.1f} ms, "
        f"{report.machine_stalls.over_10_ms} ticks; "
        f"gateway {report.gateway_mib:.0f} MiB"
    )


def main() -> int:
    """Measure, print, and fail if a promise was not kept."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--uploads", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--megabytes", type=float, default=MEGABYTES)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    report = measure(arguments.repeats, arguments.uploads, arguments.rounds, arguments.megabytes)
    console = Console(width=160)
    show(report, console)
    if arguments.json is not None:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=2))
    for failure in report.failures():
        console.print(f"[red]missed[/] {failure}")
    return 1 if report.failures() else 0


if __name__ == "__main__":
    sys.exit(main())
