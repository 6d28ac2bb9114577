"""Forms, however they are cut into pieces."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request

from pilotage.images import ImageLimits
from pilotage.prove.payloads.image import Image
from pilotage.prove.payloads.multipart import encode_form
from pilotage.serve.api.errors import ApiError, ClientGone
from pilotage.serve.api.multipart import FormRules, read_form
from pilotage.serve.images import ImageLoader

NAMES = ["text_prompt", "model", "stop"]
RULES = FormRules(texts=NAMES, max_text_bytes=10_000, has_eyes=True, longest_s=30)
LOADER = ImageLoader(ImageLimits(max_bytes=5_000_000, max_count=4))

cuts = st.lists(st.integers(0, 10_000), max_size=10)
contents = st.binary(max_size=300) | st.sampled_from([b"\r\n--", b"\r\n" * 50, b"--", b"\r"])


def request(body: bytes, kind: str, places: list[int]) -> Request:
    places = sorted({place % (len(body) + 1) for place in places})
    parts = [
        body[start:stop] for start, stop in zip([0, *places], [*places, len(body)], strict=True)
    ]
    messages = [{"type": "http.request", "body": part, "more_body": True} for part in parts]
    messages[-1]["more_body"] = False
    arriving = iter(messages)

    async def receive():
        return next(arriving, {"type": "http.disconnect"})

    scope = {"type": "http", "method": "POST", "headers": [(b"content-type", kind.encode())]}
    return Request(scope, receive)


def read(body: bytes, kind: str, places=(), rules=RULES):
    async def run():
        form = await read_form(request(body, kind, list(places)), rules, LOADER)
        try:
            return form.texts, [upload.source() for upload in form.images]
        finally:
            form.close()

    return asyncio.run(run())


@given(
    st.dictionaries(st.sampled_from(NAMES), st.text(max_size=100)),
    st.lists(contents, max_size=4),
    cuts,
)
def test_what_is_sent_is_what_is_read(fields, images, places):
    body, kind = encode_form(fields, [Image(data, "image/png") for data in images])
    texts, found = read(body, kind, places)
    assert dict(texts) == {
        name: text.encode(errors="replace").decode() for name, text in fields.items()
    }
    assert found == images


@given(st.binary(max_size=400), cuts)
def test_any_bytes_are_a_form_or_refused(body, places):
    with pytest.raises(ApiError) as refused:
        read(body, "multipart/form-data; boundary=x", places)
    assert refused.value.status in {400, 413}


@given(
    st.integers(0, 500),
    st.sampled_from([b"\r\n", b"--x", b"\0", b'"', b"Content-Disposition", b"\xff"]),
    cuts,
)
def test_forms_that_were_tampered_with(place, put, places):
    body = (
        b'--x\r\nContent-Disposition: form-data; name="text_prompt"\r\n\r\nhello\r\n'
        b'--x\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n'
        b"Content-Type: image/png\r\n\r\n12345\r\n--x--\r\n"
    )
    place %= len(body) + 1
    try:
        texts, images = read(
            body[:place] + put + body[place:], "multipart/form-data; boundary=x", places
        )
    except ApiError as error:
        assert error.status == 400
        assert error.headers == {"connection": "close"}
    else:
        assert len(texts) + len(images) <= 2


def test_a_client_that_hangs_up():
    async def receive():
        return {"type": "http.disconnect"}

    headers = [(b"content-type", b"multipart/form-data; boundary=x")]
    gone = Request({"type": "http", "method": "POST", "headers": headers}, receive)
    with pytest.raises(ClientGone):
        asyncio.run(read_form(gone, RULES, LOADER))


def test_many_parts():
    part = b'--x\r\nContent-Disposition: form-data; name="stop"\r\n\r\n\r\n'
    with pytest.raises(ApiError, match="more than 512 parts"):
        read(part * 600 + b"--x--\r\n", "multipart/form-data; boundary=x")


def test_what_follows_the_end_means_nothing(caplog):
    body, kind = encode_form({"model": "a"}, [])
    assert read(body + b"--x\r\n" * 100_000, kind, [len(body) + 5, len(body) + 90_000]) == (
        [("model", "a")],
        [],
    )
    assert caplog.text.count("\n") < 5
