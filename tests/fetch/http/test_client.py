"""The client against real servers: what is taken, what is refused, what is told."""

import contextlib
import os
import socket
import ssl
import threading
import time
import traceback

import pytest

from pilotage.errors import SourceError, UsageError
from pilotage.fetch.http import (
    Allowance,
    ETag,
    Follow,
    Guard,
    HttpClient,
    StatusError,
    Timeouts,
    Url,
    trust,
)
from pilotage.fetch.origin import ChangedError, NoRangesError, TransientError

DATA = bytes(range(256)) * 4096  # 1 MiB
TAG = {"ETag": '"v1"'}


def read(body, size: int = 1 << 16) -> bytes:
    got = bytearray()
    buffer = memoryview(bytearray(size))
    while count := body.readinto(buffer):
        got += buffer[:count]
    return bytes(got)


def ranged(client: HttpClient, url: str, start: int, stop: int, **options) -> bytes:
    with client.open_range(url, start, stop, **options) as answer:
        return read(answer.body)


# What goes well


def test_ranges_and_the_whole(serve, client):
    server = serve(lambda x: x.file(DATA, TAG))
    for start, stop in ((0, 1), (0, len(DATA)), (1000, 700_000), (len(DATA) - 1, len(DATA))):
        with client.open_range(server.url, start, stop, total=len(DATA)) as answer:
            assert read(answer.body) == DATA[start:stop]
            assert (answer.etag, answer.total) == (ETag("v1"), len(DATA))
    with client.get(server.url) as answer:
        assert read(answer.body) == DATA
    assert server.connections == 1  # kept alive
    sent = server.seen[0].headers
    assert sent["Accept-Encoding"] == "identity"
    assert sent["Host"] == server.url.removeprefix("http://")


def test_an_empty_file(serve, client):
    server = serve(lambda x: x.file(b"", TAG))
    assert ranged(client, server.url, 0, 0, total=0) == b""
    with pytest.raises(ValueError, match="no range"):
        ranged(client, server.url, 5, 5, total=9)


def test_chunked_bodies_and_http_1_0(serve, client):
    def chunked(x):
        x.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for at in range(0, len(DATA), 100_000):
            part = DATA[at : at + 100_000]
            x.send(b"%x\r\n%s\r\n" % (len(part), part))
        x.send(b"0\r\n\r\n")

    def old(x):
        x.send(b"HTTP/1.0 200 OK\r\n\r\n" + DATA)
        x.closed = True

    for handler in (chunked, old):
        server = serve(handler)
        assert ranged(client, server.url, 0, len(DATA), total=len(DATA)) == DATA
        assert client.get_bytes(server.url)[0] == DATA


def test_if_range_and_if_match_are_sent_if_strong(serve, client):
    server = serve(lambda x: x.file(DATA, TAG))
    ranged(client, server.url, 1, 9, if_range=ETag("v1"), if_match=ETag("v1"))
    assert server.seen[0].headers["If-Range"] == server.seen[0].headers["If-Match"] == '"v1"'
    ranged(client, server.url, 1, 9, if_range=ETag("v1", weak=True))
    assert server.seen[1].headers["If-Range"] is None


def test_head_and_json(serve, client):
    server = serve(lambda x: x.reply(headers={"X-Repo-Commit": "abc"}, body=b"[1]"))
    head = client.head(f"{server.url}/x")
    assert (head.status, head.headers["x-repo-commit"]) == (200, "abc")
    value, head = client.get_json(f"{server.url}/x")
    assert (value, head.url.path) == ([1], "/x")
    assert server.seen[1].headers["Accept"] == "application/json"
    assert server.connections == 1


