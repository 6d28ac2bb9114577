"""The body of a routed chat request: checked as far as it concerns this server.

What a provider understands is its own business: fields that it has are passed through. Where all
tiers are this server's own models, the whole body is checked as for any of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field

from pilotage.serve.api.chat_request import MAX_MESSAGES
from pilotage.serve.api.errors import ApiError, invalid, unsupported
from pilotage.serve.api.forwarding import check_passed_on

_ROLES: Final = frozenset({"system", "developer", "user", "assistant", "tool", "function"})


class RoutedChatRequest(BaseModel):
    """A conversation for ``routing.model`` or a tier; fields that the provider has pass through."""

    model_config = ConfigDict(extra="allow")

    model: Annotated[str, Field(min_length=1, max_length=512, description="auto, or a tier.")]
    messages: Annotated[
        list[dict[str, Any]],
        Field(
            min_length=1,
            max_length=MAX_MESSAGES,
            description="In OpenAI's form; images as data: URLs. How many is routing.max_history.",
        ),
    ]
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    stream: bool | None = None
    stream_options: dict[str, Any] | None = None
    n: Annotated[int, Field(ge=1, le=1, description="One answer.")] | None = None


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a routed body asks for, beside the answer.

    Attributes:
        stream: Whether it is read as it comes.
        with_usage: Whether a stream ends with the token counts.
        max_tokens: The longest answer.
    """

    stream: bool
    with_usage: bool
    max_tokens: int | None


def check_body(body: dict[str, Any], *, max_history: int, raw: bool) -> Wanted:
    """Check the body of a routed request.

    Args:
        body: As it was decoded.
        max_history: Most messages.
        raw: The answer goes through as the provider writes it.

    Raises:
        ApiError: It cannot be passed on.
    """
    _check_messages(body.get("messages"), max_history)
    check_passed_on(body)
    stream = body.get("stream")
    if stream is not None and not isinstance(stream, bool):
        raise invalid("stream", "'stream' must be true or false.")
    if body.get("n") not in (None, 1) or isinstance(body.get("n"), bool | float):
        raise unsupported("n", "A routed request has one answer: leave 'n' out.")
    if not raw and (body.get("logprobs") or body.get("top_logprobs")):
        raise unsupported(
            "logprobs", "Routed answers come without log-probabilities; ask a model by its name."
        )
    options = body.get("stream_options")
    if options is not None and not isinstance(options, dict):
        raise invalid("stream_options", "'stream_options' must be an object.")
    if options is not None and not stream:
        raise invalid("stream_options", "'stream_options' is for requests with stream: true.")
    longest = body.get("max_completion_tokens")
    return Wanted(
        stream=bool(stream),
        with_usage=options is not None and options.get("include_usage") is True,
        max_tokens=body.get("max_tokens") if longest is None else longest,
    )


def _check_messages(messages: Any, max_history: int) -> None:
    if messages is None:
        raise ApiError(
            "'messages': this field is required.",
            code="missing_required_parameter",
            param="messages",
        )
    if not isinstance(messages, list) or not messages:
        raise invalid("messages", "'messages' must be a list of at least one message.")
    if len(messages) > max_history:
        raise ApiError(
            f"The conversation has {len(messages)} messages; at most {max_history} are taken.",
            code="history_too_long",
            param="messages",
        )
    for index, message in enumerate(messages):
        place = f"messages[{index}]"
        if not isinstance(message, dict):
            raise invalid(place, f"'{place}' must be an object.")
        if message.get("role") not in _ROLES:
            raise invalid(f"{place}.role", f"'{place}.role' must be one of {', '.join(_NAMED)}.")
        if not isinstance(message.get("content"), str | list | None):
            raise invalid(f"{place}.content", f"'{place}.content' must be text or a list of parts.")


_NAMED: Final = ("system", "developer", "user", "assistant", "tool")
