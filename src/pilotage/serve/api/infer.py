"""``POST /infer``: a prompt and images as a form, the answer as one text."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from pilotage.serve.api.answer_format import (
    Envelope,
    FinishedChoice,
    encode,
    fingerprint,
    new_id,
    usage_of,
)
from pilotage.serve.api.chat_format import ChatFormat
from pilotage.serve.api.context import GatewayContext, ServedModel
from pilotage.serve.api.errors import ApiError
from pilotage.serve.api.exchange import Exchange
from pilotage.serve.api.generations import answer_conversation
from pilotage.serve.api.image_parts import Conversation, SentImage
from pilotage.serve.api.infer_form import InferRequest, field_of_form, fields_of
from pilotage.serve.api.lifted_body import has_eyes
from pilotage.serve.api.multipart import IMAGE, Form, FormRules, read_form
from pilotage.serve.api.submission import engine_name, find_model
from pilotage.serve.api.validation import parse
from pilotage.serve.api.worker_path import choose_model


async def answer_infer(context: GatewayContext, request: Request) -> Response:
    """The response to a form.

    Raises:
        ApiError: It does not fit.
    """
    exchange = Exchange.of(request.scope)
    exchange.operation = "chat"
    rules = FormRules(
        texts=InferRequest.model_fields.keys(),
        max_text_bytes=context.limits.max_body_bytes,
        has_eyes=has_eyes(context),
        longest_s=context.limits.request_timeout_s,
    )
    form = await read_form(request, rules, context.images)
    try:
        return await _answer(context, request, exchange, form)
    except ApiError as error:
        error.param = field_of_form(error.param)
        raise
    finally:
        form.close()


class InferFormat(ChatFormat):
    """Writes the answer to a form: whole as one text, as a stream like chat."""

    def __init__(self, envelope: Envelope, model: ServedModel) -> None:
        super().__init__(envelope, model.tokenizer, logprobs=False, top_logprobs=False)
        self._head = {"id": envelope.id, "model": envelope.model}

    def whole(
        self, choices: list[FinishedChoice], prompt_tokens: int, completion_tokens: int
    ) -> bytes:
        """The answer in one."""
        (choice,) = choices
        return encode(
            self._head
            | {
                "text": choice.text,
                "finish_reason": choice.finish_reason,
                "usage": usage_of(prompt_tokens, completion_tokens),
            }
        )


async def _answer(
    context: GatewayContext, request: Request, exchange: Exchange, form: Form
) -> Response:
    body = fields_of(form.texts)
    choose_model(exchange, body)
    wanted = parse(InferRequest, body)
    model = find_model(context, wanted.model)
    exchange.model = model.name
    chat = wanted.as_chat(model.name)
    envelope = Envelope(
        id=new_id("infer"),
        model=model.name,
        fingerprint=fingerprint(model.name, engine_name(model.info())),
        with_usage=True,
    )
    return await answer_conversation(
        context,
        request,
        model,
        chat,
        _conversation(wanted.text_prompt, form),
        answer=InferFormat(envelope, model),
    )


def _conversation(prompt: str, form: Form) -> Conversation:
    """One message of the user: the images, then the text, as models are trained to read it."""
    images = tuple(SentImage(IMAGE, upload) for upload in form.images)
    content = [*({"type": "image"} for _ in images), {"type": "text", "text": prompt}]
    return Conversation([{"role": "user", "content": content if images else prompt}], images)
