"""Which series are a deployment's own: the labels that Prometheus gives to what it reads."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

_UNITS: Final = (("d", 86_400), ("h", 3600), ("m", 60))
_POD: Final = "(-predictor)?-[a-z0-9]+-[a-z0-9]{5}"
"""After a Deployment's name in its pods'; KServe adds its word. No other deployment's name fits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scrape:
    """How Prometheus names what it reads from a deployment.

    Attributes:
        job: The label ``job`` of every replica's ``/metrics``.
        namespace: The label ``namespace``, on Kubernetes.
    """

    job: str
    namespace: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """Selects a deployment's series, and adds them up.

    Attributes:
        scrape: The values of the labels, or Grafana's variables in their place.
    """

    scrape: Scrape

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels that say which deployment it is."""
        return ("job",) if self.scrape.namespace is None else ("namespace", "job")

    def of(self, metric: str, *matchers: str) -> str:
        """A metric of the deployment, with further matchers such as ``status=~"5.."``."""
        own = [f'job="{self.scrape.job}"', *matchers]
        if self.scrape.namespace is not None:
            own.insert(0, f'namespace="{self.scrape.namespace}"')
        return f"{metric}{{{','.join(own)}}}"

    def total(self, expression: str, *further: str) -> str:
        """The sum over replicas, apart by the deployment and by further labels."""
        return f"sum by ({', '.join((*self.labels, *further))}) ({expression})"

    def rate(self, metric: str, window: str, *matchers: str, by: tuple[str, ...] = ()) -> str:
        """What a counter grows by in a second, all replicas together."""
        return self.total(f"rate({self.of(metric, *matchers)}[{window}])", *by)

    def quantile(self, share: float, metric: str, window: str, *matchers: str) -> str:
        """A percentile of a histogram (named without ``_bucket``), of all replicas."""
        buckets = self.rate(f"{metric}_bucket", window, *matchers, by=("le",))
        return f"histogram_quantile({share:g}, {buckets})"

    @property
    def gpu_utilization(self) -> str:
        """Load of the deployment's GPUs in percent, from NVIDIA's DCGM exporter.

        On Kubernetes the exporter says whose pod has a GPU, under names that depend on whether
        Prometheus honours its labels. Elsewhere it is read as a job of its own, ``JOB-gpu``.
        """
        metric, job = "DCGM_FI_DEV_GPU_UTIL", self.scrape.job
        if self.scrape.namespace is None:
            return f'{metric}{{job="{job}-gpu"}}'
        space = self.scrape.namespace
        return (
            f'({metric}{{namespace="{space}",pod=~"{job}{_POD}"}} or '
            f'{metric}{{exported_namespace="{space}",exported_pod=~"{job}{_POD}"}})'
        )


def span(seconds: float) -> str:
    """A duration as Prometheus writes it, in its largest whole unit: ``5m``, ``3d``."""
    whole = math.ceil(seconds)
    for unit, size in _UNITS:
        if whole and whole % size == 0:
            return f"{whole // size}{unit}"
    return f"{whole}s"
