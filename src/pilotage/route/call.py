"""One request as the router sees it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A chat request in OpenAI's form, checked, on its way to one tier or several.

    Attributes:
        body: The request's body without ``model`` and ``stream``: ``messages`` and whatever else
            OpenAI's API has (``max_tokens``, ``tools``, ``response_format`` …). Never changed.
        request_id: The same for all attempts of a request.
        key_id: The API key that pays; None on an open server.
        deadline: On `time.monotonic`'s clock: no attempt goes on after it.
    """

    body: Mapping[str, Any]
    request_id: str
    key_id: str | None = None
    deadline: float = field(default=float("inf"))

    @property
    def messages(self) -> Sequence[Mapping[str, Any]]:
        """The conversation, the newest message last."""
        messages: Sequence[Mapping[str, Any]] = self.body["messages"]
        return messages

    @property
    def prompt(self) -> str:
        """The text of the last message that a user wrote; empty where there is none."""
        for message in reversed(self.messages):
            if message.get("role") == "user":
                return text_of(message.get("content"))
        return ""

    @property
    def images(self) -> int:
        """Images of the whole conversation."""
        return sum(
            part.get("type") == "image_url"
            for message in self.messages
            if isinstance(message.get("content"), list)
            for part in message["content"]
            if isinstance(part, Mapping)
        )

    @property
    def max_tokens(self) -> int | None:
        """The longest answer that is wanted; None leaves it to the model."""
        for name in ("max_completion_tokens", "max_tokens"):
            value = self.body.get(name)
            if isinstance(value, int):
                return value
        return None

    def with_body(self, **fields: Any) -> Call:
        """The same request with other fields; a field of None is left out."""
        body = {**self.body, **fields}
        return replace(
            self, body={name: value for name, value in body.items() if value is not None}
        )


def text_of(content: Any) -> str:
    """The text of a message's content, which is a text or a list of parts."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    texts = (part.get("text") for part in content if isinstance(part, Mapping))
    return "\n".join(text for text in texts if isinstance(text, str))
