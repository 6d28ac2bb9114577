"""What a container or service may use: the limits of this process's control groups, v1 and v2."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath

from pilotage.devices.host import Host

_MOUNT = "sys/fs/cgroup"
_ENDLESS = 1 << 60
"""Version 1 writes "no limit" as about 2**63."""


def cpu_quota(host: Host) -> float | None:
    """CPU seconds a second that this process's groups allow, the smallest; None without a limit."""
    quotas = []
    for folder in _folders(host, "cpu"):
        for text in (host.read(f"{folder}/cpu.max"), _version_1_quota(host, folder)):
            quota, _, period = (text or "").partition(" ")
            if quota.isdigit() and period.isdigit() and int(quota) and int(period):
                quotas.append(int(quota) / int(period))
    return min(quotas, default=None)


def memory_limits(host: Host) -> tuple[int, int] | None:
    """Limit of the memory and what is left of it, bytes, for the tightest of the groups.

    Pages of files that nobody has used lately count as left: the kernel drops them before it
    refuses memory, and a fetched model leaves many.
    """
    found = []
    for folder in _folders(host, "memory"):
        for limit_name, used_name, stat_key in (
            ("memory.max", "memory.current", "inactive_file"),
            ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
        ):
            limit = host.read_int(f"{folder}/{limit_name}")
            used = host.read_int(f"{folder}/{used_name}")
            if limit is not None and used is not None and limit < _ENDLESS:
                idle = _statistic(host.read(f"{folder}/memory.stat") or "", stat_key)
                found.append((limit, min(limit, max(0, limit - used + idle))))
    return min(found, key=lambda one: one[1], default=None)


def _version_1_quota(host: Host, folder: str) -> str:
    quota, period = (host.read(f"{folder}/cpu.cfs_{name}_us") for name in ("quota", "period"))
    return f"{quota} {period}"


def _statistic(text: str, key: str) -> int:
    for line in text.splitlines():
        name, _, value = line.partition(" ")
        if name == key and value.isdigit():
            return int(value)
    return 0


def _folders(host: Host, controller: str) -> Iterator[str]:
    """This process's group and those above it. A limit anywhere on the way up holds.

    In a container the path may name a folder of the host's that is not mounted here; its own
    group is then the top of the mount, which is the last folder on the way up.
    """
    for line in (host.read("proc/self/cgroup") or "0::/").splitlines():
        number, _, rest = line.partition(":")
        names, _, path = rest.partition(":")
        if number == "0" and not names:
            mounts = (_MOUNT, f"{_MOUNT}/unified")
        elif controller in names.split(","):
            mounts = (f"{_MOUNT}/{names}", f"{_MOUNT}/{controller}")
        else:
            continue
        place = PurePosixPath("/") / path.lstrip("/")
        if ".." in place.parts:
            place = PurePosixPath("/")
        for mount in mounts:
            for folder in (place, *place.parents):
                yield f"{mount}{folder}".rstrip("/")
