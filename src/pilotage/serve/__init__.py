"""Serve: one machine, running: supervisor, workers, gateway."""
