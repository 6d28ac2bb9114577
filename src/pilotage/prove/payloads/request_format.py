"""How a prompt becomes the body of a request."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import msgspec

from pilotage.errors import UsageError
from pilotage.prove.payload import Payload
from pilotage.prove.payloads.image import Image
from pilotage.prove.payloads.multipart import encode_form

Api = Literal["chat", "completions", "infer"]
"""``/v1/chat/completions``, ``/v1/completions``, or our own multipart ``/infer``."""

_LIMITS: Final = ("max_completion_tokens", "max_tokens")
_OURS: Final = frozenset(
    {
        "model",
        "messages",
        "prompt",
        "text_prompt",
        "image",
        "stream",
        "stream_options",
        "max_new_tokens",
        "ignore_eos",
        *_LIMITS,
    }
)
# Usage comes in a stream only when it is asked for, and without it the server's own count of
# tokens is unknown.
_WITH_USAGE: Final = {"include_usage": True}


@dataclass(frozen=True)
class RequestFormat:
    """The API that requests are for, and the fields that all of them share.

    Attributes:
        api: Which API.
        model: The model's name in every request. Not sent to ``/infer``, which serves one.
        stream: Ask for the answer as a stream.
        ignore_eos: Ask the server to go on until the token limit, which makes the lengths of
            answers exact. vLLM, SGLang and our own server know the field; OpenAI's refuses it.
            Only sent with requests that have a limit: without one they would fill the context.
        include_usage: Ask for token counts in streams; False for servers that refuse the field.
        extra: More fields of every request, such as ``temperature``. Nothing is sent that is not
            asked for here.
        limit_field: The field that carries the token limit. OpenAI's chat API has renamed it to
            ``max_completion_tokens``, and its reasoning models refuse the old name; the old one
            is the default because every compatible server knows it and some know no other.

    Raises:
        UsageError: `extra` has a field that is set otherwise, or a value that is no JSON.
    """

    api: Api
    model: str
    stream: bool = True
    ignore_eos: bool = False
    include_usage: bool = True
    extra: Mapping[str, Any] = field(default_factory=dict)
    limit_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"

    def __post_init__(self) -> None:
        if taken := sorted(_OURS & self.extra.keys()):
            raise UsageError(
                f"{taken[0]} cannot be given as an extra field: the workload and the other "
                "options set it",
                where="extra",
            )
        try:
            msgspec.json.encode(self.extra)
        except (TypeError, ValueError, RecursionError) as error:
            raise UsageError(f"is not JSON: {error}", where="extra") from None

    def encode(
        self,
        prompt: str,
        *,
        images: Sequence[Image] = (),
        max_tokens: int | None = None,
        prompt_tokens: int | None = None,
    ) -> Payload:
        """The request for the text `prompt` with `images`.

        Args:
            prompt: The text; a chat of one user message.
            images: Sent beside it.
            max_tokens: The most tokens of the answer; None leaves it to the server.
            prompt_tokens: Tokens of the prompt, for the payload's record.

        Raises:
            UsageError: Images for the completions API, which has no place for them.
        """
        if self.api == "infer":
            return self._form(prompt, images, max_tokens, prompt_tokens)
        if self.api == "completions":
            if images:
                raise UsageError(
                    "the completions API takes no images", hint="Use the chat or the infer API"
                )
            content: dict[str, Any] = {"prompt": prompt}
        else:
            parts = prompt if not images else [{"type": "text", "text": prompt}, *_parts(images)]
            content = {"messages": [{"role": "user", "content": parts}]}
        return self._json(content, max_tokens, prompt_tokens, len(images))

    def encode_messages(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        images: Sequence[Image] = (),
        max_tokens: int | None = None,
        prompt_tokens: int | None = None,
    ) -> Payload:
        """The chat request for `messages`; `images` join the last message of the user.

        Raises:
            UsageError: The API is not chat, or there is no user message to carry the images.
        """
        if self.api != "chat":
            raise UsageError(
                f"messages need the chat API, not {self.api}", hint="Give a prompt instead"
            )
        if images:
            messages = _with_images(messages, images)
        return self._json({"messages": messages}, max_tokens, prompt_tokens, len(images))

    def encode_body(
        self, body: Mapping[str, Any], *, prompt_tokens: int | None = None, images: int = 0
    ) -> Payload:
        """The request with the JSON fields of `body`; what it does not say is filled in.

        Raises:
            UsageError: The API is ``infer``, which takes no JSON.
        """
        if self.api == "infer":
            raise UsageError("a whole JSON body cannot be sent to the infer API")
        limit = next((body[name] for name in _LIMITS if body.get(name) is not None), None)
        limit = limit if isinstance(limit, int) and not isinstance(limit, bool) else None
        fields = {"model": self.model, **self._shared(limit), **body}
        if fields.get("stream") is True and self.include_usage:
            fields["stream_options"] = {**(fields.get("stream_options") or {}), **_WITH_USAGE}
        elif fields.get("stream") is not True:
            fields.pop("stream_options", None)
        return Payload(
            body=msgspec.json.encode(fields),
            prompt_tokens=prompt_tokens,
            asked_tokens=limit,
            stream=fields.get("stream") is True,
            images=images,
        )

    def _json(
        self,
        content: Mapping[str, Any],
        max_tokens: int | None,
        prompt_tokens: int | None,
        images: int,
    ) -> Payload:
        fields = {"model": self.model, **content, **self._shared(max_tokens)}
        if max_tokens is not None:
            fields[self.limit_field if self.api == "chat" else "max_tokens"] = max_tokens
        return Payload(
            body=msgspec.json.encode(fields),
            prompt_tokens=prompt_tokens,
            asked_tokens=max_tokens,
            stream=self.stream,
            images=images,
        )

    def _shared(self, limit: int | None) -> dict[str, Any]:
        fields: dict[str, Any] = {"stream": self.stream}
        if self.stream and self.include_usage:
            fields["stream_options"] = _WITH_USAGE
        if self.ignore_eos and limit is not None:
            fields["ignore_eos"] = True
        return fields | dict(self.extra)

    def _form(
        self, prompt: str, images: Sequence[Image], limit: int | None, prompt_tokens: int | None
    ) -> Payload:
        fields = {"text_prompt": prompt}
        if self.model:
            fields["model"] = self.model
        if limit is not None:
            fields["max_new_tokens"] = str(limit)
            if self.ignore_eos:
                fields["ignore_eos"] = "true"
        if self.stream:
            fields["stream"] = "true"
        for name, value in self.extra.items():
            text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
            fields[name] = text
        body, content_type = encode_form(fields, images)
        return Payload(
            body=body,
            content_type=content_type,
            prompt_tokens=prompt_tokens,
            asked_tokens=limit,
            stream=self.stream,
            images=len(images),
        )


def _parts(images: Sequence[Image]) -> list[dict[str, Any]]:
    return [
        {
            "type": "image_url",
            "image_url": {
                "url": f"data:{image.media_type};base64,{b64encode(image.data).decode()}"
            },
        }
        for image in images
    ]


def _with_images(
    messages: Sequence[Mapping[str, Any]], images: Sequence[Image]
) -> list[Mapping[str, Any]]:
    changed = list(messages)
    for place in reversed(range(len(changed))):
        if changed[place].get("role") == "user":
            content = changed[place].get("content")
            before = [{"type": "text", "text": content}] if isinstance(content, str) else content
            changed[place] = {**changed[place], "content": [*(before or ()), *_parts(images)]}
            return changed
    raise UsageError("there is no user message to carry the images")
