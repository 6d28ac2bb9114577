"""One reading of a Pilotage server's ``/metrics``: the series that ``pilotage top`` shows."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Final

from prometheus_client.parser import text_string_to_metric_families

from pilotage.prove.server_side.look import NotMetricsError

Labels = Mapping[str, str]

TTFT: Final = "gen_ai_server_time_to_first_token_seconds"
_BUILD: Final = "pilotage_build_info"
_NAME: Final = re.compile(r"[A-Za-z_:][A-Za-z0-9_:]*(?=[ \t{])")
_MAX_LINES: Final = 20_000


@dataclass(frozen=True)
class Reading:
    """What the server said at one moment.

    Attributes:
        at: When, on `time.monotonic`'s clock.
        series: By metric name: each series' labels and value.
    """

    at: float
    series: Mapping[str, tuple[tuple[Labels, float], ...]]

    def total(self, name: str, **labels: str) -> float:
        """The sum of a metric's series that have these labels; 0 if there is none."""
        return sum(value for _, value in self.having(name, **labels))

    def having(self, name: str, **labels: str) -> Iterator[tuple[Labels, float]]:
        """A metric's series that have these labels."""
        for found, value in self.series.get(name, ()):
            if all(found.get(label) == wanted for label, wanted in labels.items()):
                yield found, value

    def values(self, name: str, label: str) -> tuple[str, ...]:
        """What a label is, in the series of a metric, without repetition."""
        return tuple(dict.fromkeys(labels[label] for labels, _ in self.having(name)))

    @property
    def version(self) -> str:
        """The server's version; empty if it does not say."""
        return next((labels.get("version", "") for labels, _ in self.having(_BUILD)), "")


def read_metrics(text: str, at: float) -> Reading:
    """Read Prometheus text.

    Args:
        text: What ``/metrics`` answered.
        at: When, on `time.monotonic`'s clock.

    Raises:
        NotMetricsError: It is something else, or another server's.
    """
    lines = [line for line in text.split("\n") if (match := _NAME.match(line)) and _shown(match[0])]
    if len(lines) > _MAX_LINES:
        raise NotMetricsError(f"it has {len(lines):,} series where a few are expected")
    series: dict[str, list[tuple[Labels, float]]] = {}
    try:
        for family in text_string_to_metric_families("\n".join(lines) + "\n"):
            for sample in family.samples:
                if isfinite(sample.value):
                    series.setdefault(sample.name, []).append((sample.labels, sample.value))
    except (ValueError, IndexError, KeyError) as error:
        raise NotMetricsError("the answer is not Prometheus text") from error
    if not any(name.startswith("pilotage_") for name in series):
        raise NotMetricsError("these are not the metrics of a Pilotage server")
    return Reading(at=at, series={name: tuple(found) for name, found in series.items()})


def _shown(name: str) -> bool:
    if name.startswith("pilotage_"):
        return not name.endswith("_bucket")
    return name.startswith(TTFT) or name == "gen_ai_server_request_duration_seconds_count"
