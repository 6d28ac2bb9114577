"""The HTTP client against servers that do as HTTP allows, and worse."""

import asyncio
import contextlib
import shutil
import ssl
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from pilotage.errors import UsageError
from pilotage.route.backends import http as http_module
from pilotage.route.backends import reply as reply_module
from pilotage.route.backends.address import Address
from pilotage.route.backends.backend import BackendError, Fault
from pilotage.route.backends.http import HttpClient

Handler = Callable[[int, int, asyncio.StreamWriter], Awaitable[bool]]
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Server:
    """Answers request number n of connection number m with bytes; False closes the connection."""

    def __init__(self) -> None:
        self.port = 0
        self.requests: list[tuple[int, bytes, bytes]] = []
        self.connections = 0

    def client(self, path: str = "/v1", **more: int) -> HttpClient:
        address = Address.parse(f"http://127.0.0.1:{self.port}{path}", where="t/0")
        return HttpClient(address, (("X-Test", "1"),), most_idle=more.get("most_idle", 8))


@contextlib.asynccontextmanager
async def serving(handler: Handler) -> AsyncIterator[Server]:
    server = Server()
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server.connections += 1
        number, count, go_on = server.connections, 0, True
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while go_on:
                head = await reader.readuntil(b"\r\n\r\n")
                size = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
                body = await reader.readexactly(size)
                server.requests.append((number, head, body))
                count += 1
                go_on = await handler(number, count, writer)
                await writer.drain()
        writer.close()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(serve(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    listener = await asyncio.start_server(accept, "127.0.0.1", 0)
    server.port = listener.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listener.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)


async def posted(client: HttpClient, body: bytes = b"{}", **limits: float) -> bytes:
    limits = {"first_byte_s": 20.0, "whole_s": 20.0, **limits}
    reply = await client.post("/chat", body, **limits)
    try:
        assert reply.status == 200
        return await reply.whole()
    finally:
        reply.close()


async def fault(client: HttpClient, **limits: float) -> Fault:
    with pytest.raises(BackendError) as caught:
        await posted(client, **limits)
    return caught.value.fault


def always(*pieces: bytes, go_on: bool = True) -> Handler:
    async def handler(number: int, count: int, writer: asyncio.StreamWriter) -> bool:
        del number, count
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)
        return go_on

    return handler


def run(handler: Handler, check: Callable[[Server, HttpClient], Awaitable[None]]) -> None:
    async def main() -> None:
        async with serving(handler) as server:
            client = server.client()
            await check(server, client)
            await client.close()

    asyncio.run(main())


def test_what_is_sent_and_that_connections_are_kept() -> None:
    async def check(server: Server, client: HttpClient) -> None:
        large = b'"' + b"x" * 300_000 + b'"'
        for body in (b"{}", large, b"[]"):
            assert await posted(client, body) == b"ok"
        assert [number for number, _, _ in server.requests] == [1, 1, 1]
        assert [body for _, _, body in server.requests] == [b"{}", large, b"[]"]
        lines = server.requests[0][1].split(b"\r\n")
        assert lines[0] == b"POST /v1/chat HTTP/1.1"
        assert f"Host: 127.0.0.1:{server.port}".encode() in lines
        assert b"X-Test: 1" in lines
        await asyncio.gather(*(posted(client) for _ in range(5)))
        assert server.connections == 5

    run(always(OK), check)


def test_no_more_connections_are_kept_than_told() -> None:
    async def main() -> None:
        async with serving(always(OK)) as server:
            client = server.client(most_idle=1)
            for _ in range(2):
                await asyncio.gather(*(posted(client) for _ in range(3)))
            assert server.connections == 5
            await client.close()

    asyncio.run(main())


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"1\r\no\r\n1;x=y\r\nk\r\n0\r\nA: b\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\nA: b\r\n\r\n" + OK,
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\n\r\nok",
    ],
)
def test_bodies_of_all_kinds_byte_by_byte(answer: bytes) -> None:
    last = b"close" in answer or b"HTTP/1.0" in answer

    async def check(server: Server, client: HttpClient) -> None:
        assert await posted(client) == b"ok"
        assert await posted(client) == b"ok"
        assert server.connections == (2 if last else 1)

    run(always(*(bytes([byte]) for byte in answer), go_on=not last), check)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (b"", Fault.UNREACHABLE),
        (b"H", Fault.CUT),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nok", Fault.CUT),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n", Fault.CUT),
        (b"hello\r\n\r\n", Fault.GARBAGE),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2, 3\r\n\r\nok", Fault.GARBAGE),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nok\r\n", Fault.GARBAGE),
        (b"HTTP/1.1 200 OK\r\n" + b"A: %s\r\n" % (b"x" * 5000) * 80, Fault.GARBAGE),
        (b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", Fault.GARBAGE),
    ],
)
def test_what_is_no_whole_answer(answer: bytes, expected: Fault) -> None:
    async def check(server: Server, client: HttpClient) -> None:
        assert await fault(client) is expected
        assert len(server.requests) == 1

    run(always(answer, go_on=False), check)


