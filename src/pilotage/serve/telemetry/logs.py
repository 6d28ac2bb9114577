"""Log lines: JSON for machines, short text for a terminal, no secret in either.

One record is one JSON line, or one line of text with its traceback indented below it; what a
client sent cannot end a line and start another.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import threading
import time
import traceback
from collections.abc import Mapping
from contextlib import nullcontext
from datetime import UTC, datetime
from functools import lru_cache
from math import isfinite
from typing import Any, Literal, TextIO

import msgspec

from pilotage.serve.telemetry.redaction import MASK, is_secret_name, redact
from pilotage.serve.telemetry.request_record import RequestRecord

Format = Literal["auto", "text", "json"]
Level = Literal["debug", "info", "warning", "error"]

PROBED_ENDPOINTS = frozenset(
    {"/health", "/health/live", "/health/ready", "/health/startup", "/ping", "/metrics"}
)
"""Routes that machines ask every few seconds."""

BATCH_S = 0.05
"""How long a line may be held by `batch`, seconds."""

MAX_FIELD_CHARS = 8_192
MAX_TRACEBACK_CHARS = 65_536

_ACCESS = logging.getLogger("pilotage.access")
_ACCESS_FIELDS = (
    "request_id",
    "key",
    "endpoint",
    "model",
    "status",
    "prompt_tokens",
    "completion_tokens",
    "queue_ms",
    "ttft_ms",
    "duration_ms",
    "finish_reason",
    "reason",
    "trace_id",
)
_MOST_HELD = 512
_RESERVED = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_MAX_DEPTH = 6
_MAX_ITEMS = 256
_MAX_INT_BITS = 256


def configure(format: Format, level: Level, stream: TextIO | None = None) -> None:  # noqa: A002
    """Send all logging to one stream.

    Pilotage's own loggers write from ``level`` on, everybody else's from warning on, uvicorn's
    among them; its access log is off, since "pilotage.access" has a record for every request.
    Give uvicorn ``log_config=None``, or it puts its own handlers back. May be called again.

    Args:
        format: "text", "json", or "auto": text on a terminal, JSON elsewhere.
        level: Least severe record of Pilotage's that is written.
        stream: Where to; standard error if not given.
    """
    stream = sys.stderr if stream is None else stream
    if format == "auto":
        format = "text" if stream.isatty() else "json"  # noqa: A001
    handler = _Handler(stream)
    handler.setFormatter(TextFormatter() if format == "text" else JsonFormatter())
    root = logging.getLogger()
    for old in [one for one in root.handlers if isinstance(one, _Handler)]:
        root.removeHandler(old)
    root.addHandler(handler)

    own_level = logging.getLevelNamesMapping()[level.upper()]
    foreign_level = max(own_level, logging.WARNING)
    root.setLevel(foreign_level)
    logging.getLogger("pilotage").setLevel(own_level)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.asgi", "uvicorn.access"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.setLevel(foreign_level)
        # uvicorn asks its access logger for handlers, and without any formats no line.
        logger.propagate = name != "uvicorn.access"


def log_access(
    record: RequestRecord,
    *,
    request_id: str,
    key: str | None,
    finish_reason: str | None = None,
    trace_id: str | None = None,
) -> None:
    """Write the one access record of a request to "pilotage.access".

    Its level is info, and debug for the routes that machines ask every few seconds (health,
    metrics): a log of probes hides what it is kept for.

    Args:
        record: The request.
        request_id: As the client was told it.
        key: Id of the API key that was used (never the key); ``None`` if none was.
        finish_reason: Why the generation ended, if there was one.
        trace_id: Of the request's span, if it is traced.
    """
    level = logging.DEBUG if record.endpoint in PROBED_ENDPOINTS else logging.INFO
    if not _ACCESS.isEnabledFor(level):
        return
    fields: dict[str, Any] = {
        "request_id": request_id,
        "key": key,
        "endpoint": record.endpoint,
        "model": record.model,
        "status": record.status,
        "prompt_tokens": record.prompt_tokens,
        "completion_tokens": record.completion_tokens,
        "ttft_ms": None if record.ttft_s is None else round(record.ttft_s * 1e3, 3),
        "duration_ms": round(record.duration_s * 1e3, 3),
        "finish_reason": finish_reason,
    }
    if record.queue_s is not None:
        fields["queue_ms"] = round(record.queue_s * 1e3, 3)
    if record.reason is not None:
        fields["reason"] = record.reason
    if trace_id is not None:
        fields["trace_id"] = trace_id
    _ACCESS.handle(_access_record(level, (record.endpoint, record.status), fields))


def batch(loop: asyncio.AbstractEventLoop, interval_s: float = BATCH_S) -> None:
    """Write what is less than a warning in batches from now on, from this thread.

    A line a request is a write a request, which wakes whoever reads the stream: at thousands of
    requests a second that is a fifth of what a gateway costs. What is held is written with the
    next warning, after ``interval_s`` seconds, and when the process ends.

    Args:
        loop: The event loop that runs in this thread. Lines of other threads are not held.
        interval_s: Longest time a line is held.
    """
    for handler in logging.getLogger().handlers:
        if isinstance(handler, _Handler):
            handler.batch(loop, interval_s)


class _Handler(logging.StreamHandler[TextIO]):
    """A handler that `configure` put there, so that it can take it away again."""

    _loop: asyncio.AbstractEventLoop | None = None
    _interval_s = 0.0
    _thread = 0

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self._held: list[str] = []

    def format(self, record: logging.LogRecord) -> str:
        """The record's line, with escapes for what the stream's encoding does not have."""
        encoding = getattr(self.stream, "encoding", None) or "utf-8"
        return super().format(record).encode(encoding, "backslashreplace").decode(encoding)

    def batch(self, loop: asyncio.AbstractEventLoop, interval_s: float) -> None:
        """See the function `batch`."""
        self._loop, self._interval_s = loop, interval_s
        self._thread = threading.get_ident()

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record, or hold it for the next batch."""
        loop = self._loop
        if loop is None or record.levelno >= logging.WARNING or loop.is_closed():
            if self._held:
                self.flush()
            super().emit(record)
            return
        if threading.get_ident() != self._thread:
            super().emit(record)
            return
        try:
            self._held.append(self.format(record))
        except Exception:  # noqa: BLE001 - as in the library: logging fails nobody
            self.handleError(record)
            return
        if len(self._held) == 1:
            loop.call_later(self._interval_s, self.flush)
        elif len(self._held) >= _MOST_HELD:
            self.flush()

    def flush(self) -> None:
        """Write what is held, and flush the stream."""
        with self.lock or nullcontext():
            held, self._held = self._held, []
        try:
            if held:
                self.stream.write("\n".join(held) + "\n")
            super().flush()
        except (OSError, ValueError):
            pass  # a closed stream; see `handleError`

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        """Say nothing: a closed stream must not bring a request down or show its arguments."""


