"""Files at HTTP addresses, as the transfer engine reads them."""

import pytest

from pilotage.errors import SourceError
from pilotage.fetch.http import Address, ETag, HttpOrigin, StatusError, Url
from pilotage.fetch.manifest import FileEntry
from pilotage.fetch.origin import ChangedError, NoRangesError, Origin, TransientError
from pilotage.fetch.retry import Retry, RetryEvent, RetryPhase, RetryPolicy

DATA = bytes(range(256)) * 1024
FILE = FileEntry("model.gguf", len(DATA), "a" * 64)
MUTABLE = FileEntry("model.gguf", len(DATA))


def origin_of(client, url: str, **options) -> HttpOrigin:
    return HttpOrigin(client, lambda file: Address(Url.parse(url), **options), name="test")


def read(origin: Origin, start: int, stop: int, file: FileEntry = FILE) -> bytes:
    got = bytearray()
    buffer = memoryview(bytearray(1 << 16))
    with origin.read(file, start, stop) as body:
        while count := body.readinto(buffer):
            got += buffer[:count]
    return bytes(got)


class Hub:
    """Redirects to a CDN by a URL that is signed for some calls only."""

    def __init__(self, serve):
        self.epoch, self.etag, self.uses = 0, '"cdn-1"', 1000
        self.cdn = serve(self._cdn)
        self.server = serve(self._hub)

    def _hub(self, x):
        self.epoch += 1
        self.left = self.uses
        x.reply(302, {"Location": f"{self.cdn.url}/blob?epoch={self.epoch}"})

    def _cdn(self, x):
        self.left -= 1
        if not x.target.endswith(f"={self.epoch}") or self.left < 0:
            return x.reply(403)
        return x.file(DATA, {"ETag": self.etag})


def test_a_redirect_is_followed_once_a_file(serve, client):
    hub = Hub(serve)
    origin = origin_of(client, f"{hub.server.url}/f", headers={"Authorization": "SECRET"})
    assert origin.name == "test"
    for at in range(0, 5000, 1000):
        assert read(origin, at, at + 1000) == DATA[at : at + 1000]
    assert len(hub.server.seen) == 1
    assert len(hub.cdn.seen) == 5
    assert all(x.headers["Authorization"] is None for x in hub.cdn.seen)
    assert [x.headers["If-Range"] for x in hub.cdn.seen] == [None] + ['"cdn-1"'] * 4
    assert "SECRET" not in repr(Address(Url.parse("https://h/"), {"Authorization": "SECRET"}))


def test_an_expired_redirect_is_followed_again(serve, client):
    hub = Hub(serve)
    hub.uses = 2
    origin = origin_of(client, f"{hub.server.url}/f")
    for at in range(0, 6000, 1000):
        assert read(origin, at, at + 1000) == DATA[at : at + 1000]
    assert len(hub.server.seen) == 3
    hub.uses = 0  # and if that does not help either, it is said
    with pytest.raises(StatusError, match="403"):
        read(origin, 0, 1000)


def test_a_file_that_changes_behind_the_redirect(serve, client):
    hub = Hub(serve)
    hub.uses = 1
    origin = origin_of(client, f"{hub.server.url}/f")
    assert read(origin, 0, 1000) == DATA[:1000]
    hub.etag = '"cdn-2"'
    with pytest.raises(ChangedError):
        read(origin, 1000, 2000)  # found by a new redirect, with another tag at the same place


def test_a_file_that_changes_at_its_address(serve, client):
    tags = ['"v1"', '"v1"', '"v2"']
    server = serve(lambda x: x.file(DATA, {"ETag": tags.pop(0)}))
    origin = origin_of(client, server.url, etag=ETag("v1"))
    assert read(origin, 0, 10) + read(origin, 10, 20) == DATA[:20]
    with pytest.raises(ChangedError):
        read(origin, 20, 30)
    assert [x.headers["If-Range"] for x in server.seen] == ['"v1"'] * 3