def test_nobody_there() -> None:
    async def main() -> None:
        async with serving(always(OK)) as server:
            pass
        client = server.client()
        assert await fault(client) is Fault.UNREACHABLE
        await client.close()

    asyncio.run(main())


def test_a_kept_connection_that_was_closed_meanwhile_is_no_failure() -> None:
    async def handler(number: int, count: int, writer: asyncio.StreamWriter) -> bool:
        # The second request on the first connection finds it closed, as a server's idle timer does.
        if (number, count) == (1, 2):
            return False
        writer.write(OK)
        return True

    async def check(server: Server, client: HttpClient) -> None:
        assert await posted(client, b"1") == b"ok"
        assert await posted(client, b"2") == b"ok"
        assert [(number, body) for number, _, body in server.requests] == [
            (1, b"1"),
            (1, b"2"),
            (2, b"2"),
        ]

    run(handler, check)


def test_a_server_that_dies_over_a_request_is_a_failure() -> None:
    async def handler(number: int, count: int, writer: asyncio.StreamWriter) -> bool:
        if count == 2:
            await asyncio.sleep(0.2)  # it has worked on it
            return False
        writer.write(OK)
        return True

    async def check(server: Server, client: HttpClient) -> None:
        assert await posted(client) == b"ok"
        assert await fault(client) is Fault.UNREACHABLE
        assert len(server.requests) == 2

    run(handler, check)


def test_a_request_is_sent_again_once_and_not_after_a_byte_of_the_answer() -> None:
    async def handler(number: int, count: int, writer: asyncio.StreamWriter) -> bool:
        if count == 2:
            writer.write(b"HTTP/1.1 ")
            return False
        if number == 2:
            return False
        writer.write(OK)
        return True

    async def check(server: Server, client: HttpClient) -> None:
        assert await posted(client) == b"ok"
        assert await fault(client) is Fault.CUT
        assert len(server.requests) == 2
        assert await fault(client) is Fault.UNREACHABLE
        assert len(server.requests) == 3

    run(handler, check)


def test_bytes_that_nobody_asked_for_end_the_connection() -> None:
    async def check(server: Server, client: HttpClient) -> None:
        assert await posted(client) == b"ok"
        assert await posted(client) == b"ok"
        assert server.connections == 2

    run(always(OK + OK), check)


@pytest.mark.parametrize("sent", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"])
def test_the_first_byte_has_its_own_limit(sent: bytes) -> None:
    async def handler(number: int, count: int, writer: asyncio.StreamWriter) -> bool:
        writer.write(sent)
        await writer.drain()
        await asyncio.sleep(3600)
        return False

    async def check(server: Server, client: HttpClient) -> None:
        assert await fault(client, first_byte_s=0.05) is Fault.TIMEOUT

    run(handler, check)


def test_an_answer_that_has_begun_in_time_has_the_whole_time() -> None:
    async def handler(number: int, count: int, writer: asyncio.StreamWriter) -> bool:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no")
        await writer.drain()
        await asyncio.sleep(0.15 if count == 1 else 3600)
        writer.write(b"k")
        return True

    async def check(server: Server, client: HttpClient) -> None:
        assert await posted(client, first_byte_s=0.1, whole_s=20) == b"ok"
        assert await fault(client, first_byte_s=0.1, whole_s=0.2) is Fault.TIMEOUT
        assert [number for number, _, _ in server.requests] == [1, 1]

    run(handler, check)


def test_a_reader_that_is_slow_slows_the_server_down() -> None:
    total = 20 << 20
    written = 0

    async def handler(number: int, count: int, writer: asyncio.StreamWriter) -> bool:
        nonlocal written
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % total)
        while written < total:
            writer.write(b"x" * 65536)
            await writer.drain()
            written += 65536
        return True

    async def check(server: Server, client: HttpClient) -> None:
        reply = await client.post("/chat", b"{}", first_byte_s=20, whole_s=20)
        await asyncio.sleep(0.1)
        assert written < total  # what is on its way fills the sockets, not our memory
        assert len(await reply.whole()) == total
        reply.close()
        assert await posted(client, b"again") == b""
        assert server.connections == 1

    async def again(number: int, count: int, writer: asyncio.StreamWriter) -> bool:
        if count == 1:
            return await handler(number, count, writer)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        return True

    run(again, check)


