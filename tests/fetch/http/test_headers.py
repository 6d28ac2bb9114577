"""Response headers: what is read, and what counts as absent."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from urllib3 import HTTPHeaderDict

from pilotage.errors import SourceError
from pilotage.fetch.http import ContentRange, ETag, Url, retry_after_s
from pilotage.fetch.http.headers import content_length, is_encoded, is_html, next_page

NOW = 1_700_000_000.0  # Tue, 14 Nov 2023 22:13:20 GMT


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"Retry-After": "55"}, 55),
        ({"retry-after": " 0.5 "}, 0.5),
        ({"Retry-After": "0"}, 0),
        ({"Retry-After": "-1"}, None),
        ({"Retry-After": "inf"}, None),
        ({"Retry-After": "1e9"}, None),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "\N{ARABIC-INDIC DIGIT FIVE}"}, None),  # a digit, but not ASCII
        ({"Retry-After": "Tue, 14 Nov 2023 22:14:15 GMT"}, 55),
        ({"Retry-After": "Tuesday, 14-Nov-23 22:14:15 GMT"}, 55),
        ({"Retry-After": "Tue, 14 Nov 2023 22:00:00 GMT"}, 0),
        # The server's clock is an hour behind ours; it is its clock that counts.
        (
            {
                "Retry-After": "Tue, 14 Nov 2023 21:14:15 GMT",
                "Date": "Tue, 14 Nov 2023 21:13:20 GMT",
            },
            55,
        ),
        ({"retry-after-ms": "1500", "Retry-After": "2"}, 1.5),
        ({"RateLimit": '"api";r=0;t=55'}, 55),
        ({"RateLimit": '"api";r=0;t=55', "Retry-After": "3"}, 3),
        ({"RateLimit": '"api";r=3;t=55'}, None),
        ({"RateLimit": '"a,b;r=0;t=9";r=0;t=55, "day";r=0;t=7, "page";r=5;t=900'}, 55),
        ({"RateLimit": "limit=100, remaining=0, reset=12"}, 12),
        ({"RateLimit": "limit=100, remaining=7, reset=12"}, None),
        ({"RateLimit-Remaining": "0", "RateLimit-Reset": "30"}, 30),
        ({"RateLimit-Remaining": "4", "RateLimit-Reset": "30"}, None),
        ({"X-RateLimit-Reset": "30"}, 30),
        ({"X-RateLimit-Reset": str(int(NOW) + 90)}, 90),
        ({"X-RateLimit-Reset": str(int(NOW + 90) * 1000)}, 90),
        ({"X-RateLimit-Reset": str(int(NOW) - 90), "X-RateLimit-Remaining": "0"}, 0),
    ],
)
def test_how_long_to_wait(headers, seconds):
    assert retry_after_s(HTTPHeaderDict(headers), now=NOW) == seconds


NAMES = (
    "Retry-After",
    "retry-after-ms",
    "RateLimit",
    "RateLimit-Reset",
    "X-RateLimit-Reset",
    "Date",
)


@given(st.dictionaries(st.sampled_from(NAMES), st.text(max_size=60)))
def test_a_wait_is_finite_or_absent_whatever_comes(headers):
    seconds = retry_after_s(headers, now=NOW)
    assert seconds is None or 0 <= seconds < 1e16


@given(st.integers(0, 10**9), st.integers(1, 10**9), st.integers(0, 10**9))
def test_content_range_round_trip(start, length, more):
    stop, total = start + length, start + length + more
    assert ContentRange.parse(f"bytes {start}-{stop - 1}/{total}") == ContentRange(
        start, stop, total
    )
    assert ContentRange.parse(f"BYTES {start}-{stop - 1}/*") == ContentRange(start, stop, None)
    assert ContentRange.parse(f"bytes */{total}") == ContentRange(0, 0, total)


@pytest.mark.parametrize(
    "value",
    [None, "", "bytes", "bytes 5-4/10", "bytes 0-10/10", "bytes */*", "items 0-1/2", "bytes 0-1",
     "bytes -1-2/5", "bytes 0-1/2, bytes 3-4/5", "bytes 0x0-1/2",
     "bytes \N{ARABIC-INDIC DIGIT ZERO}-1/2"],
)  # fmt: skip
def test_malformed_content_ranges(value):
    assert ContentRange.parse(value) is None


def test_etags():
    assert ETag.parse('"abc"') == ETag("abc")
    assert ETag.parse(' W/"abc" ') == ETag("abc", weak=True)
    assert str(ETag("abc", weak=True)) == 'W/"abc"'
    assert ETag.parse('"../../etc/passwd"') == ETag("../../etc/passwd")  # legal; no file name
    for value in (None, "", "abc", '"a"b"', '"a\nb"', '"ä"', 'w/"a"', '"' + "a" * 300 + '"'):
        assert ETag.parse(value) is None


@given(st.text(max_size=40))
def test_an_etag_that_is_taken_can_be_sent(value):
    etag = ETag.parse(value)
    assert etag is None or (str(etag).isascii() and str(etag).isprintable())


def test_bodies():
    assert content_length(HTTPHeaderDict({"content-length": " 12 "})) == 12
    for value in ("", "-1", "1.5", "12, 12", "0x10", "9" * 30):
        assert content_length({"Content-Length": value}) is None
    assert is_html({"Content-Type": "Text/HTML; charset=utf-8"})
    assert not is_html({"Content-Type": "application/octet-stream"})
    assert not is_html({})
    assert is_encoded({"Content-Encoding": "gzip"})
    assert not is_encoded({"Content-Encoding": "Identity"})


PAGE = Url.parse("https://hub/api/tree?cursor=1")


@pytest.mark.parametrize(
    ("link", "url"),
    [
        ("", None),
        ('</api/tree?cursor=2>; rel="next"', "https://hub/api/tree?cursor=2"),
        ("<?cursor=2>; rel=next", "https://hub/api/tree?cursor=2"),
        (
            '</a>; rel="prev", <https://hub/b,c;d>; title="x, y"; rel="last next"',
            "https://hub/b,c;d",
        ),
        ('</a>; rel="prev"', None),
        ("</a>", None),
        ('</a>; rel="nextish"', None),
        ('</a>; title="; rel=next"', None),
    ],
)
def test_next_page(link, url):
    found = next_page({"Link": link}, PAGE)
    assert (None if found is None else found.full) == url


@pytest.mark.parametrize("other", ["https://evil/x", "http://hub/x", "https://hub:444/x", "//evil"])
def test_a_listing_does_not_leave_its_origin(other):
    with pytest.raises(SourceError, match="another address"):
        next_page({"Link": f'<{other}>; rel="next"'}, PAGE)
