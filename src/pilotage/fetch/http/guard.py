"""Against server-side request forgery: which addresses a URL from outside may reach.

A URL, and every redirect it leads to, is hostile input: it may name this machine, the cloud's
metadata service or a neighbour in the private network. So a host is resolved once, every address
is checked, and the connection is made to exactly the checked address. A name that resolves
elsewhere a moment later (DNS rebinding) gains nothing.
"""

from __future__ import annotations

import ipaddress
import os
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from pilotage.errors import SourceError, UsageError
from pilotage.fetch.http.url import Url
from pilotage.fetch.origin import TransientError

ALLOW_VARIABLE: Final = "PILOTAGE_FETCH_ALLOW"

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# Public by number, private by use: Azure's host agent serves credentials here.
_METADATA: Final = frozenset({ipaddress.ip_address("168.63.129.16")})
# Of IANA's special-purpose registries, what older Pythons take for public (Oracle's metadata
# service is in the first), and relays that lead to any IPv4 address (RFC 7526, RFC 8215).
_SPECIAL: Final = tuple(
    ipaddress.ip_network(text) for text in ("192.0.0.0/24", "192.88.99.0/24", "64:ff9b:1::/48")
)
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")  # RFC 6052
_V4_COMPATIBLE: Final = ipaddress.IPv6Network("::/96")  # RFC 4291, 2.5.5.1: deprecated


@dataclass(frozen=True, slots=True)
class Allowance:
    """What is allowed by name although it is refused by default.

    Attributes:
        hosts: Host names that may resolve to anything and may be spoken to without TLS. One that
            begins with a dot stands for every name below it.
        networks: Addresses that any name may resolve to; TLS is waived where the URL names such
            an address itself.
    """

    hosts: frozenset[str] = frozenset()
    networks: tuple[_Network, ...] = ()

    @staticmethod
    def parse(text: str) -> Allowance:
        """Read a comma-separated list of host names, addresses and CIDR networks.

        Raises:
            UsageError: An entry is none of them.
        """
        hosts: set[str] = set()
        networks: list[_Network] = []
        for entry in filter(None, (part.strip().lower() for part in text.split(","))):
            try:
                networks.append(ipaddress.ip_network(entry.strip("[]")))
                continue
            except ValueError:
                pass
            if any(c in "/:@*" for c in entry) or not entry.isprintable():
                raise UsageError(
                    f"{entry[:80]!r} is neither a host name nor a network",
                    where=ALLOW_VARIABLE,
                    hint="Write names and CIDR networks, as in: models.internal, 10.20.0.0/16",
                )
            hosts.add(entry.removesuffix("."))
        return Allowance(frozenset(hosts), tuple(networks))

    @staticmethod
    def from_environment(environ: Mapping[str, str] | None = None) -> Allowance:
        """What ``PILOTAGE_FETCH_ALLOW`` allows; nothing if it is not set.

        Raises:
            UsageError: As `parse` does.
        """
        return Allowance.parse((os.environ if environ is None else environ).get(ALLOW_VARIABLE, ""))

    def also(self, host: str) -> Allowance:
        """This allowance and one more host: the operator named it, as an endpoint say."""
        return Allowance(self.hosts | {host.lower().removesuffix(".")}, self.networks)

    def names(self, host: str) -> bool:
        """Whether the host is allowed by its name."""
        labels = host.split(".")
        above = (f".{'.'.join(labels[i:])}" for i in range(1, len(labels)))
        return host in self.hosts or any(suffix in self.hosts for suffix in above)

    def covers(self, address: Address) -> bool:
        """Whether the address is in an allowed network."""
        return any(address in network for network in self.networks)


Resolver = Callable[[str, int], list[str]]
"""Host and port to addresses in the order to try them; raises `socket.gaierror`."""


