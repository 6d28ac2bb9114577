"""The decoder processes, as many as images are decoded at once."""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import queue
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from pilotage.engines.engine import Image
from pilotage.images import ImageError, ImageLimits, VisionInput, read_header
from pilotage.serve.images.messages import Decoded, Job, receive_outcome, send_job
from pilotage.serve.images.upload import Upload

_SLOWEST_S: Final = 30.0
_GOODBYE_S: Final = 2.0


class _Process:
    """One decoder process and the socket to it."""

    def __init__(self) -> None:
        self.channel, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "pilotage.serve.images.decoder", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
            )
        self.channel.settimeout(_SLOWEST_S)

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def end(self) -> None:
        self.channel.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(0.1)
        self._process.kill()
        self._process.wait(_GOODBYE_S)


class Decoders:
    """Decodes images in processes, which start when they are first needed.

    Args:
        count: How many images are decoded at once; the rest wait their turn.
    """

    def __init__(self, count: int | None = None) -> None:
        self.count = count or min(4, max(2, (os.cpu_count() or 1) // 4))
        self._threads = ThreadPoolExecutor(self.count, thread_name_prefix="pilotage-images")
        self._idle: queue.LifoQueue[_Process] = queue.LifoQueue()

    async def start(self) -> None:
        """Have the processes ready before the first image comes."""
        loop = asyncio.get_running_loop()
        await asyncio.gather(
            *(loop.run_in_executor(self._threads, self._start_one) for _ in range(self.count))
        )

    async def decode(self, upload: Upload, limits: ImageLimits, vision: VisionInput) -> Image:
        """The pixels of an image file.

        Raises:
            ImageError: It is not taken, damaged, or takes too long.
        """
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, self._decode, upload, limits, vision)

    def close(self) -> None:
        """End the processes."""
        self._threads.shutdown()
        while not self._idle.empty():
            self._idle.get_nowait().end()

    def _start_one(self) -> None:
        self._idle.put(_Process())

    def _decode(self, upload: Upload, limits: ImageLimits, vision: VisionInput) -> Image:
        source = upload.source()
        try:
            _check_header(source, limits)
            return self._outside(source, limits, vision)
        finally:
            if isinstance(source, int):
                os.close(source)

    def _outside(self, source: bytes | int, limits: ImageLimits, vision: VisionInput) -> Image:
        for _ in range(2):  # a process may be killed over another's head
            process = self._idle_or_new()
            try:
                image = _decoded_by(process, source, limits, vision)
            except ImageError:
                self._idle.put(process)
                raise
            except TimeoutError:
                process.end()
                raise ImageError(f"decoding the image takes longer than {_SLOWEST_S:g} s") from None
            except (EOFError, OSError):
                process.end()
            except BaseException:
                process.end()
                raise
            else:
                self._idle.put(process)
                return image
        raise ImageError("the image cannot be decoded: it crashes the decoder")

    def _idle_or_new(self) -> _Process:
        while True:
            try:
                process = self._idle.get_nowait()
            except queue.Empty:
                return _Process()
            if process.alive:
                return process
            process.end()  # killed while it was idle; no image of ours is to blame


def _check_header(source: bytes | int, limits: ImageLimits) -> None:
    # Here too, although the process does it: most of what is refused is refused by its header,
    # and need not wait for a process to start.
    with (
        io.BytesIO(source) if isinstance(source, bytes) else os.fdopen(os.dup(source), "rb") as file
    ):
        header = read_header(file)
    limits.check_size(header.width, header.height)


def _decoded_by(
    process: _Process, source: bytes | int, limits: ImageLimits, vision: VisionInput
) -> Image:
    inline = source if isinstance(source, bytes) else None
    descriptor = source if isinstance(source, int) else None
    send_job(process.channel, Job(limits, vision, inline), descriptor)
    outcome, pixels = receive_outcome(process.channel)
    if isinstance(outcome, Decoded):
        return Image(outcome.width, outcome.height, pixels)
    raise ImageError(outcome.message, hint=outcome.hint)