def test_many_threads_share_a_client(serve, client):
    server = serve(lambda x: x.file(DATA, TAG))
    got: list[bytes] = [b""] * 8

    def part(index: int) -> None:
        for _ in range(5):
            got[index] = ranged(client, server.url, index * 1000, index * 1000 + 70_000)

    threads = [threading.Thread(target=part, args=(index,)) for index in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert got == [DATA[index * 1000 : index * 1000 + 70_000] for index in range(8)]
    assert server.connections <= 8


# Statuses


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504, 520])
def test_transient_statuses(serve, client, status):
    server = serve(lambda x: x.reply(status, {"Retry-After": "55"}, b"busy"))
    for call in (lambda: ranged(client, server.url, 0, 9), lambda: client.head(server.url)):
        with pytest.raises(TransientError, match=str(status)) as e:
            call()
        assert e.value.retry_after_s == 55
        assert not e.value.received
    assert server.connections == 1  # a small answer does not cost the connection


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 451, 501, 505, 511])
def test_final_statuses(serve, client, status):
    server = serve(lambda x: x.reply(status, {"X-Error-Code": "GatedRepo"}))
    with pytest.raises(StatusError) as e:
        client.get_json(server.url)
    assert e.value.status == status
    assert e.value.headers["x-error-code"] == "GatedRepo"


def test_a_403_that_is_a_rate_limit(serve, client):
    limits = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "30"}
    server = serve(lambda x: x.reply(403, limits))
    with pytest.raises(TransientError) as e:
        client.get_json(server.url)
    assert e.value.retry_after_s == 30


@pytest.mark.parametrize("status", [204, 206, 304, 300])
def test_other_successes_are_no_document(serve, client, status):
    server = serve(lambda x: x.reply(status))
    with pytest.raises(SourceError, match=str(status)):
        client.get_bytes(server.url)


# Ranges that are not what was asked for


def partial(content_range: str | None, body: bytes, **more: str):
    fields = {} if content_range is None else {"Content-Range": content_range}
    return lambda x: x.reply(206, {**fields, **more}, body)


@pytest.mark.parametrize(
    ("handler", "error"),
    [
        (lambda x: x.reply(200, TAG, DATA), NoRangesError),
        (lambda x: x.reply(200, {"ETag": '"v2"'}, DATA), ChangedError),
        (lambda x: x.reply(200, {}, DATA[:-1]), ChangedError),
        (partial(None, DATA[10:20]), TransientError),
        (partial("bytes 10-19", DATA[10:20]), TransientError),
        (partial("bytes 9-18/1048576", DATA[9:19]), TransientError),
        (partial("bytes 10-18/1048576", DATA[10:19]), TransientError),
        (partial("bytes 10-20/1048576", DATA[10:21]), TransientError),
        (partial("bytes 10-19/1048576", DATA[10:21]), TransientError),
        (partial("bytes 10-19/1048577", DATA[10:20]), ChangedError),
        (partial("bytes 10-19/1048576", DATA[10:20], ETag='"v2"'), ChangedError),
        (lambda x: x.reply(412), ChangedError),
        (lambda x: x.reply(416, {"Content-Range": "bytes */5"}), ChangedError),
        (lambda x: x.reply(416, {"Content-Range": "bytes */1048576"}), StatusError),
        (lambda x: x.reply(416), StatusError),
        (lambda x: x.reply(204), StatusError),
    ],
)
def test_wrong_ranges(serve, client, handler, error):
    server = serve(handler)
    with pytest.raises(SourceError) as e:
        ranged(client, server.url, 10, 20, total=len(DATA), if_range=ETag("v1"))
    assert type(e.value) is error


def test_a_range_without_a_total_is_taken(serve, client):
    server = serve(partial("bytes 10-19/*", DATA[10:20]))
    assert ranged(client, server.url, 10, 20, total=len(DATA)) == DATA[10:20]


def test_a_body_that_is_not_as_long_as_its_range(serve, client):
    def chunked(body: bytes):
        head = (
            b"HTTP/1.1 206 OK\r\nContent-Range: bytes 10-19/1048576\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n"
        )
        return lambda x: x.send(head + b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body))

    with pytest.raises(SourceError, match="more than the 10 bytes") as e:
        ranged(client, serve(chunked(DATA[10:21])).url, 10, 20)
    assert type(e.value) is SourceError
    with pytest.raises(TransientError, match="after 9 of 10") as t:
        ranged(client, serve(chunked(DATA[10:19])).url, 10, 20)
    assert t.value.received


