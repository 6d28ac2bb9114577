"""Backends: places that answer, and tiers of them that stand in for one another."""

from pilotage.route.backends.attempt_stream import AttemptStream, RawStream
from pilotage.route.backends.backend import SAFE_TO_RETRY, Backend, BackendError, Fault
from pilotage.route.backends.breaker import BreakerState
from pilotage.route.backends.build import build_tiers
from pilotage.route.backends.health import BackendHealth
from pilotage.route.backends.openai import OpenAIBackend
from pilotage.route.backends.tier import Tier

__all__ = [
    "SAFE_TO_RETRY",
    "AttemptStream",
    "Backend",
    "BackendError",
    "BackendHealth",
    "BreakerState",
    "Fault",
    "OpenAIBackend",
    "RawStream",
    "Tier",
    "build_tiers",
]
