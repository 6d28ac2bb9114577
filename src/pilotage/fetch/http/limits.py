"""How long a server asks to wait, in every form that servers use.

- ``Retry-After``: seconds (also with a fraction, which some send) or a date (RFC 9110, 10.2.3);
- ``retry-after-ms``: milliseconds, as Azure sends;
- ``RateLimit: "api";r=0;t=55`` (draft-ietf-httpapi-ratelimit-headers-08 and later; the public hub
  sends this one), ``RateLimit: limit=100, remaining=0, reset=55`` (drafts 05 to 07) and
  ``RateLimit-Remaining``/``RateLimit-Reset`` (drafts 00 to 04);
- ``X-RateLimit-Remaining``/``X-RateLimit-Reset``: seconds from now, or seconds or milliseconds
  since 1970, which only their size tells apart.
"""

from __future__ import annotations

import re
import time
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Final

from pilotage.fetch.http.headers import Headers

_NUMBER: Final = re.compile(r"[0-9]{1,15}(?:\.[0-9]{0,9})?")
_PARAMETER: Final = re.compile(r"([a-z*][a-z0-9_.*-]*)=([0-9]{1,15}(?:\.[0-9]{1,3})?)(?![\w.])")
_QUOTED: Final = re.compile(r'"(?:[^"\\]|\\.)*"')
_EPOCH_S: Final = 1e9  # 2001 as seconds since 1970, 31 years as a wait
_EPOCH_MS: Final = 1e12


def retry_after_s(headers: Headers, *, now: float | None = None) -> float | None:
    """Seconds to wait, 0 or more; None if the server does not say.

    An explicit ``Retry-After`` wins over what follows from a quota.

    Args:
        headers: Of the response.
        now: Seconds since 1970; the machine's clock by default. Where the response has a
            ``Date``, dates are read against that one, as clocks differ.
    """
    clock = time.time() if now is None else now
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000
    value = headers.get("Retry-After")
    if value is not None:
        seconds = _number(value)
        if seconds is not None:
            return seconds
        date = _date(value)
        if date is not None:
            server_now = _date(headers.get("Date", ""))
            return max(0.0, date - (clock if server_now is None else server_now))
    for quota_s in (_structured_s(headers), _older_s(headers, clock)):
        if quota_s is not None:
            return quota_s
    return None


def _structured_s(headers: Headers) -> float | None:
    value = headers.get("RateLimit", "")[:4096]
    waits: list[float] = []
    # Names of quotas go first: a quoted one may hold any of the separators.
    unquoted = _QUOTED.sub("q", value).lower()
    for item in [unquoted] if "remaining=" in unquoted else unquoted.split(","):
        found = {name: float(number) for name, number in _PARAMETER.findall(item)}
        remaining = found.get("r", found.get("remaining"))
        reset = found.get("t", found.get("reset"))
        if remaining == 0 and reset is not None:
            waits.append(reset)
    return max(waits, default=None)


def _older_s(headers: Headers, now: float) -> float | None:
    for prefix in ("RateLimit", "X-RateLimit", "X-Rate-Limit"):
        reset = _number(headers.get(f"{prefix}-Reset"))
        remaining = _number(headers.get(f"{prefix}-Remaining"))
        if reset is None or remaining not in {None, 0.0}:
            continue
        if reset >= _EPOCH_S:
            reset = (reset / 1000 if reset >= _EPOCH_MS else reset) - now
        return max(0.0, reset)
    return None


def _number(value: str | None) -> float | None:
    text = (value or "").strip()
    return float(text) if _NUMBER.fullmatch(text) else None


def _date(value: str) -> float | None:
    try:
        date = parsedate_to_datetime(value[:64])
        return (date if date.tzinfo is not None else date.replace(tzinfo=UTC)).timestamp()
    except (TypeError, ValueError, IndexError, OverflowError):
        return None
