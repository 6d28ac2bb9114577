"""``POST /v1/embeddings``, as the OpenAI API has it."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

import msgspec
import numpy as np
from starlette.requests import Request
from starlette.responses import Response

from pilotage.serve.api.context import GatewayContext, ServedModel
from pilotage.serve.api.embeddings_request import EmbeddingRequest
from pilotage.serve.api.encoding import (
    Floats,
    Truncation,
    run_encoder,
    text_sequences,
    traits_of,
)
from pilotage.serve.api.errors import invalid
from pilotage.serve.api.exchange import Exchange
from pilotage.serve.api.forwarding import forward, forwarded_model
from pilotage.serve.api.submission import find_model
from pilotage.serve.api.tasks import check_task
from pilotage.serve.api.validation import parse

_AT_ONCE = 64


async def answer_embeddings(
    context: GatewayContext, request: Request, body: dict[str, Any]
) -> Response:
    """The response to the body of an embeddings request.

    Raises:
        ApiError: It does not fit, or cannot be answered now.
    """
    if (external := forwarded_model(context, body)) is not None:
        return forward(context, request, external, "/v1/embeddings", body)
    exchange = Exchange.of(request.scope)
    exchange.operation = "embeddings"
    wanted = parse(EmbeddingRequest, body)
    model = find_model(context, wanted.model)
    exchange.model = model.name
    check_task(model, "embed")
    truncation = Truncation.wanted(
        context,
        model,
        truncate=wanted.truncate,
        truncate_prompt_tokens=wanted.truncate_prompt_tokens,
    )
    dimensions = _dimensions(model, wanted.dimensions)
    sequences = await text_sequences(
        model,
        wanted.inputs,
        truncation,
        param="input",
        add_special_tokens=wanted.add_special_tokens is not False,
    )
    vectors = await run_encoder(context, request, model, sequences)
    written = await _written(vectors, dimensions, as_base64=wanted.encoding_format == "base64")
    usage = {"prompt_tokens": exchange.prompt_tokens, "total_tokens": exchange.prompt_tokens}
    head = msgspec.json.encode({"object": "list", "model": model.name, "usage": usage})
    content = head[:-1] + b',"data":[' + b",".join(written) + b"]}"
    return Response(content, media_type="application/json")


def _dimensions(model: ServedModel, wanted: int | None) -> int | None:
    """The length that embeddings are cut to; None for all of it.

    Raises:
        ApiError: The model was not made for that.
    """
    traits = traits_of(model)
    if wanted is None or wanted == traits.hidden:
        return None
    if not traits.dimensions:
        raise invalid(
            "dimensions",
            f"The model '{model.name}' was not trained for shorter embeddings (Matryoshka): "
            f"leave dimensions out.",
        )
    if wanted not in traits.dimensions:
        few = traits.dimensions if len(traits.dimensions) <= 16 else ()
        allowed = ", ".join(map(str, few)) or f"1 to {traits.dimensions[-1]}"
        raise invalid("dimensions", f"dimensions is {wanted}; the model has {allowed}.")
    return wanted


async def _written(
    vectors: list[Floats], dimensions: int | None, *, as_base64: bool
) -> list[bytes]:
    """The entries of ``data`` as JSON; other requests have their turn meanwhile."""
    written = []
    for index, vector in enumerate(vectors):
        if index % _AT_ONCE == _AT_ONCE - 1:
            await asyncio.sleep(0)
        cut = vector if dimensions is None else _cut(vector, dimensions)
        embedding = base64.b64encode(cut.tobytes()).decode() if as_base64 else cut.tolist()
        entry = {"object": "embedding", "index": index, "embedding": embedding}
        written.append(msgspec.json.encode(entry))
    return written


def _cut(vector: Floats, dimensions: int) -> Floats:
    """The first values of a vector, at length 1 again."""
    head = vector[:dimensions]
    return np.asarray(head / max(float(np.linalg.norm(head)), 1e-12), dtype="<f4")
