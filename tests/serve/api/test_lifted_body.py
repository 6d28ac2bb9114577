"""Images are lifted out of JSON wherever it is cut into pieces, and the rest stays as it was."""

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotage.images import ImageLimits
from pilotage.serve.api.errors import ApiError
from pilotage.serve.api.lifted_body import ImageLift
from pilotage.serve.images import ImageLoader

LOADER = ImageLoader(ImageLimits(max_bytes=1_000_000, max_count=3))
LONG = 40_000

texts = st.text(alphabet='da:t"\\/ é,x', max_size=12) | st.just("data:") | st.just('"data:')
images = st.builds(
    lambda seed, size: "data:image/png;base64," + base64.b64encode((seed * size)[:size]).decode(),
    st.binary(min_size=1, max_size=6),
    st.integers(30_000, LONG),
)
documents = st.recursive(
    texts | st.integers(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=12,
)


def pieces(data: bytes, cuts: list[int]):
    places = sorted({cut % (len(data) + 1) for cut in cuts})
    for start, stop in zip([0, *places], [*places, len(data)], strict=True):
        yield data[start:stop]


def lifted(data: bytes, cuts: list[int]):
    lift = ImageLift(LOADER, 1 << 20)
    for piece in pieces(data, cuts):
        lift.feed(piece)
    found = {name: upload.source() for name, upload in lift.images.items()}
    return lift.finish(), found


def put_back(value, found):
    if isinstance(value, str) and value in found:
        return "data:image/png;base64," + base64.b64encode(found[value]).decode()
    if isinstance(value, list):
        return [put_back(one, found) for one in value]
    if isinstance(value, dict):
        return {name: put_back(one, found) for name, one in value.items()}
    return value


@given(
    documents,
    st.lists(images, max_size=3),
    st.lists(st.integers(0, 200_000), max_size=12),
    st.booleans(),
    st.booleans(),
)
def test_what_is_lifted_and_what_is_left(document, sent, cuts, slashes, ascii_only):
    whole = {"before": document, "images": sent, "after": document}
    text = json.dumps(whole, ensure_ascii=ascii_only)
    if slashes:
        text = text.replace("/", "\\/")
    kept, found = lifted(text.encode(), cuts)
    assert len(kept) < len(text) or not sent
    assert len(found) == len(sent)
    assert put_back(json.loads(kept), found) == whole


@given(st.text(alphabet='"data:\\,{}[]é', max_size=60), st.lists(st.integers(0, 60), max_size=6))
def test_anything_without_long_strings_stays_as_it_is(text, cuts):
    assert lifted(text.encode(), cuts) == (text.encode(), {})


@given(st.text(alphabet='a\\"/ ', max_size=40), st.lists(st.integers(0, 50_000), max_size=6))
def test_long_strings_that_are_no_images_stay_as_they_are(tail, cuts):
    for head in ("data:", "data:text,", "data: what "):
        text = json.dumps([head + "x" * LONG + tail, tail])
        assert lifted(text.encode(), cuts) == (text.encode(), {})


def test_many_strings_to_look_at_cost_no_images():
    text = b"[" + b'"data:",' * 5000 + b'"data:image/png;base64,' + b"A" * LONG + b'"]'
    kept, found = lifted(text, [])
    assert (kept, found) == (text, {})


@pytest.mark.parametrize("bad", ["!", "A", "AA", "====", "AA==AAAA", "\\u0041", "\\n"])
def test_what_is_not_base64_is_refused(bad):
    with pytest.raises(ApiError, match="not base64"):
        lifted(f'["data:image/png;base64,{"A" * LONG}{bad}"]'.encode(), [])


def test_more_images_than_are_taken():
    text = json.dumps(["data:image/png;base64," + "A" * LONG] * 4)
    with pytest.raises(ApiError, match="more than 3 images"):
        lifted(text.encode(), [])
