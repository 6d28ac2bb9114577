import asyncio
import functools
import itertools
import re
import shutil
import ssl
import subprocess
import time
from collections.abc import Iterator

import pytest
from odd_servers import MODEL, OVERHEAD, OddServers, dead_port, odd_servers

from pilotage.errors import TargetError
from pilotage.prove.target import exchange
from pilotage.prove.target.endpoint import parse_endpoint
from pilotage.prove.target.exchange import NoReplyError
from pilotage.prove.target.preflight import Preflight, preflight
from pilotage.prove.target.served_models import listed_models
from pilotage.tokens import Tokenizer


@pytest.fixture(scope="session")
def tokenizer(embedded_model) -> Tokenizer:
    return Tokenizer.open(embedded_model)


@pytest.fixture(scope="module")
def odd(tokenizer) -> Iterator[OddServers]:
    """A server that counts tokens as the tokenizer does."""
    with odd_servers(functools.cache(lambda text: count(tokenizer, text))) as server:
        yield server


def count(tokenizer: Tokenizer, text: str) -> int:
    return len(tokenizer.encode(text, add_special_tokens=False))


def look(url: str, *, api=None, model=None, key=None, timeout_s=5.0, **options) -> Preflight:
    endpoint = parse_endpoint(url, api=api, model=model, key=key, key_name="MY_KEY")
    options = {"stream": True, **options}
    return asyncio.run(preflight(endpoint, timeout_s=timeout_s, **options))


def failure(url: str, **options) -> TargetError:
    with pytest.raises(TargetError) as caught:
        look(url, **options)
    error = caught.value
    assert error.where is not None
    assert error.where.startswith("http")
    assert error.hint
    assert str(error).isprintable()
    return error


@pytest.mark.parametrize("api", ["chat", "completions"])
@pytest.mark.parametrize("stream", [True, False])
def test_a_good_server(odd, tokenizer, api, stream):
    found = look(odd.url("ok"), api=api, stream=stream, tokenizer=tokenizer)
    assert found.endpoint.model == MODEL
    assert found.stream is stream
    assert found.usage
    assert found.dialect.ignore_eos
    assert found.dialect.include_usage
    assert found.tokenizer_matches
    assert found.overhead_tokens == OVERHEAD
    assert found.token_ratio == 1
    assert found.server == "tests, odd/1"
    assert found.max_model_len == 4096
    assert found.waited_s == 0
    assert found.notes == ()


def test_the_request_is_like_those_of_the_run(odd):
    odd.seen.clear()
    look(odd.url("ok"))
    (sent,) = odd.posted()
    assert sent["stream"] is True
    assert sent["stream_options"] == {"include_usage": True}
    assert sent["ignore_eos"] is True
    assert sent["min_tokens"] == sent["max_tokens"] == 2


def test_images_go_to_infer_as_multipart(odd, tokenizer):
    odd.seen.clear()
    found = look(odd.url("ok"), api="infer", stream=False, tokenizer=tokenizer)
    (seen,) = odd.seen  # no list of models is asked for
    assert seen.path == "/infer"
    assert seen.headers["content-type"].startswith("multipart/form-data; boundary=")
    assert b"\x89PNG" in seen.body
    assert found.endpoint.model is None
    assert found.tokenizer_matches is None


def test_another_models_tokenizer_is_noticed(odd, tokenizer):
    found = look(odd.url("two-tokens"), tokenizer=tokenizer)
    assert found.tokenizer_matches is False
    assert found.token_ratio == 2
    assert found.overhead_tokens == OVERHEAD
    assert "2 tokens for each" in found.notes[0]


def test_a_tokenizer_that_happens_to_agree_on_words_only(tokenizer):
    with odd_servers() as words:  # counts words
        assert look(words.url("ok"), tokenizer=tokenizer).tokenizer_matches is False


def test_no_usage(odd, tokenizer):
    found = look(odd.url("no-usage"), tokenizer=tokenizer)
    assert not found.usage
    assert found.tokenizer_matches is None
    assert found.overhead_tokens is None
    assert "does not say how many tokens" in found.notes[0]


def test_what_servers_do_not_take_is_left_out(odd):
    found = look(odd.url("no-eos"))
    assert not found.dialect.ignore_eos
    assert found.usage
    assert "ignore_eos" in found.notes[0]
    found = look(odd.url("no-stream-options"))
    assert found.dialect.ignore_eos
    assert not found.dialect.include_usage
    odd.seen.clear()
    found = look(odd.url("strict"))
    assert found.dialect.max_tokens == "max_completion_tokens"
    assert not found.dialect.ignore_eos
    assert odd.posted()[-1]["max_completion_tokens"] == 2


