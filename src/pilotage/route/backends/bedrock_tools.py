"""OpenAI's tools, calls and their results as Converse's."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any, Final

from pilotage.route.backends.bedrock_content import content_blocks, refused, text_blocks

_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)
_ID: Final = re.compile(r"[A-Za-z0-9_.:-]{1,64}", re.ASCII)
_EMPTY: Final = "(empty)"
"""Stands for a result without text: Bedrock refuses blank ones."""


def tool_config(body: Mapping[str, Any]) -> dict[str, Any] | None:
    """``toolConfig`` of a request; None where the model gets no tools.

    Converse has no word for OpenAI's choice "none": the tools are withheld.

    Raises:
        BackendError: A tool or the choice is not as OpenAI has it, or beyond Converse.
    """
    tools, choice = body.get("tools"), body.get("tool_choice")
    if tools is not None and not isinstance(tools, list):
        raise refused("tools should be a list")
    if not tools:
        if choice not in (None, "none", "auto"):
            raise refused("tool_choice wants a tool, and there are none")
        return None
    specs = [_spec(tool) for tool in tools]
    if choice == "none":
        return None
    config: dict[str, Any] = {"tools": specs}
    # "auto" is what happens without a choice; not every family takes the word.
    if choice == "required":
        config["toolChoice"] = {"any": {}}
    elif isinstance(choice, Mapping) and choice.get("type") == "function":
        config["toolChoice"] = {"tool": {"name": _name(choice.get("function"))}}
    elif choice not in (None, "auto"):
        raise refused("tool_choice should be auto, none, required or a function")
    return config


def call_blocks(calls: Any, *, tools: bool) -> list[dict[str, Any]]:
    """Blocks of an assistant's ``tool_calls``.

    Args:
        calls: As in the message.
        tools: Whether the request has tools. Converse takes blocks of calls only then; without,
            they are told in words, so that the conversation keeps what was called.

    Raises:
        BackendError: A call is not as OpenAI has it.
    """
    if calls is None:
        return []
    if not isinstance(calls, list):
        raise refused("tool_calls should be a list")
    return [_call(call, tools=tools) for call in calls]


def result_block(message: Mapping[str, Any], *, tools: bool, image_bytes: int) -> dict[str, Any]:
    """The block of a message of the role "tool"; ``tools`` as in `call_blocks`.

    Raises:
        BackendError: It is not as OpenAI has it.
    """
    content = message.get("content")
    if not tools:
        texts = [block["text"] for block in text_blocks(content, "tool")]
        return {"text": f"[result of the tool: {' '.join(texts) or _EMPTY}]"}
    blocks = content_blocks(content, image_bytes=image_bytes)
    return {
        "toolResult": {
            "toolUseId": _id(message.get("tool_call_id")),
            "content": blocks or [{"text": _EMPTY}],
        }
    }


def _spec(tool: Any) -> dict[str, Any]:
    function = tool.get("function") if isinstance(tool, Mapping) else None
    if not isinstance(function, Mapping) or tool.get("type", "function") != "function":
        raise refused("Bedrock takes no tools but functions")
    schema = function.get("parameters")
    if schema is not None and not isinstance(schema, Mapping):
        raise refused("a function's parameters should be a JSON schema")
    spec: dict[str, Any] = {
        "name": _name(function),
        "inputSchema": {"json": {"type": "object", "properties": {}, **(schema or {})}},
    }
    description = function.get("description")
    if isinstance(description, str) and description.strip():
        spec["description"] = description
    if function.get("strict"):
        spec["strict"] = True
    return {"toolSpec": spec}


def _call(call: Any, *, tools: bool) -> dict[str, Any]:
    function = call.get("function") if isinstance(call, Mapping) else None
    if not isinstance(function, Mapping):
        raise refused("Bedrock takes no tool calls but functions'")
    name = _name(function)
    arguments = function.get("arguments") or "{}"
    if not isinstance(arguments, str):
        raise refused("a tool call's arguments should be a text")
    if not tools:
        return {"text": f"[call of the tool {name}: {arguments}]"}
    return {
        "toolUse": {"toolUseId": _id(call.get("id")), "name": name, "input": _object(arguments)}
    }


def _object(arguments: str) -> dict[str, Any]:
    try:
        found = json.loads(arguments, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise refused("a tool call's arguments should be a JSON object")
    return found


def _no_constant(name: str) -> None:
    # Python reads NaN and Infinity, which are no JSON.
    raise ValueError(name)


def _name(function: Any) -> str:
    name = function.get("name") if isinstance(function, Mapping) else None
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise refused("a function's name should be 1 to 64 letters, digits, _ and -")
    return name


def _id(given: Any) -> str:
    if not isinstance(given, str) or not given:
        raise refused("a tool call and its result should have an id")
    if _ID.fullmatch(given):
        return given
    # Other servers' ids are longer or have other signs; the same id has to stay the same.
    return f"id-{hashlib.sha256(given.encode('utf-8', 'surrogatepass')).hexdigest()[:40]}"
