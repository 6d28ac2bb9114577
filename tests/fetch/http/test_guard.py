"""Where a URL may lead, and where it may not."""

import ipaddress
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotage.errors import SourceError, UsageError
from pilotage.fetch.http import Allowance, Guard, Url
from pilotage.fetch.http.guard import refused_as, system_resolver
from pilotage.fetch.origin import TransientError

PUBLIC = "93.184.215.14"


def resolving(*addresses: str, allow: str = "") -> Guard:
    return Guard(Allowance.parse(allow), resolver=lambda host, port: list(addresses))


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "127.9.9.9", "0.0.0.0", "10.1.2.3", "172.16.0.1", "192.168.1.1",
        "169.254.169.254", "100.100.100.200", "100.64.0.1", "168.63.129.16", "192.0.0.192",
        "224.0.0.1", "239.1.1.1", "255.255.255.255", "240.0.0.1", "198.18.0.1",
        "::", "::1", "fe80::1", "fe80::1%eth0", "fc00::1", "fd00:ec2::254", "fec0::1", "ff02::1",
        "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::169.254.169.254", "64:ff9b::7f00:1",
        "64:ff9b:1::7f00:1", "2002:7f00:1::", "::127.0.0.1", "::7f00:1", "2001:db8::1",
    ],
)  # fmt: skip
def test_refused_addresses(address):
    assert refused_as(ipaddress.ip_address(address)) is not None
    with pytest.raises(SourceError, match="may not reach by default") as e:
        resolving(PUBLIC, address).addresses(Url.parse("https://models.example/x?sig=SECRET"))
    assert "PILOTAGE_FETCH_ALLOW=models.example" in str(e.value)
    assert "SECRET" not in str(e.value)


@pytest.mark.parametrize("address", [PUBLIC, "2606:2800:21f:cb07::1", "64:ff9b::5db8:d70e"])
def test_public_addresses(address):
    assert resolving(address).addresses(Url.parse("https://models.example/")) == (address,)


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "[::1]", "2130706433", "0x7f.1", "0177.0.0.1", "127.1", "localhost",
             "169.254.169.254", "[::ffff:169.254.169.254]", "0"],
)  # fmt: skip
def test_spelled_addresses_are_refused_even_where_a_proxy_would_resolve(host):
    with pytest.raises(SourceError, match="may not reach"):
        Guard().check_name(Url.parse(f"https://{host}/latest/meta-data"))


def test_plain_http():
    url = Url.parse("http://models.example/")
    with pytest.raises(SourceError, match="plain http is refused"):
        resolving(PUBLIC).addresses(url)
    assert resolving(PUBLIC, allow="models.example").addresses(url) == (PUBLIC,)
    # A network that is allowed does not make any name's http safe; the address itself is meant.
    with pytest.raises(SourceError, match="plain http"):
        resolving("10.0.0.1", allow="10.0.0.0/8").addresses(url)
    assert resolving("10.0.0.1", allow="10.0.0.0/8").addresses(Url.parse("http://10.0.0.1/"))


def test_allowances():
    https = Url.parse("https://hub.models.internal/")
    private = ("10.1.2.3", "fd00::7")
    for allow in ("hub.models.internal", ".models.internal", "10.1.0.0/16, fd00::/8"):
        assert resolving(*private, allow=allow).addresses(https) == private
    for allow in ("models.internal", "10.1.2.3", "xhub.models.internal"):
        with pytest.raises(SourceError, match="may not reach"):
            resolving(*private, allow=allow).addresses(https)
    assert Allowance().also("Hub.Models.Internal.").names("hub.models.internal")
    assert Allowance.from_environment({"PILOTAGE_FETCH_ALLOW": "a, 10.0.0.0/8"}).names("a")
    assert Allowance.from_environment({}) == Allowance()


@pytest.mark.parametrize("text", ["http://x", "a/b", "*.x", "u@h", "x\ny", "host:80"])
def test_malformed_allowances(text):
    with pytest.raises(UsageError):
        Allowance.parse(text)


def test_the_resolver_fails():
    def with_errno(errno: int) -> Guard:
        def fail(host: str, port: int) -> list[str]:
            raise socket.gaierror(errno, "no")

        return Guard(resolver=fail)

    url = Url.parse("https://nowhere.example/")
    with pytest.raises(TransientError, match="name server"):
        with_errno(socket.EAI_AGAIN).addresses(url)
    with pytest.raises(SourceError, match=r"there is no host 'nowhere\.example'") as e:
        with_errno(socket.EAI_NONAME).addresses(url)
    assert not isinstance(e.value, TransientError)


def test_the_machines_resolver():
    assert "127.0.0.1" in system_resolver("localhost", 80)
    with pytest.raises(SourceError, match="loopback"):
        Guard(Allowance.parse(".x")).addresses(Url.parse("https://localhost/"))


@given(st.ip_addresses(v=4))
def test_every_wrapping_of_an_ipv4_address_is_judged_as_the_address(inner):
    wrapped = (
        f"::ffff:{inner}",
        f"64:ff9b::{inner}",
        f"2002:{int(inner) >> 16:x}:{int(inner) & 0xFFFF:x}::",
    )
    for text in wrapped:
        assert refused_as(ipaddress.ip_address(text)) == refused_as(inner)