# The network


def test_truncation_keeps_what_had_come(serve, client):
    server = serve(lambda x: x.reply(200, TAG, DATA[:300_000], length=len(DATA)))
    buffer = memoryview(bytearray(len(DATA)))
    done = 0
    with (
        pytest.raises(TransientError, match="ended too early") as e,
        client.open_range(server.url, 0, len(DATA)) as answer,
    ):
        while count := answer.body.readinto(buffer[done:]):
            done += count
    assert done == 300_000
    assert buffer[:done] == DATA[:done]
    assert e.value.received


def test_reset_in_the_body(serve, client):
    def handler(x):
        x.reply(200, TAG, DATA[:1000], length=len(DATA))
        time.sleep(0.05)  # so that the bytes are read before the reset throws them away
        x.reset()

    server = serve(handler)
    with pytest.raises(TransientError, match="cut") as e:
        ranged(client, server.url, 0, len(DATA))
    assert e.value.received


def test_an_answer_that_ends_within_its_head(serve, client):
    def handler(x):
        x.send(b"HTTP/1.1 200 OK\r\nContent-")
        x.closed = True

    with pytest.raises(TransientError, match="no bytes"):
        client.get_json(serve(handler).url)


@pytest.mark.parametrize("head_first", [True, False])
def test_reset_and_close_before_the_answer(serve, client, head_first):
    def handler(x):
        if head_first:
            x.send(b"HTTP/1.1 200 OK\r\n")
        x.reset() if head_first else setattr(x, "closed", True)

    server = serve(handler)
    with pytest.raises(TransientError) as e:
        client.get_bytes(server.url)
    assert not e.value.received


def test_stall_in_the_body(serve, hasty):
    def handler(x):
        x.reply(200, TAG, DATA[:1000], length=len(DATA))
        x.stall()

    with pytest.raises(TransientError, match="nothing has arrived for too long") as e:
        ranged(hasty, serve(handler).url, 0, len(DATA))
    assert e.value.received


def test_stall_before_the_head(serve, hasty):
    with pytest.raises(TransientError, match="nothing has arrived for too long"):
        hasty.head(serve(lambda x: x.stall()).url)


def test_a_head_that_drips_for_ever(serve, hasty):
    def handler(x):
        x.send(b"HTTP/1.1 200 OK\r\nX-Long: ")
        while not x.ended.wait(0.05):
            x.send(b"a")

    began = time.monotonic()
    with pytest.raises(TransientError):
        hasty.head(serve(handler).url)
    assert time.monotonic() - began < 20  # and not for ever


def test_a_body_that_drips_is_handed_out_as_it_comes(serve, client):
    def handler(x):
        x.reply(200, TAG, b"", length=len(DATA))
        at = 0
        while not x.ended.wait(0.05):
            x.send(DATA[at : at + 10])
            at += 10

    buffer = memoryview(bytearray(1 << 20))
    with client.open_range(serve(handler).url, 0, len(DATA)) as answer:
        sizes = [answer.body.readinto(buffer) for _ in range(3)]
    assert all(0 < size < 1000 for size in sizes)


def test_garbage(serve, client):
    def handler(x):
        x.send(b"SSH-2.0-OpenSSH_9.9\r\n")
        x.closed = True

    with pytest.raises(TransientError, match="does not speak HTTP"):
        client.head(serve(handler).url)


def test_nobody_listens(client):
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    with pytest.raises(TransientError, match="refuses the connection"):
        client.head(f"http://127.0.0.1:{port}/")


# What is not what it should be


def test_a_page_instead_of_data(serve, client):
    server = serve(lambda x: x.reply(200, {"Content-Type": "text/html"}, b"<html>Log in"))
    for call in (client.get_json, client.get_bytes, lambda url: ranged(client, url, 0, 12)):
        with pytest.raises(SourceError, match="a web page came instead") as e:
            call(server.url)
        assert not isinstance(e.value, TransientError)
    assert client.get_bytes(server.url, html=True)[0] == b"<html>Log in"


