import pickle

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotage.errors import UsageError
from pilotage.prove.target.endpoint import parse_endpoint


@pytest.mark.parametrize(
    ("url", "post_url"),
    [
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000/v1/chat/completions"),
        ("http://127.0.0.1:8000/v1/", "http://127.0.0.1:8000/v1/chat/completions"),
        ("localhost:8000", "http://localhost:8000/v1/chat/completions"),
        (" https://api.example.com ", "https://api.example.com/v1/chat/completions"),
        ("https://api.example.com:443/v1", "https://api.example.com/v1/chat/completions"),
        (
            "https://api.example.com:8443/a/b",
            "https://api.example.com:8443/a/b/v1/chat/completions",
        ),
        ("http://[::1]:8000/v1", "http://[::1]:8000/v1/chat/completions"),
        ("http://bücher.example", "http://xn--bcher-kva.example/v1/chat/completions"),
        ("https://h/v1beta/openai/chat/completions", "https://h/v1beta/openai/chat/completions"),
        ("http://h/v1/completions", "http://h/v1/completions"),
        ("http://h/infer", "http://h/infer"),
        ("http://h/a b", "http://h/a%20b/v1/chat/completions"),
    ],
)
def test_addresses(url, post_url):
    assert parse_endpoint(url).post_url == post_url


@pytest.mark.parametrize(
    ("url", "api", "path"),
    [
        ("h", "chat", "/v1/chat/completions"),
        ("h/v1", "completions", "/v1/completions"),
        ("h/v1", "infer", "/infer"),
        ("h/a", "infer", "/a/infer"),
        ("h/a/infer/", "infer", "/a/infer"),
        ("h/v1/completions", None, "/v1/completions"),
    ],
)
def test_apis(url, api, path):
    assert parse_endpoint(url, api=api).path == path


def test_an_address_of_another_api():
    with pytest.raises(UsageError, match='"completions" API, and "chat"'):
        parse_endpoint("http://h/v1/completions", api="chat")


@pytest.mark.parametrize(
    "url",
    ["", " ", "http://", "ftp://host", "file:///etc/passwd", "http://[::1", "http://host:0",
     "http://host:99999", "http://host:port", "://", "http://\x00", "http://xn--\uffff", "http://a..b",
     "http://" + "a" * 64, "http://" + "a." * 130, "http://%5b", "http://a;b"],
)  # fmt: skip
def test_no_addresses(url):
    with pytest.raises(UsageError, match="no server's address"):
        parse_endpoint(url)


@pytest.mark.parametrize(
    ("url", "match"),
    [
        ("http://user:hunter2@host", "password"),
        ("user:hunter2@host:80", "password"),
        ("http://hunter2@host/v1", "password"),
        ("https://host/v1?key=hunter2", "query"),
        ("https://host/v1?", "query"),
        ("https://host/v1#hunter2", "fragment"),
        ("ftp://user:hunter2@host", "no server's address"),
    ],
)
def test_secrets_in_an_address_are_refused_and_not_repeated(url, match):
    with pytest.raises(UsageError, match=match) as caught:
        parse_endpoint(url)
    assert "hunter2" not in str(caught.value)


def test_the_key_is_in_the_headers_and_nowhere_else():
    endpoint = parse_endpoint("http://host:81", key="hunter2", key_name="MY_KEY", model="m")
    assert endpoint.headers["Authorization"] == "Bearer hunter2"
    assert b"\r\nAuthorization: Bearer hunter2\r\n" in endpoint.head
    assert "hunter2" not in f"{endpoint} {endpoint!r}"
    assert pickle.loads(pickle.dumps(endpoint)) == endpoint
    assert "Authorization" not in parse_endpoint("http://host", key="").headers


def test_the_head_of_a_request():
    head = parse_endpoint("http://[::1]:8000").head
    assert head.startswith(b"POST /v1/chat/completions HTTP/1.1\r\nHost: [::1]:8000\r\n")
    assert head.endswith(b"\r\n")
    assert b"\r\n\r\n" not in head


@pytest.mark.parametrize("key", ["a\nb", "schlüssel", "two words", "\x1b[31m"])
def test_keys_that_no_header_can_carry(key):
    with pytest.raises(UsageError, match=r"^MY_KEY: .*no key has") as caught:
        parse_endpoint("http://host", key=key, key_name="MY_KEY")
    assert key not in str(caught.value)


def test_the_same_machine():
    for host in ("127.0.0.1", "localhost", "[::1]", "0.0.0.0", "127.8.9.1"):
        assert parse_endpoint(f"http://{host}:8000").is_same_machine(), host
    for host in ("192.0.2.1", "[2001:db8::1]", "no-such-host.invalid"):  # reserved for examples
        assert not parse_endpoint(f"http://{host}:8000").is_same_machine(), host


@given(
    st.text() | st.from_regex(r"(https?://)?[a-z\[:\]@./?#%\\ ]{0,12}(:[0-9]{0,6})?(/[^\n]{0,8})?")
)
def test_any_text_is_an_endpoint_or_an_error(url):
    try:
        endpoint = parse_endpoint(url)
    except UsageError:
        return
    assert 0 < endpoint.port < 65536
    assert endpoint.head.count(b"\r\n") == 1 + len(endpoint.headers)
    again = parse_endpoint(endpoint.post_url)
    assert again == endpoint
    assert httpx.URL(endpoint.post_url).raw_path == endpoint.path.encode()
