"""URLs: what is refused, what is compared, what is shown."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotage.errors import SourceError
from pilotage.fetch.http import Url
from pilotage.fetch.http.url import shown


def test_parts():
    url = Url.parse("HTTPS://Models.Example.:8443/a%20b/ü?sig=SECRET#part")
    assert (url.scheme, url.host, url.port) == ("https", "models.example", 8443)
    assert url.full == "https://models.example:8443/a%20b/%C3%BC?sig=SECRET"
    assert str(url) == "https://models.example:8443/a%20b/%C3%BC"
    assert "SECRET" not in repr(url)
    assert Url.parse("https://[2001:DB8::1]/x").authority == "[2001:db8::1]"
    assert Url.parse("https://host:443").full == "https://host/"
    assert Url.parse("https://bücher.example/").host == "xn--bcher-kva.example"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "host/path",
        "ftp://host/x",
        "https://",
        "https:///x",
        "https://user:SECRET@host/",
        "https://SECRET@host/",
        "https://host:99999/",
        "https://host:0/",
        "https://ho st/",
        "https://host/a\r\nX-Evil: 1",
        "https://host\\@evil/",
        "https://a..b/",
        "https://-a-/",
        "https://host%2fevil/",
        "https://[::1/",
        "https://host/?" + "a" * 9000,
    ],
)
def test_refused(text):
    with pytest.raises(SourceError) as e:
        Url.parse(text)
    assert "SECRET" not in str(e.value)


@given(st.text(max_size=80), st.text(max_size=40))
def test_nothing_but_a_source_error_comes_out(text, path):
    for candidate in (text, f"https://{text}/{path}", f"https://h/{path}?{text}"):
        try:
            url = Url.parse(candidate)
        except SourceError:
            continue
        assert url.full.isascii()
        assert not set(url.full) & set(" \r\n\t\\")
        assert Url.parse(url.full) == url
        assert shown(candidate).isprintable()


def test_join_and_origins():
    base = Url.parse("https://host/a/b?x=1")
    assert base.join("../c d?y=2").full == "https://host/c%20d?y=2"
    assert base.join("//other/z").host == "other"
    assert base.join("https://host:443/q").same_origin(base)
    for other in ("http://host/", "https://host:8443/", "https://host.evil/"):
        assert not base.same_origin(Url.parse(other))
    with pytest.raises(SourceError):
        base.join("javascript:alert(1)")
    with pytest.raises(SourceError):
        base.join("https://[half/")


def test_shown_holds_no_secret():
    assert shown("https://me:SECRET@host/p?token=SECRET#SECRET") == "https://***@host/p"
    assert shown("https://me:SEC@RET@host/p") == "https://***@host/p"
    assert shown("https://h/\x1b[31m") == "https://h/�[31m"
