"""OpenAI's chat requests as Converse's."""

import base64
import json
from typing import Any

import botocore.session
import pytest
from botocore.validate import ParamValidator
from hypothesis import given
from hypothesis import strategies as st

from pilotage.route.backends import BackendError, Fault
from pilotage.route.backends.bedrock_families import family_of
from pilotage.route.backends.bedrock_request import converse_request

CLAUDE = "anthropic.claude-haiku-4-5-20251001-v1:0"
NOVA = "eu.amazon.nova-lite-v1:0"
OLD_MISTRAL = "mistral.mistral-7b-instruct-v0:2"
PNG = b"\x89PNG\r\n\x1a\n" + b"0" * 40
WEBP = b"RIFF\x00\x00\x00\x00WEBPVP8 "


def convert(*messages: Any, model_id: str = CLAUDE, **fields: Any) -> dict[str, Any]:
    given_messages = list(messages) or [{"role": "user", "content": "Hi"}]
    body = {"messages": given_messages, **fields}
    return converse_request(body, model_id=model_id, family=family_of(model_id))


def refusal(*messages: Any, **fields: Any) -> str:
    with pytest.raises(BackendError) as caught:
        convert(*messages, **fields)
    assert caught.value.fault is Fault.REFUSED
    return caught.value.message


def user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


def picture(raw: bytes, mime: str = "image/png") -> dict[str, Any]:
    url = f"data:{mime};base64,{base64.b64encode(raw).decode()}"
    return {"type": "image_url", "image_url": {"url": url}}


def test_system_and_developer_go_to_the_front() -> None:
    request = convert(
        {"role": "system", "content": "Be kind."},
        user("Hi"),
        {"role": "developer", "content": [{"type": "text", "text": "Be short."}]},
    )
    assert request["system"] == [{"text": "Be kind."}, {"text": "Be short."}]
    assert request["messages"] == [{"role": "user", "content": [{"text": "Hi"}]}]
    assert request["modelId"] == CLAUDE


def test_models_without_system_prompts_read_them_first() -> None:
    request = convert({"role": "system", "content": "Be kind."}, user("Hi"), model_id=OLD_MISTRAL)
    assert "system" not in request
    assert request["messages"][0]["content"] == [{"text": "Be kind."}, {"text": "Hi"}]


def test_neighbours_of_one_role_become_one_message() -> None:
    request = convert(user("a"), user("b"), {"role": "assistant", "content": "c"}, user("d"))
    assert [message["role"] for message in request["messages"]] == ["user", "assistant", "user"]
    assert request["messages"][0]["content"] == [{"text": "a"}, {"text": "b"}]


def test_a_greeting_of_the_assistant_gets_a_turn_before_it() -> None:
    request = convert({"role": "assistant", "content": "Welcome!"}, user("Hi"))
    assert [message["role"] for message in request["messages"]] == ["user", "assistant", "user"]


def test_blank_texts_are_left_out_and_a_conversation_of_them_refused() -> None:
    request = convert(user("  "), user("Hi"), {"role": "assistant", "content": ""})
    assert request["messages"] == [{"role": "user", "content": [{"text": "Hi"}]}]
    assert "no text" in refusal(user(" \n"))


def test_an_answer_begun_for_claude_ends_without_white_space() -> None:
    begun = {"role": "assistant", "content": "It is \n"}
    assert convert(user("?"), begun)["messages"][1]["content"] == [{"text": "It is"}]
    nova = convert(user("?"), begun, model_id=NOVA)
    assert nova["messages"][1]["content"] == [{"text": "It is \n"}]