def test_a_comparison_that_fails_is_a_note(tokenizer):
    calls = itertools.count()

    def counts_once(text: str) -> int:
        if next(calls):
            raise RuntimeError
        return len(text.split())

    with odd_servers(counts_once) as server:  # the second request breaks the connection
        found = look(server.url("ok"), tokenizer=tokenizer)
    assert found.usage
    assert found.tokenizer_matches is None
    assert "could not be compared" in found.notes[0]


def test_choosing_the_model(odd):
    assert look(odd.url("many-models"), model=MODEL).endpoint.model == MODEL
    error = failure(odd.url("many-models"))
    assert error.message == "the server has 3 models"
    assert error.hint == "Name the one to test: odd, llama-3, mistral."
    error = failure(odd.url("many-models"), model="lama-3")
    assert "no model 'lama-3'" in error.message
    assert error.hint == "Did you mean 'llama-3'? It has odd, llama-3, mistral."
    assert "lists no model" in failure(odd.url("empty-models")).message
    assert "does not list its models" in failure(odd.url("no-models")).message
    found = look(odd.url("no-models"), model=MODEL)
    assert "404" in found.notes[0]
    assert "the model 'wrong'" in failure(odd.url("no-models"), model="wrong").message


def test_keys(odd):
    assert look(odd.url("locked", all=True), key="secret").endpoint.key == "secret"
    error = failure(odd.url("locked", all=True), key="hunter2")
    assert error.message == "the server refused the API key in MY_KEY (401)"
    assert "hunter2" not in str(error)
    error = failure(odd.url("locked"))
    assert error.message == "the server wants an API key (401)"
    assert "MY_KEY" in error.hint
    assert "API key" in failure(odd.url("status", 403)).message


@pytest.mark.parametrize("everywhere", [False, True])
@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    ("behaviour", "match"),
    [
        ("garbage", "does not speak HTTP"),
        ("close", "closed the connection without an answer"),
        ("html", "does not speak this API .it sent a web page"),
        ("not-json", "does not speak this API"),
        ("midway", "broke off its answer"),
        ("error-event", "fell over|no list of models"),
        ("empty", "no answer in what it sent|no list of models"),
        ("wrong-length", "broke off its answer"),
        ("endless", "longer than 1 MiB"),
        ("redirect", "redirects to http://127.0.0.1:[0-9]+/ok/v1/[a-z/]+ .307."),
        ("redirect-301", "redirects to .* .301."),
        ("status-500", "the server failed .500: So it is"),
        ("status-418", "refused a small request .418|does not list its models .418"),
        ("status-204", "does not speak|refused|no list|does not list"),
        ("rejects", "no room for a single request .429: No room"),
    ],
)
def test_misbehaviour_is_an_error_that_says_which(odd, behaviour, everywhere, stream, match):
    error = failure(odd.url(behaviour, all=everywhere), stream=stream)
    assert re.search(match, error.message), error.message
    assert "hidden" not in str(error)  # the query of the redirect


def test_no_stream_where_one_was_asked_for(odd):
    assert "does not stream" in failure(odd.url("no-stream")).message
    assert not look(odd.url("no-stream"), stream=False).stream


@pytest.mark.parametrize("everywhere", [False, True])
@pytest.mark.parametrize("behaviour", ["silent", "drip", "drip-stream"])
def test_it_never_hangs(odd, behaviour, everywhere):
    began = time.monotonic()
    error = failure(odd.url(behaviour, all=everywhere), timeout_s=0.3)
    assert isinstance(error, NoReplyError)
    assert error.outcome == "timeout"
    assert "within 0.3 s" in error.message
    assert time.monotonic() - began < 10  # a hang, not slowness


def test_the_limit_is_on_all_requests_together(odd, tokenizer):
    # The list of models takes no time here, each request 0.5 s; the second one is a note.
    found = look(odd.url("slow", 0.5), timeout_s=0.9, tokenizer=tokenizer)
    assert "could not be compared" in found.notes[0]


def test_waiting_until_the_model_is_loaded(odd):
    told: list[str] = []
    found = look(odd.url("busy", 3), wait_s=10.0, progress=told.append)
    assert found.waited_s > 0
    assert len(told) == 3
    assert "503: The model is loading." in told[0]