def test_compression_nobody_asked_for(serve, client):
    server = serve(lambda x: x.reply(200, {"Content-Encoding": "gzip"}, b"\x1f\x8b"))
    with pytest.raises(SourceError, match="compresses"):
        client.get_json(server.url)


@pytest.mark.parametrize("body", [b"", b"{", b"<html>", b"\xff", b"[" * 100_000])
def test_what_is_not_json(serve, client, body):
    with pytest.raises(SourceError, match="the answer is n") as e:
        client.get_json(serve(lambda x: x.reply(body=body)).url)
    assert not isinstance(e.value, TransientError)


def test_a_document_that_is_too_large(serve, client):
    server = serve(lambda x: x.reply(body=b" " * 1000))
    assert len(client.get_bytes(server.url, limit=1000)[0]) == 1000
    with pytest.raises(SourceError, match="larger than 999 bytes"):
        client.get_bytes(server.url, limit=999)


# Redirects

SECRETS = {"Authorization": "Bearer SECRET", "Cookie": "SECRET", "X-Api-Key": "SECRET"}


def test_credentials_stay_with_their_origin(serve, client):
    cdn = serve(lambda x: x.file(DATA, {"ETag": '"other"'}))
    hub = serve(
        lambda x: (
            x.reply(302, {"Location": "/here"})
            if x.target == "/file"
            else x.reply(302, {"Location": f"{cdn.url}/signed?sig=abc"})
        )
    )
    with client.open_range(
        f"{hub.url}/file", 5, 10, headers=SECRETS, if_range=ETag("v1"), total=len(DATA)
    ) as answer:
        assert read(answer.body) == DATA[5:10]
        assert answer.head.crossed
        assert answer.head.url.query == "sig=abc"
    assert [x.headers["Authorization"] for x in hub.seen] == ["Bearer SECRET"] * 2
    (at_cdn,) = cdn.seen
    assert "SECRET" not in str(at_cdn.headers)
    assert at_cdn.headers["If-Range"] is None  # the hub's tag means nothing there
    assert at_cdn.headers["Range"] == "bytes=5-9"


def test_credentials_do_not_come_back_either(serve, client):
    servers = []
    hub = serve(
        lambda x: (
            x.reply(302, {"Location": f"{servers[1].url}/"})
            if x.target == "/start"
            else x.reply(200)
        )
    )
    other = serve(lambda x: x.reply(302, {"Location": f"{hub.url}/back"}))
    servers += [hub, other]
    client.head(f"{hub.url}/start", SECRETS)
    assert hub.targets() == ["/start", "/back"]
    assert hub.seen[1].headers["Authorization"] is None


def test_redirects_that_are_not_followed(serve, client):
    linked = {"X-Linked-Etag": '"abc"'}
    hub = serve(
        lambda x: (
            x.reply(307, {"Location": "/b"})
            if x.target == "/a"
            else x.reply(302, {"Location": "https://models.invalid/x", **linked})
        )
    )
    head = client.head(f"{hub.url}/a", follow=Follow.SAME_ORIGIN)
    assert (head.status, head.headers["X-Linked-Etag"], head.url.path) == (302, '"abc"', "/b")
    assert client.head(f"{hub.url}/a", follow=Follow.NONE).status == 307


def test_redirects_without_end(serve, client):
    server = serve(lambda x: x.reply(301, {"Location": x.target + "x"}))
    with pytest.raises(SourceError, match="more than 5 redirects"):
        client.head(server.url)
    assert len(server.seen) == 6
    assert server.connections == 1


