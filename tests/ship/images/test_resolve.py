"""Digests from a registry: a real HTTP server that speaks the registry's protocol."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from shipments import DIGEST

from pilotage.errors import TargetError
from pilotage.ship.images import Base, load_bases, resolve_digest


class Registry(BaseHTTPRequestHandler):
    """Wants an anonymous token, as public registries do."""

    digest: str = DIGEST
    token: str | None = "t0k3n"
    status: int = 200
    seen: list[str]

    def do_GET(self) -> None:
        self.seen.append(self.path)
        body = b'{"token": "t0k3n"}' if self.token else b"[]"
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_HEAD(self) -> None:
        self.seen.append(self.path)
        allowed = self.headers.get("authorization") == f"Bearer {self.token}"
        self.send_response(self.status if allowed else 401)
        if allowed:
            self.send_header("docker-content-digest", self.digest)
        else:
            host = self.headers["host"]
            self.send_header(
                "www-authenticate",
                f'Bearer realm="http://{host}/token",service="here",scope="repository:x:pull"',
            )
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def registry(**attributes: object) -> Iterator[tuple[Base, list[str]]]:
    seen: list[str] = []
    handler = type("One", (Registry,), {**attributes, "seen": seen})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        address = f"127.0.0.1:{server.server_address[1]}"
        yield replace(load_bases()["cpu"], registry=address), seen
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_the_digest_comes_with_an_anonymous_token() -> None:
    with registry() as (base, seen):
        assert resolve_digest(base, scheme="http") == DIGEST
    assert seen == [
        "/v2/library/python/manifests/3.12-slim",
        "/token?service=here&scope=repository%3Ax%3Apull",
        "/v2/library/python/manifests/3.12-slim",
    ]


@pytest.mark.parametrize(
    ("attributes", "said"),
    [({"token": None}, "401"), ({"status": 404}, "404"), ({"digest": "latest"}, "200")],
)
def test_no_digest_is_said_with_another_way(attributes: dict[str, object], said: str) -> None:
    with registry(**attributes) as (base, _), pytest.raises(TargetError, match=said) as failed:
        resolve_digest(base, scheme="http")
    assert "docker buildx imagetools inspect" in str(failed.value)


def test_a_registry_that_is_not_there_is_an_error() -> None:
    with registry() as (base, _):
        pass
    with pytest.raises(TargetError, match="cannot be asked"):
        resolve_digest(base, scheme="http", timeout_s=2)
