"""Chat templates: messages into the prompt text that a model was trained on.

Templates are Jinja programs that come with the model, so they run in Jinja's sandbox: no access
to Python's internals, no change to what they are given, and no ``range`` of more than 100,000
(`jinja2.sandbox.MAX_RANGE`). The conventions (``trim_blocks``, ``raise_exception``,
``strftime_now``, ``tojson``, ``{% generation %}``) are those of Hugging Face transformers,
``utils/chat_template_utils.py``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NoReturn

from jinja2 import TemplateSyntaxError, nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from pilotage.errors import UsageError

_RESERVED = frozenset({"messages", "tools", "add_generation_prompt"})


class ChatTemplateError(UsageError, ValueError):
    """The messages do not fit the model's chat template, or the template is broken."""


class ChatTemplate:
    """A compiled chat template.

    Args:
        source: The template's text.
        special_tokens: What the template may name, such as ``bos_token``: name to text.

    Raises:
        ChatTemplateError: It is no valid Jinja template.
    """

    def __init__(self, source: str, special_tokens: Mapping[str, str] | None = None) -> None:
        environment = _environment()
        try:
            syntax = environment.parse(source)
            self._template = environment.from_string(source)
        except TemplateSyntaxError as error:
            raise ChatTemplateError(
                f"the model's chat template is broken at line {error.lineno}: {error.message}",
                hint="Give another chat template",
            ) from error
        except RecursionError as error:
            raise ChatTemplateError("the model's chat template is nested too deep") from error
        self._special_tokens = dict(special_tokens or {})
        self._reads_parts = _loops_over_content(syntax)
        self._reads_strings = not self._reads_parts or _tests_for_string(syntax)

    @property
    def reads_parts(self) -> bool:
        """Whether it takes content in parts, as images come in; else content is text only."""
        return self._reads_parts

    def render(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        add_generation_prompt: bool = True,
        tools: Sequence[Mapping[str, Any]] | None = None,
        template_kwargs: Mapping[str, Any] | None = None,
    ) -> str:
        """The prompt for `messages`.

        Args:
            messages: As in the OpenAI API: ``role`` and ``content``, which is a string or a list
                of parts. Text parts are joined by newlines for templates that expect a string.
            add_generation_prompt: End with the header of the assistant's answer.
            tools: Tool definitions as in the OpenAI API.
            template_kwargs: More variables, such as ``enable_thinking``.

        Raises:
            ChatTemplateError: The template refuses the messages, or fails on them.
        """
        variables = dict(template_kwargs or {})
        if taken := sorted(_RESERVED & variables.keys()):
            raise ChatTemplateError(f"a template variable cannot be called {taken[0]}")
        try:
            return self._template.render(
                self._special_tokens
                | variables
                | {
                    "messages": [self._prepared(message) for message in messages],
                    "tools": list(tools) if tools else None,
                    "add_generation_prompt": add_generation_prompt,
                }
            )
        except ChatTemplateError:
            raise
        except Exception as error:  # a template is a program: it may fail in any way
            raise ChatTemplateError(
                f"the model's chat template cannot take these messages: {error}"
            ) from error

    def _prepared(self, message: Mapping[str, Any]) -> dict[str, Any]:
        prepared = dict(message)
        content = prepared.get("content")
        if isinstance(content, list | tuple):
            if self._reads_strings and all(_is_text(part) for part in content):
                prepared["content"] = "\n".join(str(part["text"]) for part in content)
            elif not self._reads_parts:
                other = next(part for part in content if not _is_text(part))
                kind = other.get("type") if isinstance(other, Mapping) else type(other).__name__
                raise ChatTemplateError(
                    f"this model reads text only, not content of type {kind!r}",
                    hint='Send content as a string or as {"type": "text", "text": …} parts',
                )
        elif isinstance(content, str) and not self._reads_strings:
            prepared["content"] = [{"type": "text", "text": content}]
        if calls := prepared.get("tool_calls"):
            prepared["tool_calls"] = [_with_parsed_arguments(call) for call in calls]
        return prepared


class _Generation(Extension):
    """``{% generation %}`` marks what a model is trained on; for a prompt it means nothing."""

    tags = {"generation"}  # noqa: RUF012 - as the base class declares it

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def _environment() -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, loopcontrols]
    )
    environment.filters["tojson"] = _to_json
    environment.globals["raise_exception"] = _raise_exception
    environment.globals["strftime_now"] = _strftime_now
    return environment


def _to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    # Jinja's own filter escapes <, > and & for HTML, which no model was trained on. Templates
    # pass the arguments by position too.
    return json.dumps(
        value,
        ensure_ascii=ensure_ascii,
        indent=indent,
        separators=separators,
        sort_keys=sort_keys,
    )


def _raise_exception(message: object) -> NoReturn:
    raise ChatTemplateError(f"the model's chat template refuses these messages: {message}")


def _strftime_now(pattern: str) -> str:
    return datetime.now().astimezone().strftime(pattern)


def _is_text(part: object) -> bool:
    return (
        isinstance(part, Mapping)
        and part.get("type") == "text"
        and isinstance(part.get("text"), str)
    )


def _with_parsed_arguments(call: Any) -> Any:
    # The OpenAI API carries a call's arguments as JSON text; templates expect the object.
    function = call.get("function") if isinstance(call, Mapping) else None
    if not isinstance(function, Mapping) or not isinstance(function.get("arguments"), str):
        return call
    try:
        arguments = json.loads(function["arguments"])
    except (ValueError, RecursionError):
        return call
    return {**call, "function": {**function, "arguments": arguments}}


def _loops_over_content(syntax: nodes.Template) -> bool:
    return any(
        _names_content(node)
        for loop in syntax.find_all(nodes.For)
        for node in (loop.iter, *loop.iter.find_all((nodes.Getattr, nodes.Getitem)))
    )


def _names_content(node: nodes.Node) -> bool:
    if isinstance(node, nodes.Getattr):
        return node.attr == "content"
    if isinstance(node, nodes.Getitem):
        return isinstance(node.arg, nodes.Const) and node.arg.value == "content"
    return False


def _tests_for_string(syntax: nodes.Template) -> bool:
    return any(test.name == "string" for test in syntax.find_all(nodes.Test))
