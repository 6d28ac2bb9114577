"""Images while the server has no room, no time or nobody to answer."""

import asyncio
import base64
import contextlib
import io
import socket
import threading
import time
from urllib.parse import urlsplit

import httpx
import pytest
from PIL import Image

from pilotage.images import ImageLimits, VisionInput
from pilotage.serve.api import Limits
from pilotage.serve.generation import Overloaded
from pilotage.serve.images import ImageLoader

VISION = VisionInput(family="test", width=64, height=48, image_token="<file_sep>", preprocessor={})
PICTURE = b"\x89PNG\r\n\x1a\n"  # enough where nothing is to be decoded


def real_picture(padding: int = 0) -> bytes:
    data = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(data, "PNG")
    return data.getvalue() + bytes(padding)


def infer(gateway, image: bytes) -> httpx.Response:
    return gateway.http.post(
        "/infer", data={"text_prompt": "hi"}, files={"image": ("a.png", image, "image/png")}
    )


def chat(gateway, image: bytes) -> httpx.Response:
    url = "data:image/png;base64," + base64.b64encode(image).decode()
    part = {"type": "image_url", "image_url": {"url": url}}
    return gateway.chat(messages=[{"role": "user", "content": [part]}])


class StuckDecoders:
    """All decoders are busy with other images."""

    def __init__(self) -> None:
        self.asked = threading.Event()
        self.given_up = threading.Event()

    async def decode(self, upload, limits, vision):
        self.asked.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.given_up.set()

    def close(self) -> None:
        pass


@pytest.mark.parametrize("send", [infer, chat])
def test_what_is_not_admitted_is_not_decoded(start_gateway, send):
    decoders = StuckDecoders()
    gateway = start_gateway(vision=VISION, images=ImageLoader(decoders=decoders))
    gateway.dispatcher.refusal = Overloaded("the server is at capacity", retry_after_s=3.0)
    answer = send(gateway, PICTURE)
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "3")
    assert not decoders.asked.is_set()


def test_waiting_for_a_decoder_counts_towards_the_request_s_time(start_gateway):
    decoders = StuckDecoders()
    gateway = start_gateway(
        vision=VISION,
        images=ImageLoader(decoders=decoders),
        limits=Limits(request_timeout_s=0.3),
    )
    answer = infer(gateway, PICTURE)
    assert (answer.status_code, answer.json()["error"]["code"]) == (504, "request_timeout")
    assert decoders.given_up.wait(10)


@contextlib.contextmanager
def half_sent(gateway, image: bytes, *, whole: bool = False):
    """A form that a client is about to finish; its connection is closed at the end."""
    address = urlsplit(gateway.url)
    head = (
        b'--B\r\nContent-Disposition: form-data; name="text_prompt"\r\n\r\nhi\r\n--B\r\n'
        b'Content-Disposition: form-data; name="image"; filename="a"\r\n\r\n'
    )
    end = b"\r\n--B--\r\n"
    with socket.create_connection((address.hostname, address.port)) as client:
        client.sendall(
            b"POST /infer HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n"
            b"Content-Type: multipart/form-data; boundary=B\r\n\r\n%s%s%s"
            % (len(head + image + end), head, image, end if whole else b"")
        )
        yield


def test_a_client_that_hangs_up_before_its_turn_costs_no_decoding(start_gateway):
    decoders = StuckDecoders()
    gateway = start_gateway(vision=VISION, images=ImageLoader(decoders=decoders))
    with half_sent(gateway, PICTURE, whole=True):
        assert decoders.asked.wait(10)
        assert not decoders.given_up.is_set()
    assert decoders.given_up.wait(10)
    assert not gateway.dispatcher.generations


@pytest.mark.parametrize("send", [infer, chat])
@pytest.mark.parametrize("padding", [20_000, 200_000])
def test_all_uploads_together_are_bounded(start_gateway, send, padding):
    images = ImageLoader(ImageLimits(max_bytes=1_000_000), max_held=250_000)
    gateway = start_gateway(vision=VISION, images=images)
    with contextlib.ExitStack() as ours:
        ours.callback(images.close)
        with half_sent(gateway, bytes(240_000)):
            wait_until(lambda: images.spool.held == 240_000)
            answer = send(gateway, real_picture(padding))
            assert answer.status_code == 503, answer.text
            assert answer.json()["error"]["code"] == "too_many_uploads"
            assert "send them again later" in answer.json()["error"]["message"]
            assert answer.headers["retry-after"] == "1"
        wait_until(lambda: images.spool.held == 0)
        assert send(gateway, real_picture(padding)).status_code == 200
        wait_until(lambda: images.spool.held == 0)


def wait_until(true) -> None:
    deadline = time.monotonic() + 10
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.005)
