import asyncio
import io
import json

import pytest
from odd_servers import MODEL, dead_port, odd_servers
from PIL import Image

from pilotage.errors import UsageError
from pilotage.prove.target.endpoint import parse_endpoint
from pilotage.prove.target.probe import MaxPayload, probe_max_payload
from pilotage.prove.target.small_request import Dialect, small_request

LIMIT = 300_000


@pytest.fixture(scope="module")
def odd():
    with odd_servers() as server:
        yield server


def probe(url: str, *, api=None, cap=1 << 20, timeout_s=10.0) -> MaxPayload:
    endpoint = parse_endpoint(url, api=api, model=MODEL)
    return asyncio.run(probe_max_payload(endpoint, cap=cap, timeout_s=timeout_s))


@pytest.mark.parametrize("behaviour", ["limit", "reset"])
@pytest.mark.parametrize("api", ["chat", "infer"])
def test_a_limit_is_found_to_2_percent(odd, behaviour, api):
    found = probe(odd.url(behaviour, LIMIT), api=api)
    assert found.bytes is not None
    assert 0.97 * LIMIT < found.bytes <= LIMIT
    assert not found.is_bound
    assert found.note is None


def test_a_limit_below_the_first_step(odd):
    found = probe(odd.url("limit", 1000))
    assert found.bytes is not None
    assert 950 < found.bytes <= 1000


def test_no_limit_up_to_the_cap(odd):
    assert probe(odd.url("ok"), cap=200_000) == MaxPayload(200_000, is_bound=True)


def test_not_even_a_small_request(odd):
    found = probe(odd.url("limit", 5))
    assert found.bytes is None
    assert found.note == "the server refused a small request as too large"
    assert "So it is" in str(probe(odd.url("status", 500)).note)
    assert "no answer came" in str(probe(odd.url("silent"), timeout_s=0.2).note)
    assert "no server answers" in str(probe(f"http://127.0.0.1:{dead_port()}").note)


def test_a_400_that_says_too_large_is_a_limit_and_another_one_is_not(odd):
    found = probe(odd.url("says-too-large", LIMIT))
    assert found.bytes is not None
    assert 0.97 * LIMIT < found.bytes <= LIMIT
    found = probe(odd.url("breaks-at", LIMIT))
    assert found.bytes == 262_144
    assert found.is_bound
    assert found.note == "at 512KiB: the server failed (500: It broke.)"


def test_a_body_that_kills_the_server(odd):
    found = probe(odd.url("dies-at", LIMIT))
    assert found.bytes == 262_144
    assert found.note == "the server went away at a body of 512KiB"


@pytest.mark.parametrize("size", [0, 1000, 100_000])
def test_padding_changes_nothing_but_the_size(size):
    endpoint = parse_endpoint("http://host", model="m")
    bare = small_request(endpoint, "Hi", stream=False, dialect=Dialect())
    padded = small_request(endpoint, "Hi", stream=False, dialect=Dialect(), size=size)
    assert len(padded.body) == (size or len(bare.body))
    assert json.loads(padded.body) == json.loads(bare.body)


def test_a_padded_image_is_the_same_image():
    endpoint = parse_endpoint("http://host/infer")

    def image(size: int) -> Image.Image:
        payload = small_request(endpoint, "Hi", stream=False, dialect=Dialect(), size=size)
        assert size in {0, len(payload.body)}
        png = payload.body[payload.body.index(b"\x89PNG") :].partition(b"\r\n--pilotage")[0]
        opened = Image.open(io.BytesIO(png))
        opened.load()
        return opened

    assert image(50_000).tobytes() == image(0).tobytes()


def test_a_size_below_the_smallest():
    with pytest.raises(UsageError, match="smallest request has"):
        small_request(
            parse_endpoint("h", model="m"), "Hi", stream=False, dialect=Dialect(), size=10
        )