@pytest.mark.parametrize(
    ("raw", "kind"),
    [(PNG, "png"), (b"\xff\xd8\xff\xe0..", "jpeg"), (b"GIF89a..", "gif"), (WEBP, "webp")],
)
def test_images_are_named_by_their_bytes(raw: bytes, kind: str) -> None:
    request = convert(user([{"type": "text", "text": "What?"}, picture(raw, "image/x")]))
    assert request["messages"][0]["content"] == [
        {"text": "What?"},
        {"image": {"format": kind, "source": {"bytes": raw}}},
    ]


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("https://example.org/cat.png", "fetches no images"),
        ("file:///etc/passwd", "fetches no images"),
        ("data:image/png,abc", "should be base64"),
        ("data:image/png;base64,@@@", "damaged"),
        ("data:image/bmp;base64,Qk0=", "none of PNG"),
        (7, "should hold a url"),
    ],
)
def test_images_that_bedrock_cannot_take(url: Any, said: str) -> None:
    message = refusal(user([{"type": "image_url", "image_url": {"url": url}}]))
    assert said in message
    assert "example.org" not in message


def test_limits_of_images() -> None:
    large = PNG + b"0" * 3_932_160
    assert "larger than 3932160 bytes" in refusal(user([picture(large)]))
    assert convert(user([picture(large)]), model_id=NOVA)["messages"]
    assert "21 images" in refusal(user([picture(PNG)] * 21))
    assert "role system" in refusal({"role": "system", "content": [picture(PNG)]}, user("x"))


WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "Of a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}
CALLED = {
    "role": "assistant",
    "content": None,
    "tool_calls": [
        {
            "id": "call_1",
            "type": "function",
            "function": {"name": "weather", "arguments": '{"city": "Wien"}'},
        }
    ],
}
RESULT = {"role": "tool", "tool_call_id": "call_1", "content": "Rain."}


def test_tools_calls_and_results() -> None:
    request = convert(user("Weather?"), CALLED, RESULT, user("And?"), tools=[WEATHER])
    assert request["toolConfig"] == {
        "tools": [
            {
                "toolSpec": {
                    "name": "weather",
                    "description": "Of a city.",
                    "inputSchema": {"json": WEATHER["function"]["parameters"]},
                }
            }
        ]
    }
    assert request["messages"][1:] == [
        {
            "role": "assistant",
            "content": [
                {
                    "toolUse": {
                        "toolUseId": "call_1",
                        "name": "weather",
                        "input": {"city": "Wien"},
                    }
                }
            ],
        },
        {
            "role": "user",
            "content": [
                {"toolResult": {"toolUseId": "call_1", "content": [{"text": "Rain."}]}},
                {"text": "And?"},
            ],
        },
    ]


@pytest.mark.parametrize(
    ("choice", "meant"),
    [
        ("auto", None),
        ("required", {"any": {}}),
        ({"type": "function", "function": {"name": "weather"}}, {"tool": {"name": "weather"}}),
    ],
)
def test_tool_choices(choice: Any, meant: Any) -> None:
    config = convert(user("x"), tools=[WEATHER], tool_choice=choice)["toolConfig"]
    assert config.get("toolChoice") == meant


@pytest.mark.parametrize("fields", [{}, {"tools": [WEATHER], "tool_choice": "none"}])
def test_without_tools_what_was_called_is_told_in_words(fields: Any) -> None:
    # Converse refuses blocks of tools in a request that has none.
    request = convert(user("Weather?"), CALLED, RESULT, **fields)
    assert "toolConfig" not in request
    assert request["messages"][1]["content"] == [
        {"text": '[call of the tool weather: {"city": "Wien"}]'}
    ]
    assert request["messages"][2]["content"] == [{"text": "[result of the tool: Rain.]"}]


