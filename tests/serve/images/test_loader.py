"""Decoder processes, uploads and images from addresses: the real ones."""

import asyncio
import http.server
import io
import os
import signal
import threading
import time

import psutil
import pytest
from PIL import Image

from pilotage.fetch.http import Allowance, Guard, HttpClient
from pilotage.images import ImageError, ImageLimits, VisionInput
from pilotage.serve.images import ImageLoader, Upload
from pilotage.serve.images.decoders import Decoders
from pilotage.serve.images.from_url import UrlImages

VISION = VisionInput(family="test", width=64, height=64, image_token="<i>", preprocessor={})


def picture(colour="red", size=(8, 8)) -> bytes:
    data = io.BytesIO()
    Image.new("RGB", size, colour).save(data, "PNG")
    return data.getvalue()


@pytest.fixture
def loader(others):
    made = ImageLoader(ImageLimits(max_bytes=4_000_000), decoders=Decoders(2))
    yield made
    made.close()


def decode(loader, data):
    async def run():
        upload = loader.upload()
        try:
            upload.add(data)
            await upload.settle()
            return await loader.decode(upload, VISION)
        finally:
            upload.close()

    return asyncio.run(run())


@pytest.fixture(autouse=True)
def others():
    """Children that other tests in this process have left: none of ours, dead or alive."""
    return frozenset(process.pid for process in psutil.Process().children())


@pytest.fixture
def decoder_processes(others):
    def found():
        return [
            process
            for process in psutil.Process().children()
            if process.pid not in others
            and "pilotage.serve.images.decoder" in " ".join(process.cmdline())
        ]

    return found


def test_a_decoder_that_died_is_replaced(loader, decoder_processes):
    asyncio.run(loader.start())
    while len(decoder_processes()) < 2:
        time.sleep(0.01)
    for process in decoder_processes():
        process.send_signal(signal.SIGKILL)
        process.wait()
    # The next image is not blamed for what it did not do.
    assert decode(loader, picture()).width == 8


def test_decoders_end_with_their_loader(loader, decoder_processes):
    assert decode(loader, picture()).width == 8
    running = decoder_processes()
    assert running
    loader.close()
    assert not any(process.is_running() for process in running)


def test_many_at_once_keep_to_their_own(loader, decoder_processes):
    colours = [(n, 255 - n, n // 2) for n in range(0, 240, 5)]

    async def run():
        async def one(colour):
            upload = loader.upload()
            upload.add(picture(colour) + bytes(colour[0] * 10_000))
            await upload.settle()
            try:
                return (await loader.decode(upload, VISION)).pixels[:3]
            finally:
                upload.close()

        return await asyncio.gather(*map(one, colours))

    assert asyncio.run(run()) == [bytes(colour) for colour in colours]
    assert len(decoder_processes()) <= 2


@pytest.mark.skipif(not hasattr(psutil.Process, "rlimit"), reason="Linux only")
def test_decoders_are_bounded_in_memory(loader, decoder_processes):
    decode(loader, picture())
    (process,) = decoder_processes()
    soft, _ = process.rlimit(psutil.RLIMIT_AS)
    assert (1 << 30) < soft < (3 << 30)
    assert process.memory_info().rss < 100 << 20


def test_an_upload_is_kept_in_memory_and_then_on_disk():
    async def run():
        upload = Upload(ImageLimits(max_bytes=3_000_000))
        upload.add(b"a" * 1000)
        await upload.settle()
        assert upload.source() == b"a" * 1000
        upload.add(b"b" * 2_000_000)
        await upload.settle()
        upload.add(b"c")
        source = upload.source()
        assert isinstance(source, int)
        with os.fdopen(source, "rb") as file:
            file.seek(0)
            assert file.read() == b"a" * 1000 + b"b" * 2_000_000 + b"c"
        assert len(upload) == 2_001_001
        with pytest.raises(ImageError, match="3,000,000"):
            upload.add(b"d" * 1_000_000)
        upload.close()
        with pytest.raises(ImageError, match="given up"):
            upload.source()

    asyncio.run(run())


class Images(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/cat.png":
            self.answer(picture())
        elif self.path == "/onward":
            self.send_response(302)
            self.send_header("Location", "/cat.png")
            self.end_headers()
        elif self.path == "/elsewhere":
            self.send_response(302)
            self.send_header("Location", "https://metadata.internal/latest")
            self.end_headers()
        elif self.path == "/loop":
            self.send_response(302)
            self.send_header("Location", "/loop")
            self.end_headers()
        elif self.path == "/long":
            self.answer(bytes(2000))
        elif self.path == "/endless":
            self.send_response(200)
            self.end_headers()
            for _ in range(100):
                self.wfile.write(bytes(1000))
        elif self.path == "/slow":
            self.send_response(200)
            self.send_header("Content-Length", "900")
            self.end_headers()
            for _ in range(900):
                self.wfile.write(b"x")
                time.sleep(0.02)
        else:
            self.send_error(404)

    def answer(self, data):
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def origin():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Images)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def fetch(address, hosts=("127.0.0.1",), *, allowed="127.0.0.1", timeout_s=5.0):
    with HttpClient(Guard(Allowance.parse(allowed)), proxies={}) as client:
        upload = UrlImages(hosts, timeout_s, client).fetch(address, ImageLimits(max_bytes=1500))
    source = upload.source()
    upload.close()
    with os.fdopen(source, "rb") as file:
        file.seek(0)
        return file.read()


@pytest.mark.parametrize("path", ["/cat.png", "/onward"])
def test_an_image_from_a_host_that_is_allowed(origin, path):
    assert fetch(origin + path) == picture()


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/elsewhere", "metadata.internal is not among the hosts"),
        ("/loop", "redirects more than 3 times"),
        ("/long", "longer than the 1,500 bytes"),
        ("/endless", "longer than the 1,500 bytes"),
        ("/nothing", "404"),
    ],
)
def test_what_is_not_taken(origin, path, said):
    with pytest.raises(ImageError, match=said):
        fetch(origin + path)


def test_a_slow_origin(origin):
    with pytest.raises(ImageError, match="too slowly"):
        fetch(f"{origin}/slow", timeout_s=0.2)


@pytest.mark.parametrize(
    ("hosts", "allowed", "said"),
    [
        ((), "127.0.0.1", "fetches no images"),
        (("example.com",), "127.0.0.1", "not among the hosts"),
        (("127.0.0.1",), "", "loopback address"),
    ],
)
def test_hosts_that_are_not_allowed(origin, hosts, allowed, said):
    with pytest.raises(ImageError, match=said):
        fetch(f"{origin}/cat.png", hosts, allowed=allowed)


def test_names_that_lead_inside():
    guard = Guard(resolver=lambda host, port: ["10.0.0.7"])
    with (
        HttpClient(guard, proxies={}) as client,
        pytest.raises(ImageError, match=r"private address \(10\.0\.0\.7\)"),
    ):
        UrlImages((".example.com",), 1.0, client).fetch(
            "https://cdn.example.com/a.png", ImageLimits()
        )


def test_the_loader_gives_up_in_time(origin, monkeypatch):
    monkeypatch.setenv("PILOTAGE_FETCH_ALLOW", "127.0.0.1")
    monkeypatch.setenv("NO_PROXY", "*")
    loader = ImageLoader(url_hosts=["127.0.0.1"], url_timeout_s=0.2)

    async def run():
        with pytest.raises(ImageError, match=r"within 0\.2 s|too slowly"):
            await loader.fetch(f"{origin}/slow")

    asyncio.run(run())
    loader.close()
