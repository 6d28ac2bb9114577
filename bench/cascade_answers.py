"""Questions with answers that a program can check, and what local models say to them."""

from __future__ import annotations

import asyncio
import json
import random
import re
import time
from collections.abc import Sequence
from pathlib import Path

import httpx
import msgspec

DATA = Path(__file__).parent / "data" / "support_questions.jsonl"
GSM8K = Path(__file__).resolve().parents[2] / "shared" / "data" / "routing" / "gsm8k_test.jsonl"
MAX_TOKENS = 256

_NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?")
_MATHS = "Solve the problem step by step, briefly. End with the line: Answer: <number>"


class Question(msgspec.Struct, frozen=True):
    """One question.

    Attributes:
        id: Such as "support/easy/3".
        messages: In OpenAI's form.
        number: The right number, or None where `pattern` says what is right.
        pattern: A regular expression that is in every right answer, letters' case apart.
    """

    id: str
    messages: list[dict[str, str]]
    number: str | None = None
    pattern: str | None = None

    @property
    def prompt(self) -> str:
        """The text of the user's message."""
        return self.messages[-1]["content"]

    def right(self, text: str) -> bool:
        """Whether an answer is right."""
        if self.number is not None:
            found = _NUMBER.findall(text)
            return bool(found) and float(found[-1].replace(",", "")) == float(self.number)
        assert self.pattern is not None
        # What counts is the end: a model that recites all facts has not answered.
        return re.search(self.pattern, text[-160:].lower()) is not None


class Answered(msgspec.Struct, frozen=True):
    """One model's answer to one question."""

    question: str
    model: str
    text: str
    right: bool
    prompt_tokens: int
    completion_tokens: int
    seconds: float
    logprobs: list[float]


def support_questions() -> list[Question]:
    """The questions that were written for this bench."""
    lines = [json.loads(line) for line in DATA.read_text().splitlines()]
    system = lines[0]["system"]
    return [
        Question(
            f"support/{one['kind']}/{number}",
            [
                {"role": "system", "content": system},
                {"role": "user", "content": one["question"]},
            ],
            pattern=one["answer"],
        )
        for number, one in enumerate(lines[1:])
    ]


def maths_questions(count: int, seed: int = 0) -> list[Question]:
    """Problems of GSM8K's test part (MIT), drawn by a seed."""
    rows = [json.loads(line) for line in GSM8K.read_text().splitlines()]
    chosen = random.Random(seed).sample(range(len(rows)), min(count, len(rows)))
    return [
        Question(
            f"gsm8k/{index}",
            [
                {"role": "system", "content": _MATHS},
                {"role": "user", "content": rows[index]["question"]},
            ],
            number=rows[index]["answer"].split("####")[1].strip().replace(",", ""),
        )
        for index in chosen
    ]


def ask_all(
    base: str, model: str, questions: Sequence[Question], at_once: int = 8
) -> list[Answered]:
    """A model's answers, greedy, so many requests at a time."""
    return asyncio.run(_ask_all(base, model, questions, at_once))


async def _ask_all(
    base: str, model: str, questions: Sequence[Question], at_once: int
) -> list[Answered]:
    turn = asyncio.Semaphore(at_once)
    async with httpx.AsyncClient(timeout=900, trust_env=False) as client:

        async def one(question: Question) -> Answered:
            async with turn:
                began = time.perf_counter()
                answer = await client.post(
                    f"{base}/v1/chat/completions",
                    json={
                        "model": model,
                        "messages": question.messages,
                        "max_tokens": MAX_TOKENS,
                        "temperature": 0,
                        "logprobs": True,
                    },
                )
                took = time.perf_counter() - began
            answer.raise_for_status()
            data = answer.json()
            choice = data["choices"][0]
            text = choice["message"]["content"] or ""
            logprobs = [token["logprob"] for token in (choice["logprobs"] or {})["content"]]
            return Answered(
                question.id,
                model,
                text,
                question.right(text),
                data["usage"]["prompt_tokens"],
                data["usage"]["completion_tokens"],
                took,
                logprobs,
            )

        return list(await asyncio.gather(*(one(question) for question in questions)))
