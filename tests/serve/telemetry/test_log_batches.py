"""Log lines in batches: held for a moment, in their order, and never behind a warning."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import threading
from collections.abc import Iterator

import pytest

from pilotage.serve.telemetry import logs
from pilotage.serve.telemetry.request_record import RequestRecord


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    written = io.StringIO()
    logs.configure("json", "info", written)
    yield written
    logs.configure("json", "warning", io.StringIO())


def said(stream: io.StringIO) -> list[str]:
    return [json.loads(line)["message"] for line in stream.getvalue().splitlines()]


def test_lines_are_written_together_and_warnings_at_once(stream: io.StringIO) -> None:
    log = logging.getLogger("pilotage.test")

    async def run() -> None:
        logs.batch(asyncio.get_running_loop(), interval_s=0.02)
        log.info("one")
        log.info("two")
        assert said(stream) == []
        log.warning("three")
        assert said(stream) == ["one", "two", "three"]
        log.info("four")
        async with asyncio.timeout(10):
            while len(said(stream)) < 4:  # noqa: ASYNC110  written by a timer
                await asyncio.sleep(0.005)
        log.info("five")

    asyncio.run(run())
    for handler in logging.getLogger().handlers:
        handler.flush()  # as at the end of the process
    assert said(stream) == ["one", "two", "three", "four", "five"]


def test_other_threads_wait_for_nobody(stream: io.StringIO) -> None:
    async def run() -> None:
        logs.batch(asyncio.get_running_loop(), interval_s=60)
        thread = threading.Thread(target=logging.getLogger("pilotage.test").info, args=("other",))
        thread.start()
        await asyncio.to_thread(thread.join)
        assert said(stream) == ["other"]

    asyncio.run(run())


def test_an_access_line_that_holds_a_secret_is_redacted(stream: io.StringIO) -> None:
    record = RequestRecord(endpoint="/v1/models", status=200, duration_s=0.5)
    key = f"plt_abcdefgh_{'x' * 43}"
    logs.log_access(record, request_id="plain", key=None)
    logs.log_access(record, request_id=key, key=None)
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [line["request_id"] for line in lines] == ["plain", "plt_abcdefgh_***"]
    assert lines[0].keys() == lines[1].keys()
    assert lines[0]["duration_ms"] == 500.0
