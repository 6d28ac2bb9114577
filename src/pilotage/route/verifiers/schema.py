"""Answers that must be JSON, and tool calls: are they what was asked for?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pilotage.route.answer import Answer
from pilotage.route.call import Call
from pilotage.route.verifiers.conformance import Undecided, fault_of
from pilotage.route.verifiers.strict_json import parsed
from pilotage.route.verifiers.verifier import NO_OPINION, Verdict, at_fault


class SchemaVerifier:
    """Finds answers that are not the JSON, or not the tool call, that the request asks for.

    It only finds faults: valid JSON may still be wrong.
    """

    name = "schema"

    async def verify(self, call: Call, answer: Answer, tier_name: str) -> Verdict:
        """0 if the form is wrong, no opinion otherwise."""
        fault = _tools_fault(call, answer)
        if fault is None and not answer.tool_calls:
            fault = _format_fault(call, answer.text)
        return NO_OPINION if fault is None else at_fault(fault)


def _format_fault(call: Call, text: str) -> str | None:
    wanted = call.body.get("response_format")
    if not isinstance(wanted, Mapping):
        return None
    kind = wanted.get("type")
    if kind not in {"json_object", "json_schema"}:
        return None
    try:
        value = parsed(text)
    except ValueError:
        return "not JSON"
    if kind == "json_object":
        return None if isinstance(value, dict) else "not a JSON object"
    holder = wanted.get("json_schema")
    schema = holder.get("schema") if isinstance(holder, Mapping) else None
    return _misfit(value, schema, "schema")


def _misfit(value: Any, schema: Any, where: str) -> str | None:
    if schema is None:
        return None
    try:
        fault = fault_of(value, schema)
    except (Undecided, RecursionError):
        return None
    return None if fault is None else f"{where}: {fault}"


def _tools_fault(call: Call, answer: Answer) -> str | None:
    tools = _parameters_by_name(call.body.get("tools"))
    choice = call.body.get("tool_choice")
    if not answer.tool_calls:
        needed = choice == "required" or isinstance(choice, Mapping)
        return "no tool call, though one was required" if needed and tools else None
    faults = (_tool_fault(one.get("function"), tools) for one in answer.tool_calls)
    return next((fault for fault in faults if fault is not None), None)


def _tool_fault(function: Any, tools: Mapping[Any, Any]) -> str | None:
    name = function.get("name") if isinstance(function, Mapping) else None
    if not isinstance(name, str) or name not in tools:
        return "tool call: no such tool"
    try:
        arguments = parsed(function.get("arguments") or "{}")
    except (ValueError, TypeError):
        return "tool call: the arguments are not JSON"
    if not isinstance(arguments, dict):
        return "tool call: the arguments are not an object"
    return _misfit(arguments, tools[name], "tool call")


def _parameters_by_name(tools: Any) -> dict[Any, Any]:
    found: dict[Any, Any] = {}
    for tool in tools if isinstance(tools, list) else ():
        function = tool.get("function") if isinstance(tool, Mapping) else None
        if isinstance(function, Mapping) and isinstance(function.get("name"), str):
            found[function["name"]] = function.get("parameters")
    return found