@pytest.mark.parametrize(
    ("location", "message"),
    [
        ("http://169.254.169.254/latest/meta-data/", "link-local"),
        ("https://169.254.169.254/", "link-local"),
        ("http://10.0.0.1/", "private"),
        ("http://[::ffff:10.0.0.1]/", "private"),
        ("https://2852039166/", "link-local"),
        ("http://example.com/", "plain http is refused"),
        ("file:///etc/passwd", "not an http"),
        ("gopher://x/", "not an http"),
        ("https://user:SECRET@example.com/", "user name or password"),
        ("https://[half/", "no URL"),
    ],
)
def test_the_guard_stands_at_every_hop(serve, client, location, message):
    server = serve(lambda x: x.reply(302, {"Location": location}))
    with pytest.raises(SourceError, match=message) as e:
        client.head(server.url)
    assert "SECRET" not in str(e.value)


def test_by_default_loopback_is_refused(serve):
    server = serve(lambda x: x.reply())
    with HttpClient(proxies={}) as plain, pytest.raises(SourceError, match="loopback"):
        plain.head(server.url)
    assert server.seen == []


# Names, addresses, TLS


def named(authority, port_of, **options) -> HttpClient:
    """A client for which models.test is on loopback."""
    guard = Guard(
        Allowance.parse("127.0.0.0/8, ::1"), resolver=lambda host, port: port_of.get(host, [])
    )
    return HttpClient(guard, tls=authority.trusted, proxies={}, **options)


def test_the_certificate_must_be_the_hosts_though_the_address_is_pinned(serve, authority):
    server = serve(lambda x: x.file(DATA), tls=authority.server, host="models.test")
    names = {"models.test": ["127.0.0.1"], "other.test": ["127.0.0.1"]}
    with named(authority, names) as client:
        assert ranged(client, f"{server.url}/x", 3, 300_000) == DATA[3:300_000]
        assert server.seen[0].headers["Host"] == f"models.test:{server.port}"
        with pytest.raises(SourceError, match=r"certificate is refused.*other\.test") as e:
            client.head(f"https://other.test:{server.port}/")
        assert not isinstance(e.value, TransientError)
        assert "SSL_CERT_FILE" in str(e.value)


def test_an_unknown_authority_is_refused(serve, authority):
    server = serve(lambda x: x.reply(), tls=authority.server, host="models.test")
    guard = Guard(Allowance.parse("127.0.0.0/8"), resolver=lambda host, port: ["127.0.0.1"])
    with HttpClient(guard, proxies={}) as client, pytest.raises(SourceError, match="certificate"):
        client.head(server.url)
    assert server.seen == []


def test_ssl_cert_file(authority, tmp_path):
    context = trust({"SSL_CERT_FILE": str(authority.ca_file)})
    assert context.cert_store_stats()["x509_ca"] == 1
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert trust({}).verify_mode is ssl.CERT_REQUIRED
    for content in (None, "no certificate"):
        path = tmp_path / "bad.pem"
        if content is not None:
            path.write_text(content)
        with pytest.raises(UsageError, match="SSL_CERT_FILE"):
            trust({"SSL_CERT_FILE": str(path)})


def test_https_does_not_become_http(serve, authority):
    plain = serve(lambda x: x.reply())
    secure = serve(
        lambda x: x.reply(302, {"Location": f"{plain.url}/"}),
        tls=authority.server,
        host="models.test",
    )
    with (
        named(authority, {"models.test": ["127.0.0.1"]}) as client,
        pytest.raises(SourceError, match="from https to plain http"),
    ):
        client.head(secure.url)
    assert plain.seen == []


def test_tls_where_none_is_spoken(serve, authority):
    server = serve(lambda x: None, greeting=b"HTTP/1.1 400 Bad Request\r\n\r\n")
    with (
        named(authority, {"models.test": ["127.0.0.1"]}) as client,
        pytest.raises(TransientError, match="TLS"),
    ):
        client.head(f"https://models.test:{server.port}/")


def test_a_name_is_resolved_once_and_pinned(serve):
    server = serve(lambda x: x.reply())
    answers = [["127.0.0.1"], ["169.254.169.254"]]
    guard = Guard(Allowance.parse("models.test"), resolver=lambda host, port: answers.pop(0))
    with HttpClient(guard, proxies={}) as client:
        for _ in range(3):
            client.head(f"http://models.test:{server.port}/")
    assert len(answers) == 1
    assert server.connections == 1


