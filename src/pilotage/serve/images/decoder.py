"""A decoder process: takes image files, gives pixels. Started by `decoders`, ends with its socket.

It is a process of its own for three reasons. Pillow copies pixels under Python's interpreter lock
(a 12-megapixel WebP held a gateway's event loop for 32 ms; measured). Decoders are where images
attack: here a crash costs one request. And memory and time have a bound that holds.
"""

from __future__ import annotations

import contextlib
import io
import os
import resource
import signal
import socket
import sys
from collections.abc import Sequence
from typing import Final

from PIL import Image

from pilotage.images import ImageError
from pilotage.images.decode import decode
from pilotage.serve.images.messages import Decoded, Job, Refused, receive_job, send_outcome

# Python, its libraries and their mapped files: 150 MiB measured. A pixel takes 4 bytes in Pillow;
# at worst there are its decoder's copy, the image, its RGBA form, the white page and the resized
# one, and the file itself beside them.
_OURS: Final = 1 << 30
_BYTES_A_PIXEL: Final = 24


def main(arguments: Sequence[str]) -> int:
    """Decode until the socket, whose descriptor is the only argument, is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C is for the supervisor
    Image.MAX_IMAGE_PIXELS = None  # the limits of each job are checked instead
    Image.preinit()
    with socket.socket(fileno=int(arguments[0])) as channel, contextlib.suppress(OSError, EOFError):
        while (received := receive_job(channel)) is not None:
            outcome, pixels = _done(*received)
            send_outcome(channel, outcome, pixels)
    return 0


def _done(job: Job, descriptor: int | None) -> tuple[Decoded | Refused, bytes]:
    _bound_memory(job)
    file = io.BytesIO(job.data or b"") if descriptor is None else os.fdopen(descriptor, "rb")
    with file:
        try:
            pixels = decode(file, job.limits, job.vision)
        except ImageError as error:
            return Refused(error.message, error.hint), b""
        except MemoryError:
            return Refused("the image takes too much memory to decode", None), b""
    return Decoded(pixels.width, pixels.height), pixels.data


def _bound_memory(job: Job) -> None:
    if not sys.platform.startswith("linux"):
        return  # elsewhere the limit is not enforced, or counts what is not ours
    most = _OURS + job.limits.max_bytes + _BYTES_A_PIXEL * job.limits.max_pixels
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    if hard == resource.RLIM_INFINITY or most < hard:
        resource.setrlimit(resource.RLIMIT_AS, (most, hard))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