def test_results_without_text_and_ids_of_other_servers() -> None:
    odd = "chatcmpl/ü" * 20
    call = {**CALLED["tool_calls"][0], "id": odd}
    request = convert(
        user("x"),
        {**CALLED, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": odd, "content": ""},
        tools=[WEATHER],
    )
    used = request["messages"][1]["content"][0]["toolUse"]["toolUseId"]
    result = request["messages"][2]["content"][0]["toolResult"]
    assert result == {"toolUseId": used, "content": [{"text": "(empty)"}]}
    assert len(used) <= 64


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"arguments": "[1]"}, "JSON object"),
        ({"arguments": '{"a": NaN}'}, "JSON object"),
        ({"arguments": "{" * 3}, "JSON object"),
        ({"arguments": '{"a":' + "[" * 100_000}, "JSON object"),
        ({"arguments": 3}, "a text"),
        ({"name": "no good"}, "name"),
    ],
)
def test_calls_that_are_none(changed: Any, said: str) -> None:
    call = {"id": "c", "function": {"name": "f", "arguments": "{}", **changed}}
    messages = [user("x"), {"role": "assistant", "tool_calls": [call]}]
    assert said in refusal(*messages, tools=[WEATHER])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("seed", 1),
        ("n", 2),
        ("logprobs", True),
        ("presence_penalty", 0.5),
        ("logit_bias", {"5": 1}),
        ("parallel_tool_calls", False),
        ("service_tier", "flex"),
        ("functions", [{}]),
        ("audio", {}),
        ("reasoning_effort", "low"),
        ("top_k", 0),
        ("temperature", 1.5),
        ("temperature", True),
        ("top_p", "1"),
        ("max_tokens", 0),
        ("stop", [1]),
        ("response_format", {"type": "json_object"}),
        ("tool_choice", "required"),
        ("tools", [{"type": "custom"}]),
    ],
)
def test_what_converse_has_no_words_for_is_refused_by_name(name: str, value: Any) -> None:
    message = refusal(**{name: value})
    assert name in message or (name, message[:16]) == ("tools", "Bedrock takes no")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("n", 1),
        ("seed", None),
        ("logprobs", False),
        ("presence_penalty", 0.0),
        ("logit_bias", {}),
        ("parallel_tool_calls", True),
        ("service_tier", "auto"),
        ("user", "u-1"),
        ("metadata", {"a": "b"}),
        ("stream_options", {"include_usage": True}),
        ("response_format", {"type": "text"}),
        ("tools", []),
        ("stop", []),
        ("tool_choice", "auto"),
    ],
)
def test_what_says_what_happens_anyway_is_taken(name: str, value: Any) -> None:
    assert convert(**{name: value}) == convert()


def test_inference_settings() -> None:
    request = convert(max_completion_tokens=5, temperature=0, top_p=0.9, stop="END", model_id=NOVA)
    assert request["inferenceConfig"] == {
        "maxTokens": 5,
        "temperature": 0,
        "topP": 0.9,
        "stopSequences": ["END"],
    }


def test_claude_gets_one_of_temperature_and_top_p_where_the_other_changes_nothing() -> None:
    assert convert(temperature=0.2, top_p=1)["inferenceConfig"] == {"temperature": 0.2}
    assert convert(temperature=1, top_p=0.5)["inferenceConfig"] == {"topP": 0.5}
    assert convert(temperature=1, top_p=1, model_id=NOVA)["inferenceConfig"] == {
        "temperature": 1,
        "topP": 1,
    }


def test_fields_of_the_models_own() -> None:
    assert convert(top_k=5)["additionalModelRequestFields"] == {"top_k": 5}
    nova = convert(top_k=5, model_id=NOVA)["additionalModelRequestFields"]
    assert nova == {"inferenceConfig": {"topK": 5}}
    oss = convert(reasoning_effort="low", model_id="openai.gpt-oss-20b-1:0")
    assert oss["additionalModelRequestFields"] == {"reasoning_effort": "low"}


def test_a_json_schema_for_the_answer() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
    form = {"type": "json_schema", "json_schema": {"name": "out", "schema": schema, "strict": True}}
    told = convert(response_format=form)["outputConfig"]["textFormat"]
    assert told["type"] == "json_schema"
    assert told["structure"]["jsonSchema"]["name"] == "out"
    assert json.loads(told["structure"]["jsonSchema"]["schema"]) == schema