class JsonFormatter(logging.Formatter):
    """One JSON object a record, in ASCII: ts, level, logger, message, then the extra fields."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line."""
        if record.name == _ACCESS.name and (line := _access_line(record)) is not None:
            return line
        entry: dict[str, Any] = {
            "ts": _timestamp(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": _message(record),
        }
        for name, value in _extra(record).items():
            entry[f"{name}_" if name in entry else name] = value
        if details := _traceback(record):
            entry["exception"] = details
        return json.dumps(entry)


class TextFormatter(logging.Formatter):
    """A short line a record: local time, level, logger, message, ``name=value`` extra fields."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line, and its traceback as indented lines."""
        # Local time: the reader sits at the terminal it is written to.
        clock = datetime.fromtimestamp(record.created).astimezone().strftime("%H:%M:%S")
        name = record.name.removeprefix("pilotage.")
        line = f"{clock} {record.levelname.lower():<7} {name}: {_message(record)}"
        for field, value in _extra(record).items():
            if value is not None:
                line += f" {field}={_short(value)}"
        lines = [line, *(f"    {one}" for one in _traceback(record).splitlines())]
        return "\n".join(map(_escape, lines))


_PROTOTYPES = {
    level: vars(
        logging.LogRecord(_ACCESS.name, level, __file__, 0, "%s %s", None, None, "log_access")
    )
    for level in (logging.DEBUG, logging.INFO)
}


def _access_record(
    level: int, args: tuple[object, ...], fields: Mapping[str, Any]
) -> logging.LogRecord:
    """A record like any other. `Logger.log` would look up caller, thread and process each time."""
    record = logging.LogRecord.__new__(logging.LogRecord)
    now = time.time()
    vars(record).update(_PROTOTYPES[level])
    vars(record).update(fields, args=args, created=now, msecs=now % 1 * 1000)
    return record


def _access_line(record: logging.LogRecord) -> str | None:
    """An access record as one line; None for one that has to be redacted or cut.

    There is one for each request. Its fields are plain, so that one look at the whole line tells
    what is otherwise looked for in every part of it.
    """
    entry = {
        "ts": _timestamp(record),
        "level": record.levelname.lower(),
        "logger": record.name,
        "message": record.getMessage(),
    }
    fields = vars(record)
    entry.update((name, fields[name]) for name in _ACCESS_FIELDS if name in fields)
    line = msgspec.json.encode(entry).decode()
    plain = line.isascii() and len(line) <= MAX_FIELD_CHARS and redact(line) == line
    return line if plain else None


def _timestamp(record: logging.LogRecord) -> str:
    second = int(record.created)
    return f"{_second(second)}.{int((record.created - second) * 1000):03d}Z"


@lru_cache(maxsize=4)
def _second(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def _message(record: logging.LogRecord) -> str:
    try:
        text = record.getMessage()
    except Exception:  # noqa: BLE001 - a wrong call must show its text, not take the caller down
        text = f"{_text(record.msg)} {_text(record.args)}"
    return _clean(text, MAX_FIELD_CHARS)


def _traceback(record: logging.LogRecord) -> str:
    try:
        if record.exc_info and record.exc_info[1] is not None:
            details = "".join(traceback.format_exception(record.exc_info[1]))
        else:
            details = record.exc_text or ""
    except Exception:  # noqa: BLE001 - an exception whose own text cannot be had
        details = "the traceback cannot be shown"
    if record.stack_info:
        details = f"{details}\n{record.stack_info}".lstrip()
    return _clean(details, MAX_TRACEBACK_CHARS).rstrip()


def _extra(record: logging.LogRecord) -> dict[str, Any]:
    fields = {name: value for name, value in vars(record).items() if name not in _RESERVED}
    plain: dict[str, Any] = _plain(fields, _MAX_DEPTH)
    return plain


def _plain(value: Any, depth: int) -> Any:
    """The value as JSON can hold it: bounded, redacted, and text where JSON has no type."""
    if value is None or isinstance(value, bool) or _is_number(value):
        return value
    try:
        if depth and isinstance(value, Mapping):
            return {
                (field := _clean(_text(name), MAX_FIELD_CHARS)): (
                    MASK if is_secret_name(field) else _plain(item, depth - 1)
                )
                for name, item in [*value.items()][:_MAX_ITEMS]
            }
        if depth and isinstance(value, list | tuple | set | frozenset):
            return [_plain(item, depth - 1) for item in [*value][:_MAX_ITEMS]]
    except Exception:  # noqa: BLE001 - a container that fails when it is read
        return f"<{type(value).__name__}>"
    return _clean(_text(value), MAX_FIELD_CHARS)


def _is_number(value: Any) -> bool:
    if type(value) is float:
        return isfinite(value)
    return type(value) is int and value.bit_length() <= _MAX_INT_BITS


def _text(value: Any) -> str:
    try:
        return str(value)
    except Exception:  # noqa: BLE001 - whatever str() of a stranger raises
        return f"<{type(value).__name__}>"


def _clean(text: str, limit: int) -> str:
    # Redacted before it is cut: half a password is still half a password.
    text = redact(text)
    return text if len(text) <= limit else f"{text[:limit]}… ({len(text)} characters)"


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    quoted = not text or any(one in text for one in ' "=') or not text.isprintable()
    return json.dumps(text, ensure_ascii=False) if quoted and isinstance(value, str) else text


def _escape(line: str) -> str:
    if line.isprintable():
        return line
    return "".join(
        one if one.isprintable() else one.encode("unicode_escape").decode() for one in line
    )
