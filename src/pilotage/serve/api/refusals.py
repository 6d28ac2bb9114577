"""Parameters of the OpenAI API and of vLLM that this server refuses by name.

A neutral value (``null``, an empty list, the default) asks for nothing and is let through.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from typing import Any

from pilotage.serve.api.errors import ApiError, unsupported


def _is_one_of(*neutral: Any) -> Callable[[Any], bool]:
    # By type too: False and 0 are equal in Python and not in JSON.
    return lambda value: any(value == one and type(value) is type(one) for one in neutral)


_NO_TOOLS = "Tool calls are not supported"
_TOP_LOGPROBS = "The engine knows the log-probability of the chosen token only"
_GUIDED = "Use response_format with type json_schema"

_REFUSED: dict[str, tuple[Callable[[Any], bool], str]] = {
    "tools": (_is_one_of([]), _NO_TOOLS),
    "tool_choice": (_is_one_of("none", "auto"), _NO_TOOLS),
    "parallel_tool_calls": (_is_one_of(True), _NO_TOOLS),
    "functions": (_is_one_of([]), _NO_TOOLS),
    "function_call": (_is_one_of("none", "auto"), _NO_TOOLS),
    "logit_bias": (_is_one_of({}), "Token biases are not supported"),
    "audio": (_is_one_of(), "The model answers in text only"),
    "modalities": (_is_one_of(["text"]), "The model answers in text only"),
    "prediction": (_is_one_of(), "Predicted outputs are not supported"),
    "reasoning_effort": (_is_one_of("none"), "The model has no reasoning effort to set"),
    "verbosity": (_is_one_of("medium"), "The model has no verbosity to set"),
    "web_search_options": (_is_one_of(), "The server does not search the web"),
    "moderation": (_is_one_of(), "The server does not moderate"),
    "prompt_cache_options": (_is_one_of({}), "The prefix cache has no options"),
    "prompt_cache_retention": (_is_one_of("in_memory"), "The prefix cache is in memory only"),
    "store": (_is_one_of(False), "Answers are not stored"),
    "service_tier": (_is_one_of("auto", "default"), "There is one service tier"),
    "best_of": (_is_one_of(1), "Ask for n choices and take the best yourself"),
    "suffix": (_is_one_of(""), "Filling in the middle is not supported"),
    "echo": (_is_one_of(False), "The prompt is not repeated in the answer"),
    "prompt_logprobs": (_is_one_of(), "Log-probabilities of the prompt are not computed"),
    "use_beam_search": (_is_one_of(False), "Beam search is not supported"),
    "length_penalty": (_is_one_of(1, 1.0), "Beam search is not supported"),
    "logits_processors": (_is_one_of([]), "Logits processors are not supported"),
    "allowed_token_ids": (_is_one_of([]), "Restricting the vocabulary is not supported"),
    "bad_words": (_is_one_of([]), "Banning words is not supported"),
    "truncate_prompt_tokens": (_is_one_of(), "Prompts are never truncated"),
    "guided_json": (_is_one_of(), _GUIDED),
    "guided_regex": (_is_one_of(), _GUIDED),
    "guided_choice": (_is_one_of(), _GUIDED),
    "guided_grammar": (_is_one_of(), _GUIDED),
    "structured_outputs": (_is_one_of(), _GUIDED),
    "continue_final_message": (_is_one_of(False), "The answer is a message of its own"),
    "add_generation_prompt": (_is_one_of(True), "The answer is a message of its own"),
}

_TAKEN_BY_ENCODERS = frozenset({"truncate_prompt_tokens"})
"""Refused where text is generated, a field like others where it is read."""


def without_neutral(body: dict[str, Any], known: Iterable[str]) -> dict[str, Any]:
    """The body without fields that ask for nothing.

    Args:
        body: A request's body.
        known: The fields that the endpoint has.

    Raises:
        ApiError: A field is not supported, or nobody knows it.
    """
    known = frozenset(known)
    kept: dict[str, Any] = {}
    for name, value in body.items():
        refusal = None if name in known & _TAKEN_BY_ENCODERS else _REFUSED.get(name)
        if refusal is not None and value is not None and not refusal[0](value):
            raise unsupported(name, f"The parameter '{name}' is not supported. {refusal[1]}.")
        if name in known:
            kept[name] = value
        elif refusal is None:
            raise unknown_parameter(name, known)
    _check_top_logprobs(kept)
    _check_messages(kept.get("messages"))
    return kept


def unknown_parameter(name: str, known: Iterable[str]) -> ApiError:
    """The refusal of a field that nobody knows, with the nearest that is known."""
    shown = name if len(name) <= 64 else f"{name[:64]}…"
    near = difflib.get_close_matches(name[:64], sorted(known), n=1)
    meant = f"; did you mean '{near[0]}'?" if near else "."
    return ApiError(f"Unknown parameter '{shown}'{meant}", code="unknown_parameter", param=shown)


def _check_top_logprobs(body: dict[str, Any]) -> None:
    for name in ("top_logprobs", "logprobs"):
        value = body.get(name)
        if type(value) is int and value > 1:
            raise unsupported(name, f"{name} of {value} is not supported. {_TOP_LOGPROBS}.")


def _check_messages(messages: Any) -> None:
    """Refuse by name what only models with eyes, ears or tools can use."""
    if not isinstance(messages, list):
        return
    for index, message in enumerate(messages):
        if not isinstance(message, dict):
            continue
        where = f"messages[{index}]"
        if message.get("role") in {"tool", "function"}:
            raise unsupported(f"{where}.role", f"{_NO_TOOLS}, nor messages with their results.")
        for name in ("tool_calls", "function_call", "tool_call_id", "audio", "refusal"):
            if message.get(name) not in (None, []):
                raise unsupported(f"{where}.{name}", f"'{name}' in a message is not supported.")
        content = message.get("content")
        for position, part in enumerate(content if isinstance(content, list) else ()):
            kind = part.get("type") if isinstance(part, dict) else None
            # Whether the model takes images is looked at when it is known.
            if isinstance(kind, str) and kind not in {"text", "image_url"}:
                raise unsupported(
                    f"{where}.content[{position}]",
                    f"The model reads text only, not content of type {kind[:64]!r}.",
                )
