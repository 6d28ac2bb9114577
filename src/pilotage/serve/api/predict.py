"""``POST /v1/predict``: answers to questions about a text, and labels of texts."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import numpy as np
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from pilotage.serve.api.answer_spans import Span, best_spans
from pilotage.serve.api.context import GatewayContext, ServedModel
from pilotage.serve.api.encoding import (
    Floats,
    TokenSequence,
    Truncation,
    run_encoder,
    text_sequences,
    traits_of,
)
from pilotage.serve.api.errors import ApiError, invalid
from pilotage.serve.api.exchange import Exchange
from pilotage.serve.api.predict_request import PredictRequest
from pilotage.serve.api.submission import find_model, known_context_length, tokenized
from pilotage.serve.api.tasks import check_task
from pilotage.serve.api.validation import parse
from pilotage.tokens import PairWindow

_WINDOW_TOKENS: Final = 384
_STRIDE: Final = 128
_ANSWER_TOKENS: Final = 15
_MAX_WINDOWS: Final = 2048

_OF_CLASSIFIERS: Final = ("input", "text", "truncate", "truncate_prompt_tokens")
_OF_READERS: Final = (
    "question",
    "context",
    "max_answer_tokens",
    "max_window_tokens",
    "stride",
    "handle_impossible_answer",
)


async def answer_predict(
    context: GatewayContext, request: Request, body: dict[str, Any]
) -> Response:
    """The response to the body of a predict request; the model's task says what it needs.

    Raises:
        ApiError: It does not fit, or cannot be answered now.
    """
    exchange = Exchange.of(request.scope)
    exchange.operation = "predict"
    wanted = parse(PredictRequest, body)
    model = find_model(context, wanted.model)
    exchange.model = model.name
    check_task(model, "question-answering", "classify")
    reads = model.task == "question-answering"
    for name in _OF_CLASSIFIERS if reads else _OF_READERS:
        if getattr(wanted, name) is not None:
            does = "answers questions" if reads else "classifies"
            needs = "'question' and 'context'" if reads else "'input'"
            raise invalid(name, f"'{name}' means nothing to a model that {does}: it takes {needs}.")
    answer = await (_answers if reads else _labels)(context, request, model, wanted)
    usage = {"prompt_tokens": exchange.prompt_tokens, "total_tokens": exchange.prompt_tokens}
    head = {"object": "prediction", "model": model.name, "task": model.task}
    return JSONResponse({**head, **answer, "usage": usage})


async def _answers(
    context: GatewayContext, request: Request, model: ServedModel, wanted: PredictRequest
) -> dict[str, Any]:
    question, text = _given(wanted.question, "question"), _given(wanted.context, "context")
    windows = await _windows(context, model, wanted, question, text)
    logits = await run_encoder(
        context, request, model, [TokenSequence(w.ids, w.segments) for w in windows]
    )
    spans = await asyncio.to_thread(
        best_spans,
        windows,
        logits,
        top_k=wanted.top_k or 1,
        max_answer_tokens=wanted.max_answer_tokens or _ANSWER_TOKENS,
        allow_none=bool(wanted.handle_impossible_answer),
    )
    answers = [_answer(text, span) for span in spans] or [_answer(text, Span(0, 0, 0.0))]
    return {**answers[0], "answers": answers}


async def _windows(
    context: GatewayContext, model: ServedModel, wanted: PredictRequest, question: str, text: str
) -> list[PairWindow]:
    longest = known_context_length(context, model)
    size = min(wanted.max_window_tokens or _WINDOW_TOKENS, longest)
    stride = min(size // 2, _STRIDE) if wanted.stride is None else wanted.stride
    tokenizer = model.tokenizer
    try:
        windows = await tokenized(
            lambda: tokenizer.encode_pair(question, text, max_tokens=size, stride=stride),
            len(text) + len(question),
        )
    except ValueError:
        raise ApiError(
            f"The question leaves no room for the context in a window of {size} tokens of which "
            f"{stride} are shared with the next.",
            code="context_length_exceeded",
            param="question",
        ) from None
    if len(windows) > _MAX_WINDOWS:
        raise ApiError(
            f"The context takes {len(windows)} windows; at most {_MAX_WINDOWS} are read.",
            code="context_length_exceeded",
            param="context",
        )
    return windows


def _answer(text: str, span: Span) -> dict[str, Any]:
    return {
        "answer": text[span.start : span.end],
        "score": span.score,
        "start": span.start,
        "end": span.end,
    }


async def _labels(
    context: GatewayContext, request: Request, model: ServedModel, wanted: PredictRequest
) -> dict[str, Any]:
    if (wanted.input is None) == (wanted.text is None):
        raise invalid("input", "Give the texts to classify in 'input' (or in 'text').")
    given = wanted.input if wanted.input is not None else wanted.text
    param = "input" if wanted.input is not None else "text"
    truncation = Truncation.wanted(
        context,
        model,
        truncate=wanted.truncate,
        truncate_prompt_tokens=wanted.truncate_prompt_tokens,
    )
    inputs: list[str | list[int]] = [given] if isinstance(given, str) else [*(given or [])]
    sequences = await text_sequences(model, inputs, truncation, param=param)
    logits = await run_encoder(context, request, model, sequences)
    return {
        "data": [
            {"index": index, "labels": _ranked(model, one, wanted.top_k)}
            for index, one in enumerate(logits)
        ]
    }


def _ranked(model: ServedModel, logits: Floats, top_k: int | None) -> list[dict[str, Any]]:
    """The labels with their probabilities, the best first."""
    traits = traits_of(model)
    if traits.multi_label:
        scores = 1.0 / (1.0 + np.exp(-logits.astype(np.float64)))
    else:
        powers = np.exp(logits.astype(np.float64) - logits.max())
        scores = powers / powers.sum()
    best = np.argsort(-scores, kind="stable")[:top_k]
    labels = traits.labels
    return [
        {
            "label": labels[place] if place < len(labels) else f"LABEL_{place}",
            "score": float(scores[place]),
        }
        for place in best.tolist()
    ]


def _given(value: str | None, name: str) -> str:
    if value is None:
        raise ApiError(
            f"'{name}': this field is required.", code="missing_required_parameter", param=name
        )
    return value
