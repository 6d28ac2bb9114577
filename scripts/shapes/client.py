"""Answers of a running server, over HTTP."""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import httpx
from scripts.shapes.conversation import MAX_NEW_TOKENS
from scripts.shapes.exams import Exam


def answer_over_http(url: str, given: list[Exam], concurrency: int = 8) -> list[str]:
    """Greedy answers of a running server's ``POST /infer``.

    Raises:
        httpx.HTTPStatusError: It refused a question.
    """
    with (
        httpx.Client(base_url=url, timeout=120.0, trust_env=False) as client,
        ThreadPoolExecutor(concurrency) as pool,
    ):
        return list(pool.map(partial(_post, client), given))


def _post(client: httpx.Client, exam: Exam) -> str:
    body = io.BytesIO()
    exam.image.save(body, "PNG")
    response = client.post(
        "/infer",
        data={
            "text_prompt": exam.question.text,
            "max_new_tokens": str(MAX_NEW_TOKENS),
            "temperature": "0",
        },
        files={"image": ("picture.png", body.getvalue(), "image/png")},
    )
    response.raise_for_status()
    return str(response.json()["text"])
