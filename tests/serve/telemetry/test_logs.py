"""Log lines: whole, parseable, quiet about secrets, and never in the way."""

from __future__ import annotations

import dataclasses
import io
import json
import logging
import subprocess
import sys
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotage.serve.telemetry.logs import (
    MAX_FIELD_CHARS,
    JsonFormatter,
    TextFormatter,
    configure,
    log_access,
)
from pilotage.serve.telemetry.request_record import RequestRecord

KEY = "plt_abcd1234_" + "S" * 43
NAMES = (
    "pilotage",
    "uvicorn",
    "uvicorn.error",
    "uvicorn.asgi",
    "uvicorn.access",
)
RECORD = RequestRecord(
    model="smollm2",
    endpoint="/v1/chat/completions",
    operation="chat",
    status=200,
    prompt_tokens=30,
    completion_tokens=9,
    ttft_s=0.0412345,
    duration_s=0.18,
)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Unprintable:
    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__


@pytest.fixture(autouse=True)
def logging_put_back():
    root = logging.getLogger()
    loggers = [root, *map(logging.getLogger, NAMES)]
    before = [(one, one.level, one.handlers[:], one.propagate) for one in loggers]
    yield
    for logger, level, handlers, propagate in before:
        logger.setLevel(level)
        logger.propagate = propagate
        for handler in logger.handlers[:]:
            if handler not in handlers:
                logger.removeHandler(handler)


def written(stream: io.StringIO) -> list[dict]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def fail(message: str) -> None:
    raise ValueError(message)


def record(message: object, *args: object, **extra: object) -> logging.LogRecord:
    made = logging.makeLogRecord(
        {"name": "pilotage.x", "levelname": "INFO", "levelno": 20, **extra}
    )
    made.msg, made.args = message, args
    return made


def test_json_lines_have_time_level_logger_message_and_fields():
    stream = io.StringIO()
    configure("json", "info", stream)
    logging.getLogger("pilotage.serve.worker").warning(
        "worker %s died", 3, extra={"worker": 3, "after_s": 1.5, "where": {"a": [1, None, True]}}
    )
    (line,) = written(stream)
    when = datetime.fromisoformat(line.pop("ts"))
    assert when.utcoffset() == timedelta(0)
    assert abs(when.timestamp() - datetime.now().timestamp()) < 60
    assert list(line.items()) == [
        ("level", "warning"),
        ("logger", "pilotage.serve.worker"),
        ("message", "worker 3 died"),
        ("worker", 3),
        ("after_s", 1.5),
        ("where", {"a": [1, None, True]}),
    ]


def test_text_is_one_short_line():
    stream = Terminal()
    configure("auto", "info", stream)
    logging.getLogger("pilotage.serve").info(
        "ready", extra={"port": 8000, "model": "a b", "key": None}
    )
    (line,) = stream.getvalue().splitlines()
    assert line[8:] == ' info    serve: ready port=8000 model="a b"'


@pytest.mark.parametrize(
    ("stream", "log_format", "is_json"),
    [
        (io.StringIO(), "auto", True),
        (Terminal(), "auto", False),
        (Terminal(), "json", True),
        (io.StringIO(), "text", False),
    ],
)
def test_auto_is_text_on_a_terminal_only(stream, log_format, is_json):
    configure(log_format, "info", stream)
    logging.getLogger("pilotage").info("hello")
    assert stream.getvalue().startswith("{") is is_json


def test_configuring_again_replaces_the_stream_and_the_level():
    first, second = io.StringIO(), io.StringIO()
    configure("json", "debug", first)
    configure("json", "error", second)
    logging.getLogger("pilotage").warning("too soft")
    logging.getLogger("pilotage").error("loud")
    assert first.getvalue() == ""
    assert [line["message"] for line in written(second)] == ["loud"]


def test_libraries_are_heard_from_warning_on():
    stream = io.StringIO()
    configure("json", "debug", stream)
    logging.getLogger("pilotage.serve").debug("ours")
    logging.getLogger("httpx").info("theirs")
    logging.getLogger("httpx").warning("their warning")
    assert [line["message"] for line in written(stream)] == ["ours", "their warning"]


def test_uvicorn_logs_here_and_not_its_accesses():
    import uvicorn

    uvicorn.Config("x:y")  # installs uvicorn's own handlers
    stream = io.StringIO()
    configure("json", "info", stream)
    uvicorn.Config("x:y", log_config=None)
    logging.getLogger("uvicorn.error").info("Started server process")
    logging.getLogger("uvicorn.error").error("Exception in ASGI application")
    logging.getLogger("uvicorn.access").info('127.0.0.1 - "GET /v1/models" 200')
    assert [line["message"] for line in written(stream)] == ["Exception in ASGI application"]
    assert not logging.getLogger("uvicorn.access").hasHandlers()


def test_the_access_record_has_its_fields():
    stream = io.StringIO()
    configure("json", "info", stream)
    log_access(RECORD, request_id="req-1", key="abcd1234", finish_reason="stop")
    (line,) = written(stream)
    line.pop("ts")
    assert line == {
        "level": "info",
        "logger": "pilotage.access",
        "message": "/v1/chat/completions 200",
        "request_id": "req-1",
        "key": "abcd1234",
        "endpoint": "/v1/chat/completions",
        "model": "smollm2",
        "status": 200,
        "prompt_tokens": 30,
        "completion_tokens": 9,
        "ttft_ms": 41.234,
        "duration_ms": 180.0,
        "finish_reason": "stop",
    }


