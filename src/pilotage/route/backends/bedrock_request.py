"""An OpenAI chat request as one of Converse: what it has no words for is refused by name."""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from pilotage.route.backends.bedrock_content import refused
from pilotage.route.backends.bedrock_families import Family
from pilotage.route.backends.bedrock_messages import converse_messages
from pilotage.route.backends.bedrock_tools import tool_config

_TAKEN: Final = frozenset(
    {
        "messages",
        "max_tokens",
        "max_completion_tokens",
        "temperature",
        "top_p",
        "top_k",
        "stop",
        "tools",
        "tool_choice",
        "response_format",
        "reasoning_effort",
    }
)
_IGNORED: Final = frozenset(
    {
        "metadata",
        "model",
        "prompt_cache_key",
        "safety_identifier",
        "store",
        "stream",
        "stream_options",
        "user",
    }
)
"""They change no answer: the router's own, or labels for OpenAI's records."""
_NEUTRAL: Final[Mapping[str, tuple[Any, ...]]] = MappingProxyType(
    {
        "frequency_penalty": (0,),
        "logit_bias": ({},),
        "logprobs": (False,),
        "modalities": (["text"],),
        "n": (1,),
        "parallel_tool_calls": (True,),
        "presence_penalty": (0,),
        # Others have another price than the tier's.
        "service_tier": ("auto", "default"),
        "top_logprobs": (0,),
    }
)
"""Values that say what happens anyway; any other is refused."""


def converse_request(body: Mapping[str, Any], *, model_id: str, family: Family) -> dict[str, Any]:
    """The arguments of boto3's ``converse_stream`` and ``converse``.

    Args:
        body: `pilotage.route.Call.body`.
        model_id: A model id, an inference profile or an ARN.
        family: The model's.

    Raises:
        BackendError: Refused: a field, a message or a value that Converse does not take.
    """
    for name, value in body.items():
        known = name in _TAKEN or name in _IGNORED or value is None
        if not known and value not in _NEUTRAL.get(name, ()):
            raise refused(f'Bedrock has nothing for "{_shown(name)}"{_meant(name)}')
    tools = tool_config(body)
    system, messages = converse_messages(
        body.get("messages"), tools=tools is not None, family=family
    )
    request: dict[str, Any] = {"modelId": model_id, "messages": messages}
    if system:
        request["system"] = system
    if inference := _inference(body, family):
        request["inferenceConfig"] = inference
    if tools is not None:
        request["toolConfig"] = tools
    if output := _output(body.get("response_format")):
        request["outputConfig"] = output
    if own := _own(body, family):
        request["additionalModelRequestFields"] = own
    return request


def _inference(body: Mapping[str, Any], family: Family) -> dict[str, Any]:
    config: dict[str, Any] = {}
    for name in ("max_tokens", "max_completion_tokens"):
        if (most := body.get(name)) is not None:
            if not isinstance(most, int) or isinstance(most, bool) or most < 1:
                raise refused(f"{name} should be a whole number from 1")
            config["maxTokens"] = most
    for name, ours in (("temperature", "temperature"), ("top_p", "topP")):
        if (value := body.get(name)) is not None:
            if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= 1:
                raise refused(f"{name} should be from 0 to 1 for Bedrock")
            config[ours] = value
    if family.strict_text and len({"temperature", "topP"} & config.keys()) == 2:
        # Newer Claude models take one of them only; the one that is 1 changes nothing.
        if config["topP"] == 1:
            del config["topP"]
        elif config["temperature"] == 1:
            del config["temperature"]
    stop = body.get("stop")
    stops = [stop] if isinstance(stop, str) else stop
    if stops is not None:
        if not isinstance(stops, list) or not all(isinstance(one, str) for one in stops):
            raise refused("stop should be a text or a list of texts")
        if kept := [one for one in stops if one]:
            config["stopSequences"] = kept
    return config


def _output(form: Any) -> dict[str, Any] | None:
    if form is None:
        return None
    kind = form.get("type") if isinstance(form, Mapping) else None
    if kind == "text":
        return None
    told = form.get("json_schema") if kind == "json_schema" else None
    if not isinstance(told, Mapping) or not isinstance(told.get("schema"), Mapping):
        raise refused("Bedrock takes a response_format of text, or of json_schema with a schema")
    schema: dict[str, Any] = {"schema": json.dumps(told["schema"])}
    for name in ("name", "description"):
        if isinstance(told.get(name), str) and told[name]:
            schema[name] = told[name]
    return {"textFormat": {"type": "json_schema", "structure": {"jsonSchema": schema}}}


def _own(body: Mapping[str, Any], family: Family) -> dict[str, Any]:
    """Fields of the model's own form, beside Converse's."""
    own: dict[str, Any] = {}
    if (top_k := body.get("top_k")) is not None:
        if family.top_k is None or not isinstance(top_k, int) or top_k < 1:
            raise refused('this model on Bedrock has nothing for "top_k"')
        inner = own
        for name in family.top_k[:-1]:
            inner = inner.setdefault(name, {})
        inner[family.top_k[-1]] = top_k
    if (effort := body.get("reasoning_effort")) is not None:
        if not family.effort or not isinstance(effort, str):
            raise refused('this model on Bedrock has nothing for "reasoning_effort"')
        own["reasoning_effort"] = effort
    return own


def _shown(name: str) -> str:
    return name[:60] if name.isascii() and name.isidentifier() else "…"


def _meant(name: str) -> str:
    values = _NEUTRAL.get(name, ())
    return f" but {' and '.join(json.dumps(value) for value in values)}" if values else ""
