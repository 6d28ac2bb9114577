"""Secrets taken out of text before anybody reads it."""

from __future__ import annotations

import re

MASK = "***"

# The id of an API key (8 characters, see `pilotage.serve.keys`) is public and says whose key it
# was; it stays. Every pattern runs in linear time: this text may come from a client.
_PATTERNS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"(plt_[a-z0-9]{8}_)[\w-]+", re.IGNORECASE | re.ASCII), rf"\1{MASK}"),
    (re.compile(r"\b(bearer)(?:\s|%20)+[^\s\"',;]+", re.IGNORECASE), rf"\1 {MASK}"),
    (
        re.compile(r"\b(authorization\W{1,8})(basic|digest|token)\s+[^\s\"',;]+", re.IGNORECASE),
        rf"\1\2 {MASK}",
    ),
    (re.compile(r"://[^\s/?#]+@"), f"://{MASK}@"),
)
# No pattern matches without one of these. Nearly all text has none, and this is the quicker look.
_HINTS = ("plt_", "bearer", "authorization", "://")

_SECRET_NAMES = frozenset(
    {
        "api_key",
        "authorization",
        "cookie",
        "password",
        "proxy_authorization",
        "secret",
        "set_cookie",
        "x_api_key",
    }
)


def redact(text: str) -> str:
    """The text with API keys, bearer tokens and passwords in addresses masked.

    A user's name in an address goes with its password. Masking text that is masked changes
    nothing more.
    """
    lowered = text.lower()
    if not any(hint in lowered for hint in _HINTS):
        return text
    for pattern, replacement in _PATTERNS:
        text = pattern.sub(replacement, text)
    return text


def is_secret_name(name: str) -> bool:
    """Whether a field or header of this name holds a secret, whatever its value looks like."""
    return name.lower().replace("-", "_") in _SECRET_NAMES
