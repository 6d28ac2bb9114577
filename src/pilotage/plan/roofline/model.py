"""The duration of an engine's step from operations, bytes and links."""

from __future__ import annotations

import copy
from typing import Any, Final, cast

import numpy as np
from numpy.typing import NDArray

from pilotage.catalog.accelerators import Accelerator
from pilotage.catalog.anatomy import Anatomy
from pilotage.errors import UsageError
from pilotage.plan.precision import Precision, compute_unit, peak_flops
from pilotage.plan.roofline.arithmetic import least, most
from pilotage.plan.roofline.efficiency import PERFECT, Efficiency
from pilotage.plan.roofline.parts import Parts
from pilotage.plan.roofline.work import Workload
from pilotage.plan.step_model import Batch, Batches
from pilotage.plan.terms import Sum, Term

_SLOWEST_LINK: Final = 12e9
"""Bytes a second where nothing is known of the link: PCIe 3.0 x16."""


class RooflineModel:
    """Predicts steps of one replica: `pilotage.plan.step_model.StepModel`.

    The floor lets memory and compute work at their peaks and at once:
    ``max(bytes / bandwidth, operations / peak)``. The expected duration adds them up, each at its
    calibrated share, because kernels of a step follow one another and each is bound by one or the
    other; what overlaps is in the shares. (Tried on the measured rows: a p-norm with p of 1.2 or
    1.5 fits them a little better in the mean, 5.9 against 6.4 %, and left-out rows no better; the
    plain sum is linear, so it was kept.)

    Args:
        anatomy: The model.
        precision: How weights and cache are held, and what multiplies.
        accelerator: One of the devices.
        tensor_parallel: Devices that share every layer.
        pipeline_parallel: Groups of them that share the layers.
        efficiency: Calibrated factors.
        images: Images a sequence looks at through cross-attention layers.
        image_patches: Patches of an image; see `pilotage.plan.roofline.image_patches`.

    Raises:
        UsageError: A degree of parallelism below 1.
    """

    def __init__(
        self,
        anatomy: Anatomy,
        precision: Precision,
        accelerator: Accelerator,
        *,
        tensor_parallel: int = 1,
        pipeline_parallel: int = 1,
        efficiency: Efficiency = PERFECT,
        images: int = 0,
        image_patches: int | None = None,
    ) -> None:
        if tensor_parallel < 1 or pipeline_parallel < 1:
            raise UsageError("tensor and pipeline parallelism should be at least 1")
        self.anatomy = anatomy
        self.precision = precision
        self.accelerator = accelerator
        self.tensor_parallel = tensor_parallel
        self.pipeline_parallel = pipeline_parallel
        self.efficiency = efficiency
        self.peak = peak_flops(precision, accelerator)
        self._work = Workload(
            anatomy,
            precision,
            tensor_parallel=tensor_parallel,
            images=images,
            image_patches=image_patches,
        )

    def with_efficiency(self, efficiency: Efficiency) -> RooflineModel:
        """The same model under other factors."""
        other = copy.copy(self)
        other.efficiency = efficiency
        return other

    def step_s(self, batch: Batch) -> float:
        """Expected seconds of a step."""
        return self.parts_of(batch).seconds(self.efficiency)

    def steps_s(self, batches: Batches) -> NDArray[np.float64]:
        """Expected seconds of many steps, each as `step_s` has it to the last bit."""
        # What counts a batch's work does arithmetic only, and so counts arrays' as well.
        seconds: Any = self.step_s(cast("Batch", batches))
        return np.broadcast_to(np.asarray(seconds, dtype=np.float64), batches.decode_seqs.shape)

    def floor_s(self, batch: Batch) -> float:
        """Seconds of a step that no software can beat on this hardware."""
        work = self._work.of(batch)
        ranks, shared = self._sharing(batch)
        read = (work.weight_bytes / ranks + work.kv_bytes / shared) / self.accelerator.bandwidth
        text = work.matrix_flops + work.expert_flops + work.attention_flops
        return max(read, (text / self.peak + work.vision_flops / self.accelerator.fp16) / shared)

    def prefill_s(self, tokens: int, *, images: int = 0) -> float:
        """Expected seconds to the first token of a prompt that runs alone."""
        return self.step_s(_prefill(tokens, images))

    def decode_s(self, batch: int, context: float) -> float:
        """Expected seconds of one token for ``batch`` sequences of ``context`` tokens each."""
        return self.step_s(Batch(decode_seqs=batch, decode_context=batch * context))

    def request_floor_s(self, prompt: int, completion: int, images: int = 0) -> float:
        """Seconds that no software can beat for a request alone on the hardware.

        The prefill gives the first token; every further one reads the weights again and a cache
        that grows by one token: its mean is taken, which is exact as the floor of a lone sequence
        grows linearly with its cache.
        """
        first = self.floor_s(_prefill(prompt, images))
        further = max(0, completion - 1)
        mean = prompt + completion / 2
        return first + further * self.floor_s(Batch(decode_seqs=1, decode_context=mean))

    def explain(self, batch: Batch) -> Sum:
        """The expected seconds of a step, term by term."""
        parts = self.parts_of(batch)
        work, (ranks, shared) = self._work.of(batch), self._sharing(batch)
        eff, device, layers = self.efficiency, self.accelerator, self._work.layers
        rate = f"({eff.bandwidth:.0%} x {device.bandwidth / 1e9:,.0f} GB/s)"
        unit = compute_unit(self.precision, device)
        speed = f"({eff.compute:.0%} x {self.peak / 1e12:,.0f} {unit} TFLOP/s)"
        half = f"({eff.compute:.0%} x {device.fp16 / 1e12:,.0f} fp16 TFLOP/s)"
        n = self.tensor_parallel

        def read(size: float, split: float) -> str:
            return f"{size / 1e9:,.2f} GB / {split:g} / {rate}"

        def computed(flops: float, how: str) -> str:
            return f"{flops / 1e12:,.2f} TFLOP / {shared:g} / {how}"

        rows = [
            ("weights", parts.weights / eff.bandwidth, read(work.weight_bytes, ranks)),
            ("KV cache", parts.cache / eff.bandwidth, read(work.kv_bytes, shared)),
            (
                "repeated cache reads",
                parts.repeats * eff.repeats / eff.bandwidth,
                f"{eff.repeats:.0%} x {read(work.repeated_bytes, shared)}",
            ),
            (
                "activations",
                parts.activations * eff.activations / eff.bandwidth,
                f"{eff.activations:.0%} x {read(work.activation_bytes, shared)}",
            ),
            ("matrix products", parts.matrices / eff.compute, computed(work.matrix_flops, speed)),
            (
                "experts' products",
                parts.experts / eff.compute / eff.experts,
                computed(work.expert_flops, f"{speed} / {eff.experts:.0%}"),
            ),
            ("attention", parts.attention / eff.compute, computed(work.attention_flops, half)),
            ("images", parts.vision / eff.compute, computed(work.vision_flops, half)),
            (
                "all-reduce",
                parts.reductions * eff.allreduce_s + parts.wire / eff.link,
                f"2 x {layers} layers x ({eff.allreduce_s * 1e6:.0f} us + 2 x {n - 1}/{n} x"
                f" {work.reduced_bytes / 1e6:,.2f} MB / ({eff.link:.0%} x"
                f" {device.link_bandwidth / 1e9:,.0f} GB/s))",
            ),
            (
                "overhead",
                eff.step_s + parts.layers * eff.layer_s + parts.sequences * eff.sequence_s,
                f"{eff.step_s * 1e3:.2f} ms + {parts.layers:g} layers x {eff.layer_s * 1e6:.0f} us"
                f" + {parts.sequences:g} sequences x {eff.sequence_s * 1e6:.0f} us",
            ),
        ]
        source = f"{device.title}'s data sheet; efficiency: {eff.source}"
        return Sum(
            "step",
            tuple(Term(name, took, "s", how, source) for name, took, how in rows if took),
        )

    def _sharing(self, batch: Batch) -> tuple[int, float]:
        """Ranks that the reading of weights is divided by, and that all other work is.

        With pipeline stages a batch goes through in as many parts as it has sequences, at most one
        a stage: while one stage works on a part the others work on other parts, so their work is
        divided by the stages too; but each part reads every stage's weights. A lone sequence
        gains nothing.
        """
        parts = least(
            self.pipeline_parallel, most(1, batch.decode_seqs + (batch.prefill_tokens > 0))
        )
        return self.tensor_parallel, 1.0 * self.tensor_parallel * parts

    def parts_of(self, batch: Batch) -> Parts:
        """The parts of a step, each at the hardware's peak."""
        work, (ranks, shared) = self._work.of(batch), self._sharing(batch)
        device, layers = self.accelerator, self._work.layers
        wire = reductions = 0.0
        if self.tensor_parallel > 1:
            # A ring passes 2 (n - 1) / n of the bytes over every link: once to add up, once to
            # hand out; after attention and after the feed-forward block of every layer.
            crossing = 2 * (ranks - 1) / ranks * work.reduced_bytes * ranks / shared
            reductions = 2.0 * layers
            wire = reductions * crossing / (device.link_bandwidth or _SLOWEST_LINK)
        return Parts(
            weights=work.weight_bytes / ranks / device.bandwidth,
            cache=work.kv_bytes / shared / device.bandwidth,
            repeats=work.repeated_bytes / shared / device.bandwidth,
            activations=work.activation_bytes / shared / device.bandwidth,
            matrices=work.matrix_flops / shared / self.peak,
            experts=work.expert_flops / shared / self.peak,
            attention=work.attention_flops / shared / device.fp16,
            vision=work.vision_flops / shared / device.fp16,
            wire=wire,
            reductions=reductions,
            steps=1.0,
            layers=float(layers) * (batch.prefill_tokens + batch.decode_seqs > 0),
            sequences=1.0 * batch.decode_seqs,
        )


def _prefill(tokens: int, images: int) -> Batch:
    """A prompt that runs alone and at once: its n tokens see n (n + 1) / 2 in all."""
    return Batch(prefill_tokens=tokens, prefill_context=tokens * (tokens + 1) / 2, images=images)
