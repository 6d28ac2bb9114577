"""What our server exports, from the real classes, with some traffic at each look."""

from __future__ import annotations

from decimal import Decimal
from types import SimpleNamespace

from pilotage.route.answer import Usage
from pilotage.route.attempt import Attempt, Outcome, Role
from pilotage.route.backends.breaker import BreakerState
from pilotage.route.drift import Alert
from pilotage.serve.routing.metrics import RouteMetrics
from pilotage.serve.telemetry.metrics import Metrics
from pilotage.serve.telemetry.request_record import RequestRecord
from pilotage.serve.telemetry.snapshot import ReplicaSnapshot, Snapshot, WorkerSnapshot


class Nowhere:
    """A ledger that keeps nothing."""

    def record(self, attempt: Attempt) -> None:
        del attempt


class Server:
    """The metrics of a server that answers, refuses and fails a little between two looks."""

    def __init__(self) -> None:
        self.looks = 0
        self.metrics = Metrics(["llama"])
        self.routes = RouteMetrics(Nowhere())
        backend = SimpleNamespace(
            name="small/0", state=BreakerState.CLOSED, available=True, in_flight=2
        )
        self.routes.watch({"small": SimpleNamespace(health=(backend,))})  # type: ignore[dict-item]
        self.metrics.watch(self.snapshot)
        self.metrics.show(self.routes.collect)

    def look(self) -> bytes:
        self.looks += 1
        for number in range(20):
            self.request(status=200, number=number)
        self.request(status=429, number=self.looks, reason="overloaded")
        self.request(status=500, number=self.looks, reason="internal_error")
        self.metrics.rejected("llama", "overloaded")
        self.metrics.step("worker-0", 0.02, running=4, new_tokens=4)
        self.metrics.step("worker-1", 0.03, running=2, new_tokens=2)
        self.routes.record(attempt(str(self.looks)))
        self.routes.answered(escalations=1, added_s=0.001)
        self.routes.alerted(Alert(tier="small", predicted=0.9, audited=0.7, audits=50))
        return self.metrics.render()

    def request(self, *, status: int, number: int, reason: str | None = None) -> None:
        good = reason is None
        self.metrics.request_started()
        self.metrics.request_finished(
            RequestRecord(
                endpoint="/v1/chat/completions",
                status=status,
                duration_s=0.4 + 0.02 * number,
                model="llama",
                operation="chat",
                prompt_tokens=180 if good else 0,
                completion_tokens=60 if good else 0,
                queue_s=0.01 if good else None,
                ttft_s=0.1 + 0.01 * number if good else None,
                tpot_s=0.02 if good else None,
                reason=reason,
            )
        )

    def snapshot(self) -> Snapshot:
        return Snapshot(
            queue_requests=3,
            queue_tokens=500,
            retries=self.looks,
            workers=tuple(
                WorkerSnapshot(
                    worker=f"worker-{number}",
                    up=True,
                    restarts=self.looks,
                    running_requests=4,
                    kv_cache_usage_ratio=0.4,
                    kv_cache_tokens=40_000,
                    prefill_tokens_per_s=9000.0,
                    # One that shares its device with others has no slice to name.
                    device=f"cuda:{number}" if number == 0 else "",
                    models=(ReplicaSnapshot(model="llama", memory_bytes=1 << 34),),
                )
                for number in range(2)
            ),
            cpu_s={"gateway": 0.1 * self.looks, "worker-0": 0.4 * self.looks},
            queue_by_model={"llama": 3},
        )


def attempt(name: str) -> Attempt:
    return Attempt(
        id=name,
        request_id=name,
        at=0.0,
        key_id=None,
        role=Role.ANSWER,
        tier="small",
        backend="small/0",
        asked_model="llama",
        served_model="llama",
        usage=Usage(prompt_tokens=350, completion_tokens=110),
        cost=Decimal("0.001"),
        latency_s=0.4,
        ttft_s=0.1,
        outcome=Outcome.OK,
    )


def exported() -> frozenset[str]:
    """Names of all samples, as a scrape finds them."""
    lines = Server().look().decode().splitlines()
    return frozenset(
        line.partition("{")[0].split(" ")[0] for line in lines if line and not line.startswith("#")
    )