@pytest.mark.parametrize(
    ("model_id", "pattern"),
    [
        ("anthropic.claude-3-haiku-20240307-v1:0", "anthropic.claude"),
        ("us-gov.anthropic.claude-3-haiku-20240307-v1:0", "anthropic.claude"),
        (
            "arn:aws:bedrock:us-east-1:1:inference-profile/us.meta.llama4-scout-17b",
            "meta.llama",
        ),
        ("arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-pro-v1:0", "amazon.nova"),
        ("arn:aws:bedrock:us-east-1:1:provisioned-model/abcdefghij12", ""),
        ("my-metal.meta-llama", ""),
    ],
)
def test_families(model_id: str, pattern: str) -> None:
    assert family_of(model_id).pattern == pattern


WORDS = st.text(st.characters(exclude_categories=("Cs",)), max_size=20)
TEXTS = st.one_of(WORDS, st.lists(st.builds(lambda text: {"type": "text", "text": text}, WORDS)))
CONVERSATION = st.lists(
    st.fixed_dictionaries(
        {
            "role": st.sampled_from(["system", "developer", "user", "assistant"]),
            "content": TEXTS,
        }
    ),
    min_size=1,
    max_size=12,
)


def texts_of(content: Any) -> list[str]:
    given_texts = [content] if isinstance(content, str) else [part["text"] for part in content]
    return [text for text in given_texts if text.strip()]


@given(CONVERSATION, st.sampled_from([CLAUDE, NOVA, OLD_MISTRAL]))
def test_roles_take_turns_and_no_text_is_lost(messages: Any, model_id: str) -> None:
    spoken = [text for message in messages for text in texts_of(message["content"])]
    if not spoken:
        assert "no text" in refusal(*messages, model_id=model_id)
        return
    request = convert(*messages, model_id=model_id)
    assert report_of(request) == ""
    roles = [message["role"] for message in request["messages"]]
    assert roles == [("user", "assistant")[index % 2] for index in range(len(roles))]
    told = [block["text"] for block in request.get("system", ())]
    told += [block["text"] for message in request["messages"] for block in message["content"]]
    assert all(text.strip() for text in told)
    missing = list(told)
    for text in spoken:
        # The last one of an assistant loses white space at its end, for Claude.
        found = text if text in missing else text.rstrip()
        missing.remove(found)
    assert missing in ([], ["(The conversation starts.)"])


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "role",
                    "content",
                    "type",
                    "text",
                    "image_url",
                    "url",
                    "tool_calls",
                    "id",
                    "function",
                ]
            )
            | st.text(max_size=4),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(
    st.dictionaries(
        st.sampled_from(
            ["messages", "tools", "tool_choice", "stop", "response_format", "n", "top_k", "logit"]
        ),
        ANYTHING,
        max_size=4,
    ),
    st.lists(
        st.fixed_dictionaries(
            {"role": st.sampled_from(["user", "assistant", "tool", "x"]), "content": ANYTHING},
            optional={"tool_calls": ANYTHING, "tool_call_id": ANYTHING},
        ),
        max_size=3,
    ),
)
def test_anything_at_all_is_taken_or_refused(fields: Any, messages: Any) -> None:
    body = {"messages": messages, **fields}
    try:
        request = converse_request(body, model_id=CLAUDE, family=family_of(CLAUDE))
    except BackendError as error:
        assert error.fault is Fault.REFUSED
    else:
        assert request["messages"][0]["role"] == "user"
        assert report_of(request) == ""


MODEL = botocore.session.get_session().get_service_model("bedrock-runtime")


def report_of(request: dict[str, Any]) -> str:
    """What boto3 itself finds wrong with a request."""
    shape = MODEL.operation_model("ConverseStream").input_shape
    return str(ParamValidator().validate(request, shape).generate_report())
