"""Answers that broke off, and answers that only end oddly."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from pilotage.route.answer import Answer, Usage
from pilotage.route.call import Call
from pilotage.route.verifiers import TruncationVerifier

LONG = "The history of the lighthouse begins in the year 1811, when the harbour was built"


def reason(text: str, finish: str = "stop", usage: int | None = None, **body: Any) -> str:
    call = Call(body={"messages": [{"role": "user", "content": "Hi"}], **body}, request_id="r")
    told = None if usage is None else Usage(completion_tokens=usage)
    answer = Answer(text=text, finish_reason=finish, usage=told)
    found = asyncio.run(TruncationVerifier().verify(call, answer, "small"))
    assert found.fault is (found.score == 0.0)
    return found.reason


def test_a_length_that_nobody_asked_for() -> None:
    assert reason("Once upon", "length") == "cut off at a length"
    assert reason("Once upon", "length", max_tokens=2) == ""
    assert reason("Once upon", "length", usage=2, max_completion_tokens=2) == ""
    # The model's context ended before the client's bound.
    assert reason("Once upon", "length", usage=2, max_tokens=500) == "cut off at a length"


def test_nothing_at_all() -> None:
    assert reason(" \n") == "empty"
    tool = {"function": {"name": "f", "arguments": "{}"}}
    call = Call(body={"messages": []}, request_id="r")
    answer = Answer(tool_calls=(tool,), finish_reason="tool_calls")
    assert asyncio.run(TruncationVerifier().verify(call, answer, "small")).score is None


@pytest.mark.parametrize(
    ("text", "open_"),
    [
        ("See:\n```python\nprint(1)\n", True),
        ("See:\n```python\nprint(1)\n```\n", False),
        ("```\na\n```\n```\nb\n```", False),
        ("```\na\n```\n```\nb\n", True),
        ("````\n```\ninside\n```\n````", False),
        ("~~~\ncode\n~~~", False),
        ("~~~\ncode\n```", True),
        ("```\n```python\ncode\n```", False),
        ("Use ``` for code.", False),
        ("```", True),
    ],
)
def test_code_blocks(text: str, open_: bool) -> None:
    assert reason(text) == ("a code block is not closed" if open_ else "")
    assert reason(text, stop=["```"]) == ""


@pytest.mark.parametrize("end", [" and", " of the", ",", " (", " weil", " et", " because", " -"])
def test_the_middle_of_a_sentence(end: str) -> None:
    assert reason(LONG + end) == "ends inside a sentence"
    assert reason(LONG + end, stop="\n") == ""
    assert reason("So" + end) == ""


@pytest.mark.parametrize(
    "end", [".", "", " !", " 1.", ":", '"', "sand", " }", "。", " vitamin A", " x and y", "\n\n---"]
)
def test_other_ends(end: str) -> None:
    assert reason(LONG + end) == ""
