"""The router as an AWS Lambda function: ``pilotage.route.handler.handler``.

Configured by environment variables (`HandlerConfig`) and a spec with ``routing:`` in the package.
It answers events of function URLs, HTTP APIs, REST APIs and direct invocations:

======================== ======== ========================================================
``/v1/chat/completions`` ``POST`` OpenAI's chat; directly ``{"messages": […]}`` or
                                  ``{"prompt": "…"}``
``/moderate``            ``POST`` ``{"text": "…"}`` or ``{"texts": […]}``, directly as well
``/v1/models``           ``GET``  the routed name and the tiers
``/health``              ``GET``  asks no model; directly ``{"health": true}``
======================== ======== ========================================================

Who may call is for AWS to decide: IAM on the function URL (``AuthType: AWS_IAM``), an authorizer
or API keys of API Gateway, and CORS in their configuration. The function itself lets everybody in
that reaches it, and sends no CORS headers.

The managed Python runtime returns an answer in one piece: response streaming
(``InvokeMode: RESPONSE_STREAM``) is there for Node.js and custom runtimes only. ``"stream": true``
is answered with the events of a stream, all at once, so that clients need not be changed; the
first token comes with the last.
"""

from __future__ import annotations

import os
from typing import Any

from pilotage.errors import PilotageError
from pilotage.route.handler.container import Container, Context, request_id_of
from pilotage.route.handler.event import kind_of
from pilotage.route.handler.log_sink import log
from pilotage.route.handler.refusal import internal
from pilotage.route.handler.reply import Reply, in_form

__all__ = ["Container", "handler"]

_kept: list[Container] = []


def handler(event: Any, context: Context | None = None) -> dict[str, Any]:
    """Answer an event; what Lambda calls.

    Args:
        event: Any JSON value.
        context: Lambda's; None where somebody else calls.

    Returns:
        The response in the form of the event's kind. It does not raise.
    """
    try:
        container = _container()
    except PilotageError as error:
        request_id = request_id_of(context)
        log("pilotage.misconfigured", request_id=request_id, **error.as_dict())
        return in_form(Reply.of(internal(request_id)), kind_of(event))
    return container.answer(event, context)


def _container() -> Container:
    if not _kept:
        _kept.append(Container(os.environ))
    return _kept[0]


if "AWS_LAMBDA_RUNTIME_API" in os.environ:
    # Nothing else can be written there: a ledger's rows wait beside it while its database is down.
    os.environ.setdefault("PILOTAGE_HOME", "/tmp/pilotage")  # noqa: S108  a container has one user
    # In Lambda importing is the init phase: the function has a whole core then, and what is wrong
    # with the spec is reported as an init error instead of failing every request.
    _container()
