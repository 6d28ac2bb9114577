"""Waiting times, statuses and counts that servers tell."""

import email.utils
import time
from typing import Any

import pytest

from pilotage.route.answer import Usage
from pilotage.route.backends.backend import Fault
from pilotage.route.backends.refusal import refusal, retry_after_s
from pilotage.route.backends.usage import estimated_prompt, estimated_tokens, usage_of
from pilotage.route.call import Call


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({b"retry-after": b"7"}, 7.0),
        ({b"retry-after": b" 0.5 "}, 0.5),
        ({b"retry-after": b"-3"}, 0.0),
        ({b"retry-after": b"soon"}, None),
        ({b"retry-after": b"nan"}, None),
        ({b"retry-after": b"1e999"}, None),
        ({b"retry-after": b"1e9"}, 86_400.0),
        ({b"retry-after": b"Thu, 01 Jan 1970 00:00:00 GMT"}, 0.0),
        ({b"retry-after": b"7", b"retry-after-ms": b"250"}, 0.25),
        ({b"retry-after": b"7", b"retry-after-ms": b"x"}, 7.0),
    ],
)
def test_how_long_to_wait(headers: dict[bytes, bytes], seconds: float | None) -> None:
    assert retry_after_s(headers) == seconds


def test_a_date_to_wait_for() -> None:
    at = email.utils.formatdate(time.time() + 100, usegmt=True).encode()
    seconds = retry_after_s({b"retry-after": at})
    assert seconds is not None
    assert 50 < seconds <= 100


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        (b'{"error": {"message": "too\\nlong", "code": "x"}}', "too long"),
        (b'{"error": "too long"}', "too long"),
        (b'{"detail": "too long"}', "too long"),
        (b'{"message": "too long"}', "too long"),
        (b'{"error": {"message": {"a": 1}}}', None),
        (b'{"detail": [{"loc": ["body"]}]}', None),
        (b"[]", None),
        (b"<html>", None),
        (b"", None),
        (b"[" * 5000, None),
        (b'{"error": "%s"}' % (b"x" * 5000), "x" * 499 + "…"),
    ],
)
def test_what_a_refusal_says(body: bytes, detail: str | None) -> None:
    error = refusal(400, {}, body)
    assert error.fault is Fault.REFUSED
    assert error.detail == detail
    assert "long" not in error.message


def test_an_error_that_may_quote_a_key_quotes_nothing() -> None:
    body = b'{"error": {"message": "Incorrect API key: sk-123", "code": "bad key sk-123"}}'
    error = refusal(401, {}, body)
    assert error.fault is Fault.DENIED
    assert error.detail is None
    assert "sk-123" not in error.message


@pytest.mark.parametrize(
    ("said", "usage"),
    [
        ({"prompt_tokens": 3, "completion_tokens": 0}, Usage(prompt_tokens=3)),
        (
            {
                "prompt_tokens": 3,
                "completion_tokens": 1,
                "prompt_tokens_details": {"cached_tokens": 4},
            },
            Usage(prompt_tokens=3, completion_tokens=1),
        ),
        (
            {"prompt_tokens": 3, "completion_tokens": 1, "prompt_tokens_details": None},
            Usage(prompt_tokens=3, completion_tokens=1),
        ),
        ({"prompt_tokens": True, "completion_tokens": 1}, None),
        ({"prompt_tokens": 3.0, "completion_tokens": 1}, None),
        ({"prompt_tokens": 3}, None),
        ({"prompt_tokens": 3, "completion_tokens": 10**12}, None),
        ("x", None),
        (None, None),
    ],
)
def test_counts_are_believed_if_they_can_be_true(said: Any, usage: Usage | None) -> None:
    assert usage_of(said) == usage


def test_estimates_count_text_tools_and_images() -> None:
    image = {"type": "image_url", "image_url": {"url": "data:..."}}
    body = {
        "messages": [
            {"role": "system", "content": "x" * 40},
            {"role": "user", "content": [{"type": "text", "text": "y" * 40}, image]},
            {"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]},
        ],
        "tools": [{"type": "function"}],
    }
    size = 80 + len('[{"id":"1"}]') + len('[{"type":"function"}]')
    tokens = estimated_prompt(Call(body=body, request_id="r"))
    assert tokens == 765 + 3 * 4 + estimated_tokens(size)
    assert estimated_tokens(0) == 0
    assert estimated_tokens(1) == estimated_tokens(4) == 1
