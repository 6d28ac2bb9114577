"""Log lines: JSON for machines, short text for a terminal, no secret in either.

One record is one JSON line, or one line of text with its traceback indented below it; what a
client sent cannot end a line and start another.
"""

from __future__ import annotations

import json
import logging
import sys
import traceback
from collections.abc import Mapping
from datetime import UTC, datetime
from math import isfinite
from typing import Any, Literal, TextIO

from pilotage.serve.telemetry.redaction import MASK, is_secret_name, redact
from pilotage.serve.telemetry.request_record import RequestRecord

Format = Literal["auto", "text", "json"]
Level = Literal["debug", "info", "warning", "error"]

PROBED_ENDPOINTS = frozenset(
    {"/health", "/health/live", "/health/ready", "/health/startup", "/ping", "/metrics"}
)
"""Routes that machines ask every few seconds."""

MAX_FIELD_CHARS = 8_192
MAX_TRACEBACK_CHARS = 65_536

_ACCESS = logging.getLogger("pilotage.access")
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
    if record.reason is not None:
        fields["reason"] = record.reason
    if trace_id is not None:
        fields["trace_id"] = trace_id
    _ACCESS.log(level, "%s %s", record.endpoint, record.status, extra=fields)


class _Handler(logging.StreamHandler[TextIO]):
    """A handler that `configure` put there, so that it can take it away again."""

    def format(self, record: logging.LogRecord) -> str:
        """The record's line, with escapes for what the stream's encoding does not have."""
        encoding = getattr(self.stream, "encoding", None) or "utf-8"
        return super().format(record).encode(encoding, "backslashreplace").decode(encoding)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        """Say nothing: a closed stream must not bring a request down or show its arguments."""


class JsonFormatter(logging.Formatter):
    """One JSON object a record, in ASCII: ts, level, logger, message, then the extra fields."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line."""
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


def _timestamp(record: logging.LogRecord) -> str:
    moment = datetime.fromtimestamp(record.created, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


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
