"""Backends: places that answer, behind one interface."""

from pilotage.route.backends.backend import SAFE_TO_RETRY, Backend, BackendError, Fault

__all__ = ["SAFE_TO_RETRY", "Backend", "BackendError", "Fault"]
