"""Logical ids of the stack's resources."""

from __future__ import annotations

from typing import Final

ROLE: Final = "FunctionRole"
LOGS: Final = "Logs"
FUNCTION: Final = "Function"
URL: Final = "FunctionUrl"
CALLERS: Final = "Callers"
ENDPOINTS: Final = "Endpoints"
HISTORY: Final = "History"

LONGEST_NAME: Final = 64
"""Characters of a function's name (Lambda API reference, CreateFunction)."""