def test_a_file_that_was_another_when_it_was_resolved(serve, client):
    server = serve(lambda x: x.file(DATA, {"ETag": '"v2"'}))
    with pytest.raises(ChangedError):
        read(origin_of(client, server.url, etag=ETag("v1")), 0, 10)


@pytest.mark.parametrize(("file", "taken"), [(FILE, True), (MUTABLE, False)])
def test_another_mirror_has_another_tag(serve, client, file, taken):
    """It is taken only for a file whose digest is known, which will be checked."""
    calls: list[int] = []

    def first(x):
        if len(first_mirror.seen) == 1:
            return x.file(DATA, {"ETag": '"a"'})
        return setattr(x, "closed", True)  # it goes away

    first_mirror = serve(first)
    mirrors = [first_mirror, serve(lambda x: x.file(DATA, {"ETag": '"b"'}))]

    def redirect(x):
        calls.append(1)
        x.reply(302, {"Location": f"{mirrors[len(calls) - 1].url}/"})

    origin = origin_of(client, serve(redirect).url)
    assert read(origin, 0, 10, file) == DATA[:10]
    with pytest.raises(TransientError):  # its place is forgotten; the redirect leads elsewhere
        read(origin, 10, 20, file)
    if taken:
        assert read(origin, 10, 20, file) == DATA[10:20]
    else:
        with pytest.raises(ChangedError):
            read(origin, 10, 20, file)


def test_a_server_without_ranges(serve, client):
    server = serve(lambda x: x.reply(200, {"ETag": '"v1"'}, DATA))
    origin = origin_of(client, server.url)
    assert read(origin, 0, len(DATA)) == DATA
    with pytest.raises(NoRangesError):
        read(origin, 0, 1000)


def test_sizes(serve, client):
    server = serve(lambda x: x.file(DATA))
    unsized = FileEntry("model.gguf")
    assert read(origin_of(client, server.url, size=len(DATA)), 0, 10, unsized) == DATA[:10]
    with pytest.raises(ChangedError):
        read(origin_of(client, server.url, size=7), 0, 5, unsized)
    assert read(origin_of(client, serve(lambda x: x.reply()).url), 0, 0, FileEntry("e", 0)) == b""


def test_pages_are_files_only_where_the_name_says_so(serve, client):
    server = serve(lambda x: x.file(DATA, {"Content-Type": "text/html"}))
    origin = origin_of(client, server.url)
    assert read(origin, 0, 10, FileEntry("index.html", len(DATA))) == DATA[:10]
    with pytest.raises(SourceError, match="web page"):
        read(origin, 0, 10)


def test_a_rate_limit_at_the_place_does_not_cost_the_redirector_a_call(serve, client):
    busy = [False, True, False]
    cdn = serve(lambda x: x.reply(429, {"Retry-After": "1"}) if busy.pop(0) else x.file(DATA))
    hub = serve(lambda x: x.reply(302, {"Location": f"{cdn.url}/"}))
    origin = origin_of(client, hub.url)
    read(origin, 0, 10)
    with pytest.raises(TransientError):
        read(origin, 10, 20)
    assert read(origin, 10, 20) == DATA[10:20]
    assert len(hub.seen) == 1


def test_the_policy_carries_a_part_over_every_passing_fault(serve, client):
    faults = [
        lambda x: x.reply(503),
        lambda x: x.reply(429, {"retry-after-ms": "20"}),
        lambda x: x.reset(),
        lambda x: x.reply(206, {"Content-Range": "bytes 0-9/262144"}, DATA[:10]),
        lambda x: x.reply(200, {}, DATA[:999], length=len(DATA)),
    ]
    server = serve(lambda x: faults.pop(0)(x) if faults else x.file(DATA))
    origin = origin_of(client, server.url)
    retry = Retry(RetryPolicy(base_s=0.01, cap_s=0.05))
    told: list[RetryEvent] = []
    got = retry.call(lambda: read(origin, 0, len(DATA)), origin=origin.name, told=told.append)
    assert got == DATA
    waits = [event for event in told if event.phase is RetryPhase.WAITING]
    assert len(waits) == 5
    assert waits[1].wait_s >= 0.02
    assert waits[4].error.received