def system_resolver(host: str, port: int) -> list[str]:
    """The machine's own resolver: hosts file, DNS, whatever is set up."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class Guard:
    """Says yes or no to a URL before anything is sent to it.

    Args:
        allowance: Exceptions by name.
        resolver: Turns names into addresses.
    """

    def __init__(
        self, allowance: Allowance | None = None, *, resolver: Resolver = system_resolver
    ) -> None:
        self.allowance = allowance or Allowance()
        self._resolver = resolver

    def check_name(self, url: Url) -> None:
        """Check what the URL says itself, with nothing resolved.

        Behind a proxy this is all that can be checked: the proxy resolves, and where it may
        connect to is for the proxy's own rules to say.

        Raises:
            SourceError: Plain http, or an address that is refused.
        """
        literal = _literal(url.host)
        named = self.allowance.names(url.host)
        if literal is not None and not named:
            self._check_address(url, literal)
        if url.scheme != "https" and not (
            named or (literal is not None and self.allowance.covers(literal))
        ):
            raise SourceError(
                "plain http is refused: what arrives could be anybody's",
                where=str(url),
                hint=f"Use https, or allow the host by name: {ALLOW_VARIABLE}={url.host}",
            )
        if url.host == "localhost" and not named:
            self._check_address(url, ipaddress.IPv4Address("127.0.0.1"))

    def addresses(self, url: Url) -> tuple[str, ...]:
        """The addresses to connect to; nothing else may be used for this URL.

        Raises:
            SourceError: The URL is refused, or there is no such host.
            TransientError: The resolver does not answer.
        """
        self.check_name(url)
        try:
            found = self._resolver(url.host, url.port)
        except socket.gaierror as error:
            if error.errno == socket.EAI_AGAIN:
                raise TransientError("the name server does not answer", where=str(url)) from error
            raise SourceError(
                f"there is no host {url.host!r}", where=str(url), hint="Check the name and the DNS"
            ) from error
        except (OSError, UnicodeError) as error:
            raise SourceError(f"{url.host!r} cannot be resolved", where=str(url)) from error
        if not found:
            raise SourceError(f"{url.host!r} has no address", where=str(url))
        if not self.allowance.names(url.host):
            # One bad address spoils the name: which one is connected to must not be luck.
            for text in found:
                self._check_address(url, ipaddress.ip_address(text))
        return tuple(found)

    def _check_address(self, url: Url, address: Address) -> None:
        kind = refused_as(address)
        if kind is not None and not self.allowance.covers(address):
            raise SourceError(
                f"{url.host} is {kind} ({address}), which a URL may not reach by default",
                where=str(url),
                hint=f"If it is meant, allow it by name: {ALLOW_VARIABLE}={url.host}",
            )


def refused_as(address: Address) -> str | None:
    """What kind of refused address it is, with its article; None for a public one."""
    if address in _METADATA:
        return "a cloud's metadata address"
    if isinstance(address, ipaddress.IPv6Address):
        inner = _embedded(address)
        if inner is not None:
            return refused_as(inner)
        if address.is_site_local or address in _V4_COMPATIBLE:
            return _kind(address) or "a private address"
    return _kind(address)


def _kind(address: Address) -> str | None:
    kinds = {
        "an unspecified address": address.is_unspecified,
        "a loopback address": address.is_loopback,
        "a link-local address": address.is_link_local,
        "a multicast address": address.is_multicast,
        "a private address": not address.is_global or any(address in net for net in _SPECIAL),
        "a reserved address": address.is_reserved,
    }
    return next((kind for kind, holds in kinds.items() if holds), None)


def _embedded(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """The IPv4 address that packets to this IPv6 address may end at."""
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    if address.sixtofour is not None:
        return address.sixtofour
    return address.teredo[1] if address.teredo is not None else None


def _literal(host: str) -> Address | None:
    """The address that a host name itself spells, also as ``0x7f.1`` or ``2130706433``."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        pass
    if not host[-1].isdigit() and "x" not in host.rsplit(".", 1)[-1]:
        return None
    try:
        return ipaddress.IPv4Address(socket.inet_aton(host))
    except OSError:
        return None
