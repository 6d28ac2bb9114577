"""Accelerators: memory, bandwidth and dense peak rates.

Figures are those of the vendors' data sheets, dense (without structured sparsity), except where a
note says otherwise; memory is what CUDA sees where that was seen. Taken down 2026-11-22 from
shared/facts/planning.md, which collects them, and the data sheets it names.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

_GB: Final = 1e9
_GIB: Final = 1 << 30
_MIB: Final = 1 << 20

Link = Literal["nvlink", "pcie", "neuronlink", "none"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Accelerator:
    """One model of accelerator.

    Attributes:
        name: As the instance table writes it: ``a10g``, ``h100``.
        title: As people write it.
        memory_bytes: Of one.
        bandwidth: Bytes a second between its memory and its units.
        fp16: FLOP/s in fp16 (and bf16, unless `bf16` is False).
        bf16: Whether it has bf16 natively.
        int8: Operations a second in int8; None without.
        fp8: FLOP/s in fp8; None without.
        fp4: FLOP/s in fp4; None without.
        link: How several in one machine are joined.
        link_bandwidth: Bytes a second that one sends to its neighbours, one direction.
        neuron: Whether it is one of AWS's own, which needs compiled models.
    """

    name: str
    title: str
    memory_bytes: int
    bandwidth: float
    fp16: float
    bf16: bool = True
    int8: float | None = None
    fp8: float | None = None
    fp4: float | None = None
    link: Link = "none"
    link_bandwidth: float = 0.0
    neuron: bool = False


_PCIE4: Final = 25e9
_PCIE5: Final = 50e9
"""Bytes a second that x16 links carry in practice: some 80 % of 31.5 and 63 GB/s."""


def _tera(value: float) -> float:
    return value * 1e12


_TABLE: Final = (
    Accelerator(
        name="t4",
        title="NVIDIA T4",
        memory_bytes=15_360 * _MIB,  # 15 GiB are seen by CUDA of the nominal 16 GB
        bandwidth=320 * _GB,
        fp16=_tera(65),
        bf16=False,
        int8=_tera(130),
        link="pcie",
        link_bandwidth=12e9,
    ),
    Accelerator(
        name="a10g",
        title="NVIDIA A10G",
        memory_bytes=22_888 * _MIB,
        bandwidth=600 * _GB,
        fp16=_tera(70),  # half of the A10, of which the A10G is a variant
        int8=_tera(140),
        link="pcie",
        link_bandwidth=_PCIE4,
    ),
    Accelerator(
        name="l4",
        title="NVIDIA L4",
        memory_bytes=22_888 * _MIB,
        bandwidth=300 * _GB,
        fp16=_tera(121),
        int8=_tera(242),
        fp8=_tera(242),
        link="pcie",
        link_bandwidth=_PCIE4,
    ),
    Accelerator(
        name="l40s",
        title="NVIDIA L40S",
        memory_bytes=45_776 * _MIB,
        bandwidth=864 * _GB,
        fp16=_tera(362),
        int8=_tera(733),
        fp8=_tera(733),
        link="pcie",
        link_bandwidth=_PCIE4,
    ),
    Accelerator(
        name="a100-40gb",
        title="NVIDIA A100 SXM 40 GB",
        memory_bytes=round(39.56 * _GIB),
        bandwidth=1555 * _GB,
        fp16=_tera(312),
        int8=_tera(624),
        link="nvlink",
        link_bandwidth=300 * _GB,
    ),
    Accelerator(
        name="a100-80gb",
        title="NVIDIA A100 SXM 80 GB",
        memory_bytes=round(79.25 * _GIB),
        bandwidth=2039 * _GB,
        fp16=_tera(312),
        int8=_tera(624),
        link="nvlink",
        link_bandwidth=300 * _GB,
    ),
    Accelerator(
        name="h100",
        title="NVIDIA H100 SXM",
        memory_bytes=round(79.18 * _GIB),
        bandwidth=3350 * _GB,
        fp16=_tera(989),
        int8=_tera(1978),
        fp8=_tera(1978),
        link="nvlink",
        link_bandwidth=450 * _GB,
    ),
    Accelerator(
        name="h200",
        title="NVIDIA H200 SXM",
        memory_bytes=141 * 10**9,
        bandwidth=4800 * _GB,
        fp16=_tera(989),
        int8=_tera(1978),
        fp8=_tera(1978),
        link="nvlink",
        link_bandwidth=450 * _GB,
    ),
    Accelerator(
        name="b200",
        title="NVIDIA B200 SXM",
        memory_bytes=180 * 10**9,
        bandwidth=7700 * _GB,
        fp16=_tera(2250),
        int8=_tera(4500),
        fp8=_tera(4500),
        fp4=_tera(9000),
        link="nvlink",
        link_bandwidth=900 * _GB,
    ),
    # Not in AWS's instances; taken from NVIDIA's and AMD's data sheets (dense, fp32 accumulation),
    # memory as CUDA reports it, 2026-11-22.
    Accelerator(
        name="a10",
        title="NVIDIA A10",
        memory_bytes=round(22.06 * _GIB),
        bandwidth=600 * _GB,
        fp16=_tera(125),
        int8=_tera(250),
        link="pcie",
        link_bandwidth=_PCIE4,
    ),
    Accelerator(
        name="v100-16gb",
        title="NVIDIA V100 SXM2 16 GB",
        memory_bytes=round(15.77 * _GIB),
        bandwidth=900 * _GB,
        fp16=_tera(125),
        bf16=False,
        link="nvlink",
        link_bandwidth=150 * _GB,
    ),
    Accelerator(
        name="v100-32gb",
        title="NVIDIA V100 SXM2 32 GB",
        memory_bytes=round(31.74 * _GIB),
        bandwidth=900 * _GB,
        fp16=_tera(125),
        bf16=False,
        link="nvlink",
        link_bandwidth=150 * _GB,
    ),
    Accelerator(
        name="rtx-3090",
        title="NVIDIA GeForce RTX 3090",
        memory_bytes=round(23.69 * _GIB),
        bandwidth=936 * _GB,
        fp16=_tera(71),
        int8=_tera(284),
        link="pcie",
        link_bandwidth=_PCIE4,
    ),
    Accelerator(
        name="rtx-4090",
        title="NVIDIA GeForce RTX 4090",
        memory_bytes=round(23.64 * _GIB),
        bandwidth=1008 * _GB,
        fp16=_tera(165),
        int8=_tera(660),
        fp8=_tera(330),
        link="pcie",
        link_bandwidth=_PCIE4,
    ),
    Accelerator(
        name="rtx-a6000",
        title="NVIDIA RTX A6000",
        memory_bytes=round(47.54 * _GIB),
        bandwidth=768 * _GB,
        fp16=_tera(155),
        int8=_tera(310),
        link="pcie",
        link_bandwidth=_PCIE4,
    ),
    Accelerator(
        name="a100-pcie-80gb",
        title="NVIDIA A100 PCIe 80 GB",
        memory_bytes=round(79.25 * _GIB),
        bandwidth=1935 * _GB,
        fp16=_tera(312),
        int8=_tera(624),
        link="pcie",
        link_bandwidth=_PCIE4,
    ),
    Accelerator(
        name="h100-pcie",
        title="NVIDIA H100 PCIe",
        memory_bytes=round(79.18 * _GIB),
        bandwidth=2000 * _GB,
        fp16=_tera(756),
        int8=_tera(1513),
        fp8=_tera(1513),
        link="pcie",
        link_bandwidth=_PCIE5,
    ),
    Accelerator(
        name="gh200",
        title="NVIDIA GH200 96 GB",
        memory_bytes=96 * 10**9,
        bandwidth=4000 * _GB,
        fp16=_tera(989),
        int8=_tera(1978),
        fp8=_tera(1978),
        link="nvlink",
        link_bandwidth=450 * _GB,
    ),
    Accelerator(
        name="mi300x",
        title="AMD Instinct MI300X",
        memory_bytes=192 * _GIB,
        bandwidth=5300 * _GB,
        fp16=_tera(1307),
        int8=_tera(2614),
        fp8=_tera(2614),
        link="pcie",  # Infinity Fabric: 64 GB/s to each of seven neighbours
        link_bandwidth=64 * _GB,
    ),
    Accelerator(
        name="inferentia2",
        title="AWS Inferentia2",
        memory_bytes=32 * _GIB,
        bandwidth=820 * _GIB,
        fp16=_tera(190),
        int8=_tera(380),
        fp8=_tera(190),
        link="neuronlink",
        link_bandwidth=96e9,
        neuron=True,
    ),
    Accelerator(
        name="trainium",
        title="AWS Trainium1",
        memory_bytes=32 * _GIB,
        bandwidth=820 * _GIB,
        fp16=_tera(190),
        int8=_tera(380),
        fp8=_tera(190),
        link="neuronlink",
        link_bandwidth=192e9,
        neuron=True,
    ),
)
ACCELERATORS: Final[Mapping[str, Accelerator]] = MappingProxyType({one.name: one for one in _TABLE})
"""By name. Of an accelerator that is not here (Inferentia1, T4G, RTX PRO, B300, Trainium2) no
bandwidth or rate was at hand: it takes part in no plan, and that is said."""

_OTHER_NAMES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "a100-sxm-80gb": "a100-80gb",
        "a100-sxm-40gb": "a100-40gb",
        "a100": "a100-40gb",
        "h100-pcie-80gb": "h100-pcie",
        "v100": "v100-16gb",
        "v100-sxm2": "v100-16gb",
        "v100-sxm2-16gb": "v100-16gb",
        "v100-sxm2-32gb": "v100-32gb",
        "rtx3090": "rtx-3090",
        "3090": "rtx-3090",
        "rtx4090": "rtx-4090",
        "4090": "rtx-4090",
        "a6000": "rtx-a6000",
        "inf2": "inferentia2",
        "trn1": "trainium",
        "trainium1": "trainium",
    }
)


_PACKAGE: Final = re.compile(r"(-sxm\d?|-hgx|-\d+gb)+$")


def find_accelerator(name: str, memory_bytes: int | None = None) -> Accelerator | None:
    """The accelerator of a name, whatever its case; None for an unknown one.

    Args:
        name: Such as ``A10G``, ``NVIDIA L4``, ``H100-SXM-80GB``.
        memory_bytes: Tells the two A100 apart, where it is known.
    """
    wanted = name.lower().removeprefix("nvidia").strip(" -_").replace(" ", "-").replace("_", "-")
    if wanted == "a100" and memory_bytes is not None:
        return ACCELERATORS["a100-80gb" if memory_bytes > 60 * _GIB else "a100-40gb"]
    wanted = wanted.removeprefix("geforce-").removeprefix("amd-").removeprefix("instinct-")
    for candidate in (wanted, _PACKAGE.sub("", wanted)):  # "h200-sxm-141gb" is the "h200"
        found = ACCELERATORS.get(_OTHER_NAMES.get(candidate, candidate))
        if found is not None:
            return found
    return None
