import json
import socket

import pytest

from pilotage.serve.api import Limits

LIMIT = 256 << 10


def answer_to(gateway, *parts, path="/v1/completions"):
    """What a raw client gets that announces or sends more than it should."""
    address = gateway.url.removeprefix("http://").split(":")
    with socket.create_connection((address[0], int(address[1])), timeout=10) as connection:
        head, *rest = parts
        connection.sendall(f"POST {path} HTTP/1.1\r\nHost: x\r\n{head}\r\n\r\n".encode())
        received = b""
        try:
            for part in rest:
                connection.sendall(part)
            while part := connection.recv(65536):
                received += part
        except ConnectionError:
            pass
    return received


def test_an_announced_body_is_refused_before_it_is_sent(gateway):
    answer = answer_to(gateway, f"Content-Length: {10**12}")
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 413")
    assert b"connection: close" in head.lower()
    assert json.loads(body)["error"]["code"] == "body_too_large"


@pytest.mark.parametrize("path", ["/v1/completions", "/v1/chat/completions", "/tokenize"])
def test_a_chunked_body_is_refused_as_soon_as_it_is_too_long(gateway, path):
    chunk = b"10000\r\n" + b" " * 65536 + b"\r\n"
    answer = answer_to(gateway, "Transfer-Encoding: chunked", *[chunk] * 5, path=path)
    assert answer.startswith(b"HTTP/1.1 413")


def test_a_client_that_sends_it_all_gets_its_answer(gateway):
    for size in (LIMIT + 1, 8 << 20):
        answer = gateway.complete(prompt="x" * size)
        assert answer.status_code == 413
        assert answer.json()["error"]["code"] == "body_too_large"
    assert gateway.complete(prompt="x").status_code == 200


def test_the_longest_body(gateway):
    body = b'{"model":"smollm2","prompt":"x"}'
    answer = gateway.post("/v1/completions", content=body.ljust(LIMIT))
    assert answer.status_code == 200


def test_a_megabyte_of_stop_string(start_gateway):
    gateway = start_gateway(limits=Limits())
    answer = gateway.complete(stop="x" * (1 << 20))
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "stop"
    assert len(answer.text) < 1000


def test_a_client_that_hangs_up_while_sending(gateway):
    address = gateway.url.removeprefix("http://").split(":")
    with socket.create_connection((address[0], int(address[1]))) as connection:
        connection.sendall(
            b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{"
        )
    assert gateway.complete().status_code == 200
