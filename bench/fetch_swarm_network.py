"""A small network on one machine: every host with an uplink of its own, bounded by the kernel.

A host is a network namespace; all hang on one bridge; the bound is a token bucket (``tc tbf``) on
the host's own side of its cable, so it holds for everything that the host sends and for nothing
that it receives. Where the machine does not allow namespaces (no root, no ``ip``), hosts are
loopback ports, and programs bound themselves; that is said with the figures.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Host:
    """A host of the network.

    Attributes:
        address: Its IPv4 address.
        enter: What a command is prefixed with to run there; empty on loopback.
    """

    address: str
    enter: tuple[str, ...] = ()


def has_namespaces() -> bool:
    """Whether this machine lets us make namespaces and bound their links."""
    if os.geteuid() != 0 or not shutil.which("ip") or not shutil.which("tc"):
        return False
    probe = f"pilotage-probe-{os.getpid()}"
    if subprocess.run(["ip", "netns", "add", probe], capture_output=True, check=False).returncode:
        return False
    subprocess.run(["ip", "netns", "del", probe], capture_output=True, check=False)
    return True


@contextmanager
def network(rates: Sequence[int | None]) -> Iterator[list[Host]]:
    """Hosts whose uplinks carry so many bytes a second; None for no bound."""
    if not has_namespaces():
        yield [Host("127.0.0.1") for _ in rates]
        return
    prefix = f"pb{os.getpid() % 100_000}"
    with ExitStack() as stack:
        bridge = f"{prefix}x"
        _make(stack, bridge)
        _ip(bridge, "link add br0 type bridge")
        _ip(bridge, "link set br0 up")
        hosts = []
        for number, rate in enumerate(rates):
            name = f"{prefix}h{number}"
            _make(stack, name)
            _run(f"ip link add e{number} netns {name} type veth peer name b{number} netns {bridge}")
            _ip(bridge, f"link set b{number} master br0 up")
            address = f"10.99.0.{number + 10}"
            _ip(name, f"addr add {address}/24 dev e{number}")
            _ip(name, f"link set e{number} up")
            _ip(name, "link set lo up")
            if rate is not None:
                _run(
                    f"tc -n {name} qdisc add dev e{number} root tbf rate {rate * 8}bit "
                    "burst 256kb latency 100ms"
                )
            hosts.append(Host(address, ("ip", "netns", "exec", name)))
        yield hosts


def _make(stack: ExitStack, name: str) -> None:
    _run(f"ip netns add {name}")
    stack.callback(_run, f"ip netns del {name}")


def _ip(name: str, command: str) -> None:
    _run(f"ip -n {name} {command}")


def _run(command: str) -> None:
    subprocess.run(command.split(), check=True, capture_output=True)
