"""The duration of an engine's step from operations, bytes and links."""

from __future__ import annotations

from dataclasses import dataclass

from pilotage.catalog.accelerators import Accelerator
from pilotage.catalog.anatomy import Anatomy
from pilotage.errors import UsageError
from pilotage.plan.precision import Precision, compute_unit, peak_flops
from pilotage.plan.roofline.efficiency import PERFECT, Efficiency
from pilotage.plan.roofline.work import Workload
from pilotage.plan.step_model import Batch
from pilotage.plan.terms import Sum, Term


@dataclass(frozen=True, slots=True)
class _Times:
    """Seconds of the parts of a step."""

    weights: float
    cache: float
    activations: float
    matrices: float
    attention: float
    vision: float
    links: float
    overhead: float

    @property
    def total(self) -> float:
        return (
            self.weights
            + self.cache
            + self.activations
            + self.matrices
            + self.attention
            + self.vision
            + self.links
            + self.overhead
        )


class RooflineModel:
    """Predicts steps of one replica: `pilotage.plan.step_model.StepModel`.

    The floor lets memory and compute work at their peaks and at once:
    ``max(bytes / bandwidth, operations / peak)``. The expected duration adds them up, each at its
    calibrated share, because kernels of a step follow one another and each is bound by one or the
    other; what overlaps is in the shares. (Tried on the measured rows: a p-norm of the two with
    p from 1 to 8 fits best at p near 1; see `pilotage.plan.calibration`.)

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

    def step_s(self, batch: Batch) -> float:
        """Expected seconds of a step."""
        return self._times(batch, self.efficiency).total

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
        work, times = self._work.of(batch), self._times(batch, self.efficiency)
        ranks, shared = self._sharing(batch)
        eff, device = self.efficiency, self.accelerator
        rate = f"({eff.bandwidth:.0%} x {device.bandwidth / 1e9:,.0f} GB/s)"
        unit = compute_unit(self.precision, device)
        speed = f"({eff.compute:.0%} x {self.peak / 1e12:,.0f} {unit} TFLOP/s)"
        matrices = work.matrix_flops + work.expert_flops
        rows = [
            (
                "weights",
                times.weights,
                f"{work.weight_bytes / 1e9:,.2f} GB / {ranks} / {rate}",
            ),
            ("KV cache", times.cache, f"{work.kv_bytes / 1e9:,.2f} GB / {shared:g} / {rate}"),
            (
                "activations",
                times.activations,
                f"{work.activation_bytes / 1e9:,.2f} GB / {shared:g} / {rate}",
            ),
            (
                "matrix products",
                times.matrices,
                f"{matrices / 1e12:,.2f} TFLOP / {shared:g} / {speed}"
                + (f", experts at {eff.experts:.0%} of it" if work.expert_flops else ""),
            ),
            (
                "attention",
                times.attention,
                f"{work.attention_flops / 1e12:,.2f} TFLOP / {shared:g} / ({eff.compute:.0%}"
                f" x {device.fp16 / 1e12:,.0f} fp16 TFLOP/s)",
            ),
            (
                "images",
                times.vision,
                f"{work.vision_flops / 1e12:,.2f} TFLOP / {shared:g} / ({eff.compute:.0%}"
                f" x {device.fp16 / 1e12:,.0f} fp16 TFLOP/s)",
            ),
            (
                "all-reduce",
                times.links,
                f"2 x {self._work.layers} layers x ({eff.allreduce_s * 1e6:.0f} us + 2 x"
                f" {self.tensor_parallel - 1}/{self.tensor_parallel} x"
                f" {work.reduced_bytes / 1e6:,.2f} MB / ({eff.link:.0%} x"
                f" {device.link_bandwidth / 1e9:,.0f} GB/s))",
            ),
            (
                "overhead",
                times.overhead,
                f"{eff.step_s * 1e3:.2f} ms + {self._work.layers} layers x"
                f" {eff.layer_s * 1e6:.0f} us + sequences x {eff.sequence_s * 1e6:.0f} us",
            ),
        ]
        source = f"{device.title}'s data sheet; efficiency: {eff.source}"
        return Sum(
            "step",
            tuple(
                Term(name, seconds, "s", formula, source)
                for name, seconds, formula in rows
                if seconds
            ),
        )

    def _sharing(self, batch: Batch) -> tuple[int, float]:
        """Ranks that the reading of weights is divided by, and that all other work is.

        With pipeline stages a batch goes through in as many parts as it has sequences, at most one
        a stage: while one stage works on a part the others work on other parts, so their work is
        divided by the stages too; but each part reads every stage's weights. A lone sequence
        gains nothing.
        """
        parts = min(
            self.pipeline_parallel, max(1, batch.decode_seqs + (1 if batch.prefill_tokens else 0))
        )
        return self.tensor_parallel, float(self.tensor_parallel * parts)

    def _times(self, batch: Batch, eff: Efficiency) -> _Times:
        work = self._work.of(batch)
        ranks, shared = self._sharing(batch)
        rate = self.accelerator.bandwidth * eff.bandwidth
        speed = self.peak * eff.compute
        half = self.accelerator.fp16 * eff.compute
        layers = self._work.layers
        links = 0.0
        if self.tensor_parallel > 1:
            n = self.tensor_parallel
            wire = (self.accelerator.link_bandwidth or 1e9) * eff.link
            parts = shared / ranks
            links = (
                2 * layers * (eff.allreduce_s + 2 * (n - 1) / n * work.reduced_bytes / parts / wire)
            )
        tokens = batch.prefill_tokens + batch.decode_seqs
        return _Times(
            weights=work.weight_bytes / ranks / rate,
            cache=work.kv_bytes / shared / rate,
            activations=work.activation_bytes / shared / rate,
            matrices=(work.matrix_flops + work.expert_flops / eff.experts) / shared / speed,
            attention=work.attention_flops / shared / half,
            vision=work.vision_flops / shared / half,
            links=links,
            overhead=eff.step_s
            + (layers * eff.layer_s if tokens else 0.0)
            + batch.decode_seqs * eff.sequence_s,
        )


def _prefill(tokens: int, images: int) -> Batch:
    """A prompt that runs alone and at once: its n tokens see n (n + 1) / 2 in all."""
    return Batch(prefill_tokens=tokens, prefill_context=tokens * (tokens + 1) / 2, images=images)
