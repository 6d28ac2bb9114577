"""This machine as an accelerator, and the precision its engine holds a model in."""

from __future__ import annotations

from dataclasses import replace

from pilotage.catalog.accelerators import Accelerator
from pilotage.catalog.anatomy import Anatomy
from pilotage.plan.host.measure import measure_bandwidth, measure_flops
from pilotage.plan.memory.cpu import openvino_kv_bytes
from pilotage.plan.precision import Precision, native_precision

HOST = "host"


def measure_host(memory_bytes: int, threads: int) -> Accelerator:
    """Measures this machine (about a second).

    Its "fp16" rate is that of fp32 products: a CPU's engine unpacks weights and multiplies in
    fp32, or in int8 faster than that, which the engine's steps then show.

    Args:
        memory_bytes: What an engine may use.
        threads: Cores it may use.
    """
    return Accelerator(
        name=HOST,
        title=f"this machine, {threads} cores",
        memory_bytes=memory_bytes,
        bandwidth=measure_bandwidth(threads),
        fp16=measure_flops(),
    )


def host_precision(anatomy: Anatomy) -> Precision:
    """How OpenVINO holds a model on a CPU: as it is stored, with an 8-bit cache."""
    values = max(1.0, float(anatomy.kv_values(1)))
    return replace(
        native_precision(anatomy), kv_bytes=openvino_kv_bytes(anatomy) / values, compute="fp16"
    )
