"""``POST /moderate``: SAFE, WARN or BLOCK for a text, or for several."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from pilotage.route.answer import Answer, Usage
from pilotage.route.backends.backend import BackendError
from pilotage.route.call import Call
from pilotage.route.handler.chat_form import usage_form
from pilotage.route.handler.chat_request import read_object
from pilotage.route.handler.config import HandlerConfig
from pilotage.route.handler.event import Request
from pilotage.route.handler.moderation import Judgement, failed, judgement, new_mark, request_body
from pilotage.route.handler.refusal import Refusal
from pilotage.route.handler.whole import whole
from pilotage.route.router import Router

MAX_TEXTS: Final = 64
MAX_TEXT_CHARS: Final = 20_000
"""Longer ones are refused: a moderator that judges only their beginning is easily got around."""

_AT_ONCE: Final = 8
"""Texts of a request that are judged at the same time."""


@dataclass(frozen=True, slots=True)
class ModerationRequest:
    """Texts to judge; ``several`` if they came as a list, which decides the answer's form."""

    texts: Sequence[str]
    several: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Judged:
    judgement: Judgement
    tier: str | None = None
    usage: Usage | None = None
    error: BackendError | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Moderation:
    """What came of a request.

    Attributes:
        body: For the client, without ``pilotage``.
        tiers: Who judged, each once.
        estimated: Some of the usage is.
    """

    body: dict[str, Any]
    tiers: Sequence[str]
    estimated: bool


def read_moderation(request: Request) -> ModerationRequest:
    """The texts in a request.

    Raises:
        Refusal: It is wrong.
    """
    fields = read_object(request)
    unknown = sorted(fields.keys() - {"text", "texts"})
    if unknown or len(fields) != 1:
        raise Refusal('Give either "text" or "texts", and nothing else.', param="text")
    several = "texts" in fields
    texts = fields["texts"] if several else [fields["text"]]
    if not isinstance(texts, list) or not 1 <= len(texts) <= MAX_TEXTS:
        raise Refusal(f"texts should be a list of 1 to {MAX_TEXTS} texts.", param="texts")
    for index, text in enumerate(texts):
        where = f"texts[{index}]" if several else "text"
        if not isinstance(text, str) or not text:
            raise Refusal(f"{where} should be a text that is not empty.", param=where)
        if len(text) > MAX_TEXT_CHARS:
            raise Refusal(
                f"{where} is longer than {MAX_TEXT_CHARS} characters. Send it in parts: a part "
                "that may not be published decides for all.",
                status=413,
                code="text_too_long",
                param=where,
            )
    return ModerationRequest(texts, several)


async def moderate(
    asked: ModerationRequest,
    router: Router,
    *,
    model: str,
    config: HandlerConfig,
    request_id: str,
    deadline: float,
) -> Moderation:
    """Have texts judged.

    A text whose judgement is of no use, or did not come, gets ``config.failed_verdict``.

    Args:
        asked: The texts.
        router: Who judges.
        model: What to ask it for.
        config: The verdict on failure, the house's rules, the answer's format.
        request_id: All attempts are the request's.
        deadline: As in `Call`.

    Raises:
        BackendError: There is not one judgement, because no backend answers.
    """
    slots = asyncio.Semaphore(_AT_ONCE)

    async def one(text: str) -> _Judged:
        mark = new_mark()
        call = Call(
            body=request_body(text, mark, rules=config.rules, answer_format=config.answer_format),
            request_id=request_id,
            deadline=deadline,
        )
        async with slots:
            try:
                answer, tier = await _answered(router, call, model)
            except BackendError as error:
                why = (
                    "no model answered in time" if error.fault == "timeout" else "no model answered"
                )
                return _Judged(judgement=failed(why, config.failed_verdict), error=error)
        return _Judged(
            judgement=judgement(answer, mark, config.failed_verdict), tier=tier, usage=answer.usage
        )

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(text)) for text in asked.texts]
    results = [task.result() for task in tasks]
    errors = [result.error for result in results if result.error is not None]
    if len(errors) == len(results):
        raise errors[0]
    usages = [result.usage for result in results if result.usage is not None]
    judgements = [result.judgement.as_dict() for result in results]
    return Moderation(
        body={
            "id": f"moderation-{request_id}",
            "object": "moderation",
            **({"results": judgements} if asked.several else judgements[0]),
            "usage": usage_form(_sum(usages)),
        },
        tiers=sorted({result.tier for result in results if result.tier is not None}),
        estimated=any(usage.estimated for usage in usages),
    )


async def _answered(router: Router, call: Call, model: str) -> tuple[Answer, str]:
    routed = await whole(router, call, model)
    return routed.answer, routed.tier


def _sum(usages: Sequence[Usage]) -> Usage:
    return Usage(
        prompt_tokens=sum(usage.prompt_tokens for usage in usages),
        completion_tokens=sum(usage.completion_tokens for usage in usages),
        cache_read_tokens=sum(usage.cache_read_tokens for usage in usages),
    )