def test_the_next_address_is_tried_when_one_takes_no_connection(serve):
    server = serve(lambda x: x.reply())
    addresses = ["127.0.0.2", "127.0.0.1"]  # nobody listens at the first
    guard = Guard(Allowance.parse("models.test"), resolver=lambda host, port: addresses)
    with HttpClient(guard, proxies={}) as client:
        assert client.head(f"http://models.test:{server.port}/").status == 200
        assert client.head(f"http://models.test:{server.port}/").status == 200
    assert server.connections == 1


def test_ipv6(serve, client):
    try:
        server = serve(lambda x: x.file(DATA), address="::1")
    except OSError:
        pytest.skip("this machine has no IPv6 loopback")
    assert ranged(client, server.url, 5, 9) == DATA[5:9]
    assert server.seen[0].headers["Host"] == f"[::1]:{server.port}"


# Proxies


def test_plain_http_through_a_proxy(serve):
    proxy = serve(lambda x: x.reply(body=b"[]"))
    guard = Guard(Allowance.parse("models.test, direct.test"), resolver=lambda *_: ["127.0.0.1"])
    proxies = {"http": f"http://me:pass%20word@127.0.0.1:{proxy.port}", "no": "direct.test"}
    with HttpClient(guard, proxies=proxies) as client:
        assert client.get_json("http://models.test/a?b=1")[0] == []
        assert proxy.targets() == ["http://models.test/a?b=1"]
        assert proxy.seen[0].headers["Proxy-Authorization"].startswith("Basic ")
        direct = serve(lambda x: x.reply())
        client.head(f"http://direct.test:{direct.port}/")
        assert direct.targets() == ["/"]
        assert "Proxy-Authorization" not in direct.seen[0].headers
        with pytest.raises(SourceError, match="link-local"):
            client.head("http://169.254.169.254/")


def test_https_through_a_tunnel(serve, authority):
    server = serve(lambda x: x.reply(body=b"[7]"), tls=authority.server, host="models.test")

    def tunnel(x):
        upstream = socket.create_connection(("127.0.0.1", server.port))
        x.send(b"HTTP/1.1 200 OK\r\n\r\n")

        def pump(source, sink):
            with contextlib.suppress(OSError):
                while data := source.recv(65536):
                    sink.sendall(data)
            with contextlib.suppress(OSError):
                sink.shutdown(socket.SHUT_RDWR)

        back = threading.Thread(target=pump, args=(upstream, x.sock))
        back.start()
        pump(x.sock, upstream)
        back.join(10)
        upstream.close()
        x.closed = True

    proxy = serve(tunnel)
    guard = Guard(Allowance.parse("127.0.0.0/8"), resolver=lambda *_: pytest.fail("resolved"))
    with HttpClient(
        guard, tls=authority.trusted, proxies={"https": f"127.0.0.1:{proxy.port}"}
    ) as client:
        assert client.get_json(f"{server.url}/a", {"Authorization": "Bearer SECRET"})[0] == [7]
    assert proxy.targets() == [f"models.test:{server.port}"]
    assert "SECRET" not in str(proxy.seen[0].headers)


def test_a_proxy_that_wants_a_password(serve, authority):
    proxy = serve(lambda x: x.reply(407, length=0))
    proxies = {"https": f"http://me:SECRET@127.0.0.1:{proxy.port}"}
    with HttpClient(Guard(), tls=authority.trusted, proxies=proxies) as client:
        with pytest.raises(SourceError, match="the proxy answers 407") as e:
            client.head("https://models.test/")
        assert not isinstance(e.value, TransientError)
        assert "SECRET" not in "".join(traceback.format_exception(e.value))