def test_the_access_record_tells_how_long_a_request_waited():
    stream = io.StringIO()
    configure("json", "info", stream)
    log_access(dataclasses.replace(RECORD, queue_s=0.0125), request_id="req-1", key=None)
    (line,) = written(stream)
    assert line["queue_ms"] == 12.5


def test_the_access_record_is_silent_above_info():
    stream = io.StringIO()
    configure("json", "warning", stream)
    log_access(RECORD, request_id="req-1", key=None)
    assert stream.getvalue() == ""


@pytest.mark.parametrize("log_format", ["json", "text"])
def test_a_secret_is_masked_wherever_it_appears(log_format):
    # pytest's own handlers fail a test for a wrong logging call, and one is made here.
    logging.getLogger().handlers.clear()
    stream = io.StringIO()
    configure(log_format, "info", stream)
    log = logging.getLogger("pilotage")
    log.info("key %s", KEY)
    log.info(
        f"key {KEY}",
        extra={"header": f"Bearer {KEY}", "nested": {"list": [(KEY, b"Bearer s3cr3tS")]}},
    )
    log.info("from %s", "https://bob:s3cr3tS@host/path", extra={KEY: 1, "authorization": "s3cr3tS"})
    log.info("wrong %d", KEY)
    log.info("split %s%s", KEY[:20], KEY[20:])
    log.info(ValueError(KEY))
    try:
        fail(f"no such key: {KEY}")
    except ValueError:
        log.exception("failed")
    log.info("long %s", "x" * (MAX_FIELD_CHARS - 30) + "https://bob:" + "s3cr3tS" * 50 + "@host/")
    text = stream.getvalue()
    assert len(text.splitlines()) >= 8
    assert "SSSS" not in text
    assert "s3cr3t" not in text
    assert "bob" not in text
    assert "plt_abcd1234_***" in text


def test_newlines_forge_no_record():
    stream = Terminal()
    configure("text", "info", stream)
    forged = "x\n12:00:00 error   serve: all is lost\r\x1b[2K\u2028y\x85z"
    log = logging.getLogger("pilotage")
    log.info("model %s", forged, extra={"model": forged, "bad\nname": 1})
    try:
        fail(forged)
    except ValueError:
        log.exception("failed")
    first, second, *details = stream.getvalue().splitlines()
    assert "\\n12:00:00 error" in first
    assert second.endswith("failed")
    assert details
    assert all(line.startswith("    ") for line in details)
    assert "\x1b" not in stream.getvalue()


def test_a_traceback_is_one_json_field():
    stream = io.StringIO()
    configure("json", "info", stream)
    try:
        fail("a\nb")
    except ValueError:
        logging.getLogger("pilotage").exception("failed")
    (line,) = written(stream)
    assert line["exception"].startswith("Traceback (most recent call last):\n")
    assert line["exception"].endswith("ValueError: a\nb")


def strange_values() -> list[object]:
    loop: list[object] = []
    loop.append(loop)
    deep: object = "bottom"
    for _ in range(5000):
        deep = [deep]
    return [
        loop,
        deep,
        Unprintable(),
        {Unprintable(): Unprintable()},
        {1, 2},
        b"\xff",
        float("nan"),
        10**5000,
        "\ud800",
        object,
        datetime.now(),
        list(range(10**5)),
        "y" * 10**6,
    ]


@pytest.mark.parametrize("formatter", [JsonFormatter(), TextFormatter()])
def test_no_value_breaks_a_line(formatter):
    for strange in strange_values():
        for made in (
            record("with", field=strange),
            record(strange),
            record("%s %d", strange, strange),
        ):
            line = formatter.format(made)
            assert "\n" not in line
            assert len(line) < 50_000
            line.encode()
            if isinstance(formatter, JsonFormatter):
                json.loads(line, parse_constant=pytest.fail)


def test_a_field_named_like_ours_does_not_replace_it():
    entry = json.loads(
        JsonFormatter().format(record("hello", level="forged", ts="forged", logger="x"))
    )
    assert (entry["level"], entry["logger"], entry["message"]) == ("info", "pilotage.x", "hello")
    assert (entry["level_"], entry["ts_"], entry["logger_"]) == ("forged", "forged", "x")


@given(st.text(), st.dictionaries(st.text(min_size=1), st.text() | st.integers() | st.floats()))
def test_any_text_is_one_line_that_parses(message, fields):
    made = record("%s", message, fields=fields)
    assert "\n" not in TextFormatter().format(made)
    line = JsonFormatter().format(made)
    assert line.isascii()
    assert isinstance(json.loads(line), dict)


def test_a_stream_that_cannot_hold_a_character_gets_an_escape():
    raw = io.BytesIO()
    configure("text", "info", io.TextIOWrapper(raw, encoding="ascii", write_through=True))
    logging.getLogger("pilotage").info("café")
    assert raw.getvalue().endswith(b"caf\\xe9\n")


def test_a_closed_stream_takes_nobody_down(capfd):
    stream = io.StringIO()
    configure("json", "info", stream)
    stream.close()
    logging.getLogger("pilotage").info("key %s", KEY)
    assert capfd.readouterr() == ("", "")


def test_standard_error_is_the_stream_of_a_process():
    code = (
        "import logging, pilotage.serve.telemetry.logs as logs; logs.configure('auto', 'info');"
        "logging.getLogger('pilotage').info('up')"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == ""
    assert json.loads(ran.stderr)["message"] == "up"