def test_answers_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reply_module, "MAX_BODY", 1 << 20)

    async def handler(number: int, count: int, writer: asyncio.StreamWriter) -> bool:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            writer.write(b"x" * 65536)
            await writer.drain()

    async def check(server: Server, client: HttpClient) -> None:
        assert await fault(client) is Fault.GARBAGE

    run(handler, check)


def test_the_rest_of_an_answer_that_was_let_go_is_short_or_the_connection_is_closed() -> None:
    async def handler(number: int, count: int, writer: asyncio.StreamWriter) -> bool:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n")
        await writer.drain()
        await asyncio.sleep(0.02)
        long = b"x" * 100_000
        writer.write(b"0\r\n\r\n" if count == 1 else b"%x\r\n%s\r\n0\r\n\r\n" % (len(long), long))
        return True

    async def check(server: Server, client: HttpClient) -> None:
        for expected in (1, 1, 2):
            reply = await client.post("/chat", b"{}", first_byte_s=20, whole_s=20)
            assert await reply.read() == b"ok"
            reply.let_go()
            reply.close()
            await asyncio.sleep(0.1)
            assert server.connections == expected

    run(handler, check)


def test_closing_cuts_what_is_under_way() -> None:
    async def handler(number: int, count: int, writer: asyncio.StreamWriter) -> bool:
        await asyncio.sleep(3600)
        return False

    async def check(server: Server, client: HttpClient) -> None:
        task = asyncio.ensure_future(fault(client))
        while not server.requests:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        await client.close()
        assert await task is Fault.UNREACHABLE

    run(handler, check)


@pytest.mark.parametrize(
    ("url", "authority", "path"),
    [
        ("http://host/v1/", "host", "/v1"),
        ("http://host:80", "host", ""),
        ("https://host:443/a", "host", "/a"),
        ("https://host:80/a", "host:80", "/a"),
        ("http://[::1]:8000/v1", "[::1]:8000", "/v1"),
    ],
)
def test_addresses(url: str, authority: str, path: str) -> None:
    address = Address.parse(url, where="t/0")
    assert (address.authority, address.path) == (authority, path)
    assert address.tls == url.startswith("https")


def test_no_address() -> None:
    with pytest.raises(UsageError):
        Address.parse("host:80", where="t/0")


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl for a certificate")
def test_tls_is_spoken_and_a_certificate_of_nobody_is_not_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    name = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    files = ["-keyout", str(tmp_path / "key"), "-out", str(tmp_path / "pem")]
    command = ["openssl", "req", "-x509", *new, *name, *files]
    subprocess.run(command, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "pem", tmp_path / "key")

    async def answered() -> bytes | Fault:
        """What one request gets, with the trust that the environment says."""
        http_module._trust.cache_clear()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                await reader.readuntil(b"\r\n\r\n")
                writer.write(OK)
                await reader.read()
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
        port = server.sockets[0].getsockname()[1]
        address = Address.parse(f"https://localhost:{port}", where="t/0")
        client = HttpClient(address, (), most_idle=1)
        try:
            return await posted(client)
        except BackendError as error:
            assert "certificate" in error.message
            return error.fault
        finally:
            await client.close()
            server.close()
            await asyncio.sleep(0.05)

    assert asyncio.run(answered()) is Fault.UNREACHABLE
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "pem"))
    assert asyncio.run(answered()) == b"ok"
    http_module._trust.cache_clear()