def test_waiting_has_an_end(odd):
    error = failure(odd.url("busy", 1000), wait_s=0.2)
    assert re.match(r"Waited [0-9.]+ s\. Is its model still loading", error.hint)
    error = failure(odd.url("rejects"), wait_s=5.0)  # it says 7 s: waiting 5 would be in vain
    assert "come back in 7 s" in error.hint


def test_nobody_there():
    error = failure(f"http://127.0.0.1:{dead_port()}")
    assert error.message == "no server answers there"
    error = failure(f"http://localhost:{dead_port()}")  # two addresses: two failures
    assert error.message == "no server answers there"
    assert failure("http://no-such-host.invalid").message == "the host's name is unknown"


def test_a_server_that_does_not_accept(monkeypatch):
    monkeypatch.setattr(exchange, "_CONNECT_S", 0.1)
    error = failure("http://192.0.2.1:9")  # reserved for examples: nobody answers, or no route
    assert isinstance(error, NoReplyError)
    assert error.outcome == "unreachable"


def test_tls_where_there_is_none(odd):
    error = failure(odd.url("ok").replace("http:", "https:"))
    assert error.message == "no TLS connection could be made"
    assert "http://" in error.hint


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs the program openssl")
def test_a_certificate_that_is_not_trusted(tmp_path):
    key, certificate = str(tmp_path / "key"), str(tmp_path / "certificate")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
         "-nodes", "-subj", "/CN=localhost", "-keyout", key, "-out", certificate],
        check=True, capture_output=True,
    )  # fmt: skip
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)

    async def ask() -> TargetError:
        server = await asyncio.start_server(lambda _, w: w.close(), "127.0.0.1", 0, ssl=context)
        async with server:
            port = server.sockets[0].getsockname()[1]
            with pytest.raises(TargetError) as caught:
                await preflight(
                    parse_endpoint(f"https://localhost:{port}"), stream=True, timeout_s=5
                )
        return caught.value

    error = asyncio.run(ask())
    assert "certificate is not trusted" in error.message
    assert "self-signed" in error.message
    assert error.hint is not None
    assert "SSL_CERT_FILE" in error.hint


@pytest.mark.parametrize(
    "answer",
    [
        b'HTTP/1.1 200 OK\r\nContent-Length: 200001\r\n\r\n{"error":' + b"[" * 199_992,
        b"HTTP/1.1 200 OK\r\n" + b"X-Long: " + b"x" * 2_000_000,
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 400_000,
        b"\x00" * 100,
        b"HTTP/1.1 999999 OK\r\n\r\n",
        b"HTTP/1.1 307 X\r\nLocation: //[\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 429 X\r\nRetry-After: 1e999\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 429 X\r\nRetry-After: -5\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 429 X\r\nRetry-After: soon\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\n\x1f\x8b\x08",
        b'HTTP/1.1 200 OK\r\nContent-Length: 22\r\n\r\n{"choices": [{}, null]}',
        b'HTTP/1.1 200 OK\r\nContent-Length: 15\r\n\r\n{"usage": "1e9"}',
        b"HTTP/1.1 500 \r\nContent-Length: 4\r\n\r\n\xff\xfe\x1b[",
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"",
    ],
    ids=range(15),
)
def test_no_answer_makes_it_crash_or_hang(answer):
    async def ask() -> TargetError:
        async def answering(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
            await asyncio.sleep(0.05)
            writer.transport.abort()

        server = await asyncio.start_server(answering, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            endpoint = parse_endpoint(f"http://127.0.0.1:{port}/infer")
            with pytest.raises(TargetError) as caught:
                await preflight(endpoint, stream=False, timeout_s=2.0, wait_s=0.2)
            await asyncio.sleep(0.1)  # until the conversations are over
        return caught.value

    assert str(asyncio.run(ask())).isprintable()


@pytest.mark.parametrize(
    "models",
    [b"[]", b"null", b'{"data": null}', b'{"data": [1]}', b'{"data": [{"name": 1}]}', b"\xff",
     b"[" * 100_000, b'{"data": {"id": 1}}'],
    ids=range(8),
)  # fmt: skip
def test_lists_of_models_that_are_none(models):
    headers = {"content-type": "application/json"}
    answer = exchange._KeptAnswer()
    reply = exchange.Reply(
        "http://h/v1/models", 200, headers, models, answer, "garbage", "x", False
    )
    with pytest.raises(TargetError, match="no list of models"):
        listed_models(reply)