def test_the_environments_proxies(serve, monkeypatch):
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    proxy = serve(lambda x: x.reply(body=b"[]"))
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.port}")
    with HttpClient(Guard(Allowance.parse("models.test"))) as client:
        client.get_json("http://models.test/")
    assert len(proxy.seen) == 1
    with (
        HttpClient(Guard(Allowance.parse("m")), proxies={"http": "socks5://SECRET@x"}) as client,
        pytest.raises(UsageError) as e,
    ):
        client.head("http://m/")
    assert "SECRET" not in str(e.value)


# Secrets


def test_no_error_holds_a_secret(serve, hasty):
    """Every fault, with secrets in the URL's query, the headers, and a signed redirect."""

    def fault(name):
        def handler(x):
            if "/start" in x.target:
                return x.reply(302, {"Location": f"{servers[name].url}/p?sig=SECRET"})
            return {
                "429": lambda: x.reply(429),
                "404": lambda: x.reply(404),
                "cut": lambda: x.reply(200, {}, b"ab", length=10),
                "close": lambda: setattr(x, "closed", True),
                "html": lambda: x.reply(200, {"Content-Type": "text/html"}),
                "json": lambda: x.reply(200, {}, b'{"SECRET'),
                "stall": x.stall,
                "loop": lambda: x.reply(302, {"Location": "/again?sig=SECRET"}),
                "bad": lambda: x.reply(302, {"Location": "http://[SECRET/?SECRET"}),
                "to": lambda: x.reply(302, {"Location": "http://10.0.0.1/?SECRET"}),
            }[name]()

        return handler

    names = ("429", "404", "cut", "close", "html", "json", "stall", "loop", "bad", "to")
    servers = {name: serve(fault(name)) for name in names}
    for name in names:
        with pytest.raises(SourceError) as e:
            hasty.get_json(f"{servers[name].url}/start?token=SECRET", SECRETS)
        told = "".join(traceback.format_exception(e.value))
        # The test's own source lines are in the traceback; the errors' lines must be clean.
        errors = [line for line in told.splitlines() if not line.startswith(" ")]
        assert "SECRET" not in "\n".join(errors), name
        assert "SECRET" not in str(e.value.as_dict())


@pytest.mark.parametrize("token", ["SECRET\n", "SECRET\r\nX-Evil: 1", "SECRETé", "SEC\0RET"])
def test_a_token_that_cannot_be_sent_is_not_quoted(serve, client, token):
    server = serve(lambda x: x.reply())
    with pytest.raises(SourceError, match="the value of Authorization") as e:
        client.head(server.url, {"Authorization": f"Bearer {token}"})
    assert "SEC" not in str(e.value)
    assert server.seen == []


def test_urls_may_be_parsed_before(serve, client):
    server = serve(lambda x: x.reply())
    assert client.head(Url.parse(server.url)).url == Url.parse(f"{server.url}/")
    client.close()
    assert client.head(server.url).status == 200  # a closed client opens again


def test_an_abandoned_body_leaves_the_client_well(serve, client):
    server = serve(lambda x: x.file(DATA, TAG))
    with client.get(server.url) as answer:
        answer.body.readinto(memoryview(bytearray(10)))
    assert ranged(client, server.url, 0, 10) == DATA[:10]
    assert Timeouts().idle_s == 30.0


def test_the_library_logs_no_query(serve, client, caplog):
    server = serve(
        lambda x: x.reply(302, {"Location": "/b?sig=SECRET"}) if "a" in x.target else x.reply()
    )
    with caplog.at_level("DEBUG"):
        head = client.head(f"{server.url}/a?token=SECRET", SECRETS)
    assert "/b" in caplog.text
    assert "SECRET" not in caplog.text
    assert "SECRET" not in repr(head)


def test_a_read_that_waits_can_be_cut_from_another_thread(serve, client):
    def handler(x):
        x.reply(200, TAG, DATA[:1000], length=len(DATA))
        x.stall()

    with client.open_range(serve(handler).url, 0, len(DATA)) as answer:
        buffer = memoryview(bytearray(len(DATA)))
        assert answer.body.readinto(buffer) > 0
        threading.Timer(0.2, answer.body.cut).start()
        with pytest.raises(TransientError):
            while answer.body.readinto(buffer):
                pass
