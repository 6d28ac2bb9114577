"""What the HTTP API needs from the gateway around it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

from pilotage.engines.engine import EngineInfo, Task
from pilotage.images import VisionInput
from pilotage.serve.control import ModelControl
from pilotage.serve.generation import Dispatcher
from pilotage.serve.images import ImageLoader
from pilotage.serve.keys import KeyStore
from pilotage.serve.rate_limits import RateLimiter
from pilotage.serve.telemetry.request_record import RequestRecord
from pilotage.serve.telemetry.tracing import NoTracer, Tracer
from pilotage.tokens import Tokenizer

if TYPE_CHECKING:
    from pilotage.serve.external.backend import ExternalBackend
    from pilotage.serve.routing.routing import Routing

HealthState = Literal["loading", "ready", "stalled", "draining"]


@dataclass(frozen=True, slots=True)
class Health:
    """How the server is.

    Attributes:
        state: "loading" until a model has answered for the first time, "ready" while one answers,
            "stalled" when none makes progress any more, "draining" once it is told to stop.
        reason: One sentence for whoever reads the probe's answer.
        details: JSON-ready facts beside it, such as workers and their states.
    """

    state: HealthState
    reason: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Limits:
    """What one request may ask for.

    Attributes:
        max_body_bytes: Longest request body.
        max_n: Most choices for a prompt.
        max_sequences: Most sequences a request: prompts times choices.
        request_timeout_s: Seconds from a request's arrival to its last byte.
    """

    max_body_bytes: int = 4 << 20
    max_n: int = 16
    max_sequences: int = 64
    request_timeout_s: float = 600.0


@dataclass(frozen=True, slots=True)
class ServedModel:
    """A model that the gateway serves.

    Attributes:
        name: What clients call it.
        tokenizer: Its tokenizer.
        dispatcher: Runs its generations.
        info: Its engine's facts; ``None`` while it loads.
        created: Unix time, seconds.
        max_model_len: Context length in tokens, if known before the engine is.
        task: What it does.
        vision: How images come to it; None for a model without eyes.
        labels: A classifier's labels, by their number.
        backend: Where its requests are passed on to, if its engine is a server of its own.
    """

    name: str
    tokenizer: Tokenizer
    dispatcher: Dispatcher
    info: Callable[[], EngineInfo | None]
    created: int
    max_model_len: int | None = None
    task: Task = "generate"
    vision: VisionInput | None = None
    labels: tuple[str, ...] = ()
    backend: ExternalBackend | None = None

    def context_length(self) -> int | None:
        """Longest prompt plus completion, tokens; ``None`` if not yet known."""
        info = self.info()
        return self.max_model_len if info is None else info.max_model_len


class ModelDirectory(Protocol):
    """The models that clients can name: served models and aliases for them."""

    def find(self, name: str | None) -> ServedModel | None:
        """The model that a request for `name` goes to now; the first one for ``None``.

        An alias with weights may give another model each time. None when nobody has that name.
        """

    def peek(self, name: str | None) -> ServedModel | None:
        """What `find` would give, for questions about a model: no target's turn is taken."""

    def names(self) -> tuple[str, ...]:
        """All names that `find` knows, the default first."""

    def all(self) -> tuple[ServedModel, ...]:
        """The served models, without aliases."""


@dataclass(frozen=True, slots=True)
class FixedModels:
    """A directory that never changes, without aliases; at least one model."""

    models: tuple[ServedModel, ...]

    def find(self, name: str | None) -> ServedModel | None:
        """See `ModelDirectory.find`."""
        if name is None:
            return self.models[0]
        return next((model for model in self.models if model.name == name), None)

    def peek(self, name: str | None) -> ServedModel | None:
        """See `ModelDirectory.peek`."""
        return self.find(name)

    def names(self) -> tuple[str, ...]:
        """See `ModelDirectory.names`."""
        return tuple(model.name for model in self.models)

    def all(self) -> tuple[ServedModel, ...]:
        """See `ModelDirectory.all`."""
        return self.models


class RequestMetrics(Protocol):
    """Counts requests."""

    def request_started(self) -> None:
        """A request has arrived; `request_finished` follows, whatever happens."""

    def request_finished(self, record: RequestRecord) -> None:
        """A request was answered."""

    def rejected(self, model: str, reason: str) -> None:
        """It was well-formed and yet refused; `request_finished` follows all the same."""


@dataclass(frozen=True, slots=True)
class GatewayContext:
    """Everything the API is given; it keeps no state beside it.

    Attributes:
        models: The served models, at least one if nothing is routed; the first is the default
            where a request need not name one (``/invocations``, ``/tokenize``).
        health: How the server is, now.
        metrics: Counts every request.
        render_metrics: The body of ``/metrics``, Prometheus text format.
        keys: API keys; ``None`` is an open server.
        platform_only: Without keys, only what a platform calls that has checked its callers is
            open: ``/invocations`` and health.
        rate_limits: The keys' budgets; ``None`` is no limit.
        limits: What one request may ask for.
        tracer: Makes a span of every generation.
        control: Steers the models; ``None`` is a server without admin routes.
        images: Takes the images that clients send.
        routing: Answers requests for tiers; ``None`` is a server that routes nothing.
    """

    models: ModelDirectory
    health: Callable[[], Health]
    metrics: RequestMetrics
    render_metrics: Callable[[], bytes]
    keys: KeyStore | None = None
    platform_only: bool = False
    rate_limits: RateLimiter | None = None
    limits: Limits = field(default_factory=Limits)
    tracer: Tracer = field(default_factory=NoTracer)
    control: ModelControl | None = None
    images: ImageLoader = field(default_factory=ImageLoader)
    routing: Routing | None = None
