"""How a deployment is run, as far as it costs: hours, starts, bytes, tokens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from pilotage.errors import UsageError

HOURS_PER_MONTH: Final = 730
"""8,760 hours of a year over 12."""

Market = Literal["on-demand", "spot", "one-year"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """What a month of running takes. Bytes of traffic are estimated where they are None.

    Attributes:
        utilisation: Share of the paid capacity that works, 0 to 1; the rest stands idle.
        instance_hours: Hours of all instances (or model units) together in a month, starting
            included, as autoscaling would have it; `Configuration.count` around the clock if None.
        market: How EC2 instances are paid. Under "one-year" the count is committed for every hour
            of the month; hours beyond it are on demand.
        starts: Instance starts in a month; each instance once if None.
        start_s: Seconds from an instance's start to its first answer: paid, but not serving.
        interruptions_per_hour: How often a spot instance is taken away. Once a day is an
            assumption: AWS publishes frequencies by the month only, the worst bucket open-ended.
        weights_bytes: Of the model as stored and fetched; 0 where the provider holds it.
        image_bytes: Of the container image; 0 where there is none. 9 GB is about vLLM's.
        request_bytes: A request over the wire, on average.
        response_bytes: An answer, on average.
        mean_e2e_s: Seconds a request takes on average; what is paid by the second needs it.
        image_tokens: Prompt tokens that the images of one request become; None when not known.
        cached_share: Share of the prompt tokens that a provider's prompt cache holds.
        function_gb: Memory of the Lambda or serverless function, GiB.
        bedrock_id: Bedrock's id of the model.
        estimate_sagemaker: Whether an unknown SageMaker price may be estimated from EC2's.
        through_nat: Whether weights and image come through a NAT gateway and not from S3 and ECR
            of the same region through gateway endpoints, which is free.
        clients_outside: Whether answers leave AWS.
    """

    utilisation: float = 1.0
    instance_hours: float | None = None
    market: Market = "on-demand"
    starts: float | None = None
    start_s: float = 300.0
    interruptions_per_hour: float = 1 / 24
    weights_bytes: int = 0
    image_bytes: int = 9_000_000_000
    request_bytes: float | None = None
    response_bytes: float | None = None
    mean_e2e_s: float | None = None
    image_tokens: float | None = None
    cached_share: float = 0.0
    function_gb: float = 0.5
    bedrock_id: str | None = None
    estimate_sagemaker: bool = False
    through_nat: bool = False
    clients_outside: bool = True

    def __post_init__(self) -> None:
        for name in ("utilisation", "cached_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise UsageError(f"should be from 0 to 1, got {getattr(self, name)}", where=name)
        for name in (
            "instance_hours",
            "starts",
            "start_s",
            "interruptions_per_hour",
            "weights_bytes",
            "image_bytes",
            "request_bytes",
            "response_bytes",
            "mean_e2e_s",
            "image_tokens",
            "function_gb",
        ):
            value = getattr(self, name)
            if value is not None and not 0 <= value < float("inf"):
                raise UsageError(f"should be a finite number from 0, got {value}", where=name)

    def hours(self, count: int) -> float:
        """Paid instance hours of a month."""
        return count * HOURS_PER_MONTH if self.instance_hours is None else self.instance_hours

    def started(self, count: int) -> float:
        """Instance starts of a month."""
        return float(count) if self.starts is None else self.starts
