"""OpenAI's conversation as Converse's: system blocks, and turns of user and assistant."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from pilotage.route.backends.bedrock_content import (
    MOST_IMAGES,
    content_blocks,
    refused,
    text_blocks,
)
from pilotage.route.backends.bedrock_families import Family
from pilotage.route.backends.bedrock_tools import call_blocks, result_block

_START: Final = "(The conversation starts.)"
"""The user's turn before an assistant's greeting: Converse wants a user's first."""


def converse_messages(
    messages: Any, *, tools: bool, family: Family
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """System blocks and messages.

    Neighbours of one role become one message: Anthropic's models want the roles to take turns, and
    results of tools are the user's. System prompts within the conversation move to the front.
    Blank texts are left out.

    Args:
        messages: OpenAI's.
        tools: Whether the request has tools.
        family: The model's.

    Raises:
        BackendError: There is something in it that Converse does not take.
    """
    if not isinstance(messages, list | tuple) or not messages:
        raise refused("messages should be a list, and not empty")
    system: list[dict[str, Any]] = []
    turns: list[dict[str, Any]] = []
    for message in messages:
        if not isinstance(message, Mapping):
            raise refused("a message should be an object")
        role = message.get("role")
        if role in {"system", "developer"}:
            system += text_blocks(message.get("content"), "system")
            continue
        said, blocks = _turn(message, role, tools=tools, family=family)
        if not blocks:
            continue
        if turns and turns[-1]["role"] == said:
            turns[-1]["content"] += blocks
        else:
            turns.append({"role": said, "content": blocks})
    return _fitted(system, turns, family)


def _turn(
    message: Mapping[str, Any], role: Any, *, tools: bool, family: Family
) -> tuple[str, list[dict[str, Any]]]:
    content = message.get("content")
    if role == "user":
        return "user", content_blocks(content, image_bytes=family.image_bytes)
    if role == "assistant":
        texts = text_blocks(content, "assistant")
        return "assistant", texts + call_blocks(message.get("tool_calls"), tools=tools)
    if role == "tool":
        return "user", [result_block(message, tools=tools, image_bytes=family.image_bytes)]
    raise refused("a message's role should be system, developer, user, assistant or tool")


def _fitted(
    system: list[dict[str, Any]], turns: list[dict[str, Any]], family: Family
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    if not turns and not system:
        raise refused("there is no text in the conversation")
    if not turns or turns[0]["role"] == "assistant":
        turns.insert(0, {"role": "user", "content": [{"text": _START}]})
    if system and not family.system:
        turns[0]["content"][:0] = system
        system = []
    last = turns[-1]
    if family.strict_text and last["role"] == "assistant" and "text" in last["content"][-1]:
        last["content"][-1] = {"text": last["content"][-1]["text"].rstrip()}
    images = sum("image" in block for turn in turns for block in turn["content"])
    if images > MOST_IMAGES:
        raise refused(f"there are {images} images, and Bedrock takes {MOST_IMAGES}")
    return system, turns
