"""One line of a user's file of prompts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from pilotage.errors import UsageError
from pilotage.prove.payloads.request_format import Api
from pilotage.units import printable

_PROMPT_KEYS: Final = ("prompt", "messages", "max_tokens", "image", "images")
_BODY_KEYS: Final = ("body", "custom_id", "method", "url")
_FORMS: Final = (
    'A line is a JSON string, {"prompt": …}, {"messages": […]}, {"body": {…}}, or a line of '
    "OpenAI's batch input"
)
_PATHS: Final[Mapping[Api, str]] = {
    "chat": "/chat/completions",
    "completions": "/completions",
    "infer": "/infer",
}


@dataclass(frozen=True, slots=True)
class PromptLine:
    """What a line asks for: exactly one of `prompt`, `messages` and `body`.

    Attributes:
        prompt: A text.
        messages: A conversation, as in the OpenAI API.
        body: The JSON fields of a whole request.
        max_tokens: Token limit of the answer, if the line says so.
        images: Files to send with it.
    """

    prompt: str | None = None
    messages: tuple[Mapping[str, Any], ...] | None = None
    body: Mapping[str, Any] | None = None
    max_tokens: int | None = None
    images: tuple[Path, ...] = ()


def parse_line(line: bytes, *, api: Api, folder: Path, where: str) -> PromptLine:
    """The request that `line` asks for.

    Args:
        line: JSON.
        api: The API it is meant for.
        folder: What image paths are relative to.
        where: ``file:line``, for errors.

    Raises:
        UsageError: It is no JSON or none of the known forms, or does not suit the API.
    """
    try:
        value = msgspec.json.decode(line)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise UsageError(f"this is not JSON ({error})", where=where, hint=_FORMS) from None
    if isinstance(value, str):
        value = {"prompt": value}
    if not isinstance(value, dict):
        raise UsageError("this is no prompt", where=where, hint=_FORMS)
    forms = [name for name in ("prompt", "messages", "body") if name in value]
    if len(forms) != 1:
        found = " and ".join(forms) if forms else ", ".join(map(_shown, value)) or "nothing"
        raise UsageError(
            f"should have one of prompt, messages and body, has {found}", where=where, hint=_FORMS
        )
    known = _BODY_KEYS if forms == ["body"] else _PROMPT_KEYS
    if unknown := [_shown(key) for key in value if key not in known]:
        noun = "key" if len(unknown) == 1 else "keys"
        raise UsageError(
            f"unknown {noun} {', '.join(unknown)} beside {forms[0]}",
            where=where,
            hint=f"Known are {', '.join(known)}; other fields of a request go into body",
        )
    if forms == ["body"]:
        return PromptLine(body=_body(value, api, where))
    return PromptLine(
        prompt=_prompt(value["prompt"], where) if "prompt" in value else None,
        messages=_messages(value["messages"], api, where) if "messages" in value else None,
        max_tokens=_max_tokens(value.get("max_tokens"), where),
        images=_images(value, api, folder, where),
    )


def _prompt(value: object, where: str) -> str:
    if not isinstance(value, str):
        raise UsageError("prompt should be a string", where=where)
    if not value:
        raise UsageError("the prompt is empty", where=where)
    return value


def _messages(value: object, api: Api, where: str) -> tuple[Mapping[str, Any], ...]:
    if api != "chat":
        raise UsageError(f"messages need the chat API, not {api}", where=where)
    if not isinstance(value, list) or not value:
        raise UsageError("messages should be a list of at least one", where=where)
    if not all(isinstance(message, dict) and "role" in message for message in value):
        raise UsageError("each message should be an object with a role", where=where)
    return tuple(value)


def _max_tokens(value: object, where: str) -> int | None:
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise UsageError("max_tokens should be a whole number from 1 on", where=where)
    return value


def _images(value: Mapping[str, Any], api: Api, folder: Path, where: str) -> tuple[Path, ...]:
    given = [value[name] for name in ("image", "images") if value.get(name) is not None]
    if len(given) > 1:
        raise UsageError("has both image and images", where=where, hint="Use one of them")
    names = given[0] if given and isinstance(given[0], list) else given
    if not all(isinstance(name, str) and name and "\0" not in name for name in names):
        raise UsageError("image should be a path, images a list of paths", where=where)
    if names and api == "completions":
        raise UsageError("the completions API takes no images", where=where)
    return tuple(folder / name for name in names)


def _body(value: Mapping[str, Any], api: Api, where: str) -> Mapping[str, Any]:
    body = value["body"]
    if api == "infer":
        raise UsageError("a whole JSON body cannot be sent to the infer API", where=where)
    if value.get("method") not in (None, "POST"):
        raise UsageError(f"method should be POST, got {_shown(value['method'])}", where=where)
    url = value.get("url")
    if url is not None and not _suits(url, api):
        raise UsageError(
            f"is for {_shown(url)}, and this test is of the {api} API",
            where=where,
            hint="Choose the other API, or keep the file to one",
        )
    if not isinstance(body, dict):
        raise UsageError("body should be an object", where=where)
    needed = "messages" if api == "chat" else "prompt"
    if not body.get(needed):
        raise UsageError(f"the body has no {needed}, which the {api} API needs", where=where)
    if api == "chat":
        _messages(body["messages"], api, where)
    if not isinstance(body.get("stream_options") or {}, dict):
        raise UsageError("stream_options should be an object", where=where)
    return body


def _suits(url: object, api: Api) -> bool:
    if not isinstance(url, str) or not url.endswith(_PATHS[api]):
        return False
    return api == "chat" or not url.endswith(_PATHS["chat"])


def _shown(value: object) -> str:
    text = printable(str(value))
    return f'"{text if len(text) <= 40 else text[:36] + "…"}"'
