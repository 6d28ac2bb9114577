"""Pilotage: a foundation model from a one-page spec to a served, measured, paid-for endpoint."""

__version__ = "0.1.0"
