import datetime
import json

import pytest

from pilotage.errors import UsageError
from pilotage.tokens import ChatTemplate, ChatTemplateError

USER = [{"role": "user", "content": "hi"}]
PLAIN = "{% for m in messages %}{{ m.role + ': ' + m.content }};{% endfor %}"
PARTS = (
    "{% for m in messages %}{% for part in m['content'] %}[{{ part.type }}]"
    "{% if part.type == 'text' %}{{ part.text }}{% endif %}{% endfor %}{% endfor %}"
)
EITHER = (
    "{% for m in messages %}{% if m.content is string %}{{ m.content }}{% else %}"
    "{% for part in m.content %}<{{ part.type }}>{% endfor %}{% endif %}{% endfor %}"
)


def text(*texts):
    return [{"type": "text", "text": t} for t in texts]


def test_blocks_leave_no_whitespace_behind():
    template = ChatTemplate(
        "{% for m in messages %}\n    {% if m.content %}\n{{ m.content }}\n"
        "    {% endif %}\n{% endfor %}"
    )
    assert template.render(USER) == "hi\n"


def test_special_tokens_and_variables():
    template = ChatTemplate("{{ bos_token }}{{ enable_thinking }}", {"bos_token": "<s>"})
    assert template.render(USER, template_kwargs={"enable_thinking": False}) == "<s>False"


def test_loop_controls_and_generation_blocks():
    template = ChatTemplate(
        "{% for m in messages %}{% generation %}{{ m.content }}{% endgeneration %}"
        "{% break %}{% endfor %}"
    )
    assert template.render(USER * 3) == "hi"


def test_tojson_is_for_models_and_not_for_html():
    template = ChatTemplate("{{ tools | tojson }}|{{ tools | tojson(indent=1) }}")
    tools = [{"name": "<é> & '\"'"}]
    compact, indented = template.render(USER, tools=tools).split("|")
    assert compact == json.dumps(tools, ensure_ascii=False)
    assert indented == json.dumps(tools, ensure_ascii=False, indent=1)


def test_no_tools_is_none():
    template = ChatTemplate("{{ tools is none }}")
    assert template.render(USER, tools=[]) == "True"
    assert template.render(USER) == "True"


def test_strftime_now():
    template = ChatTemplate("{{ strftime_now('%Y') }}")
    assert template.render(USER) == str(datetime.datetime.now().year)


@pytest.mark.parametrize(
    ("source", "content", "prompt"),
    [
        (PLAIN, "a", "user: a;"),
        (PLAIN, text("a", "b"), "user: a\nb;"),
        (PLAIN, [], "user: ;"),
        (PARTS, "a", "[text]a"),
        (PARTS, text("a", "b"), "[text]a[text]b"),
        (PARTS, [{"type": "image"}, *text("a")], "[image][text]a"),
        (EITHER, "a", "a"),
        (EITHER, text("a", "b"), "a\nb"),
        (EITHER, [{"type": "image"}, *text("a")], "<image><text>"),
    ],
)
def test_content_as_the_template_expects_it(source, content, prompt):
    messages = [{"role": "user", "content": content}]
    assert ChatTemplate(source).render(messages) == prompt


@pytest.mark.parametrize("part", [{"type": "image_url"}, "bare", {"type": "text", "text": 3}, None])
def test_other_content_for_a_text_template(part):
    with pytest.raises(ChatTemplateError, match="reads text only"):
        ChatTemplate(PLAIN).render([{"role": "user", "content": [part]}])


def test_arguments_of_tool_calls_are_parsed():
    template = ChatTemplate("{{ messages[0].tool_calls[0].function.arguments.city }}")
    call = {"type": "function", "function": {"name": "w", "arguments": '{"city": "Paris"}'}}
    message = {"role": "assistant", "content": None, "tool_calls": [call]}
    assert template.render([message]) == "Paris"
    assert call["function"]["arguments"] == '{"city": "Paris"}'
    call["function"]["arguments"] = "not json"
    assert template.render([message]) == ""


def test_the_templates_own_refusal():
    template = ChatTemplate("{{ raise_exception('Roles must alternate') }}")
    with pytest.raises(ChatTemplateError, match="refuses these messages: Roles must alternate"):
        template.render(USER)


@pytest.mark.parametrize(
    "source",
    [
        "{{ 'a' + none }}",
        "{{ messages[0].content.missing.more }}",
        "{{ 1 / 0 }}",
        "{% for i in range(1000000000) %}{% endfor %}",
        "{{ messages.append(1) }}",
        "{{ ''.__class__.__mro__ }}",
        "{{ messages[0].update(role='x') }}",
        "{% include 'other' %}",
        "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
    ],
)
def test_a_template_that_fails_or_overreaches(source):
    template = ChatTemplate(source)
    with pytest.raises(ChatTemplateError):
        template.render(USER)
    assert USER == [{"role": "user", "content": "hi"}]


@pytest.mark.parametrize("source", ["{% if %}", "{{ x", "a\n{% endfor %}", "{{ x | nosuch }}"])
def test_a_broken_template(source):
    with pytest.raises(ChatTemplateError, match=r"broken at line \d"):
        ChatTemplate(source)


def test_reserved_variables():
    with pytest.raises(ChatTemplateError, match="cannot be called messages"):
        ChatTemplate(PLAIN).render(USER, template_kwargs={"messages": []})


def test_the_error_is_one_a_user_can_meet():
    assert issubclass(ChatTemplateError, UsageError)
    assert issubclass(ChatTemplateError, ValueError)
