"""Shares that are too many, the same on every platform."""

from __future__ import annotations

from typing import Final

FAILED_PERCENT: Final = 1.0
"""Answers with 5xx that are too many, percent of all."""
REJECTED_PERCENT: Final = 5.0
"""Requests refused for want of room (429, 503) that are too many, percent of all."""
HEADROOM: Final = 0.8
"""Of a promise: what is said before it breaks."""
KV_FULL: Final = 0.95
"""Of a worker's KV cache: beyond, a sequence that grows soon finds no room."""
