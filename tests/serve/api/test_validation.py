import msgspec
import pytest


def error_of(answer, status=400):
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    return error


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("tools", [{"type": "function", "function": {"name": "f"}}]),
        ("tool_choice", "required"),
        ("functions", [{"name": "f"}]),
        ("logit_bias", {"1": 5}),
        ("top_logprobs", 5),
        ("audio", {"voice": "x"}),
        ("modalities", ["text", "audio"]),
        ("prediction", {"type": "content"}),
        ("reasoning_effort", "high"),
        ("web_search_options", {}),
        ("parallel_tool_calls", False),
        ("best_of", 2),
        ("suffix", "x"),
        ("store", True),
        ("service_tier", "flex"),
        ("guided_json", {}),
    ],
)
def test_unsupported_parameters_are_refused_by_name(gateway, field, value):
    error = error_of(gateway.chat(**{field: value}))
    assert (error["code"], error["param"]) == ("unsupported_parameter", field)
    assert field in error["message"]


def test_unsupported_parameters_of_completions(gateway):
    for field, value in (("echo", True), ("best_of", 3), ("suffix", "x"), ("logprobs", 5)):
        error = error_of(gateway.complete(**{field: value}))
        assert (error["code"], error["param"]) == ("unsupported_parameter", field)


def test_unsupported_by_the_engine(gateway):
    gateway.state["info"] = msgspec.structs.replace(
        gateway.state["info"], unsupported=("min_p", "json_schema")
    )
    assert gateway.chat(min_p=0).status_code == 200
    assert error_of(gateway.chat(min_p=0.1))["param"] == "min_p"
    error = error_of(gateway.chat(response_format={"type": "json_object"}))
    assert (error["param"], error["code"]) == ("response_format", "unsupported_parameter")


@pytest.mark.parametrize(
    ("message", "param"),
    [
        ({"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]},
         "messages[0].content[0]"),
        ({"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "input_audio"}]},
         "messages[0].content[1]"),
        ({"role": "tool", "content": "x", "tool_call_id": "1"}, "messages[0].role"),
        ({"role": "assistant", "content": None, "tool_calls": [{}]}, "messages[0].tool_calls"),
    ],
)  # fmt: skip
def test_messages_for_other_models(gateway, message, param):
    error = error_of(gateway.chat(messages=[message]))
    assert (error["code"], error["param"]) == ("unsupported_parameter", param)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"messages": []}, "messages"),
        ({"messages": "hello"}, "messages"),
        ({"messages": [{"role": "user"}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": None}]}, "messages[0].content"),
        ({"messages": [{"role": "wizard", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": "x", "mood": 1}]}, "messages[0].mood"),
        ({"messages": [5]}, "messages[0]"),
        ({"temperature": -0.1}, "temperature"),
        ({"temperature": 2.1}, "temperature"),
        ({"temperature": "hot"}, "temperature"),
        ({"temperature": 1e308}, "temperature"),
        ({"temperature": True}, "temperature"),
        ({"top_p": 0}, "top_p"),
        ({"top_p": 1.01}, "top_p"),
        ({"top_k": -2}, "top_k"),
        ({"min_p": 1.5}, "min_p"),
        ({"n": 0}, "n"),
        ({"n": 5}, "n"),
        ({"n": 10**30}, "n"),
        ({"n": 1.5}, "n"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": -1}, "max_tokens"),
        ({"max_completion_tokens": 0}, "max_completion_tokens"),
        ({"max_tokens": 5, "max_completion_tokens": 6}, "max_tokens"),
        ({"max_tokens": 5, "min_tokens": 6}, "min_tokens"),
        ({"seed": -1}, "seed"),
        ({"seed": 2**63}, "seed"),
        ({"presence_penalty": 2.5}, "presence_penalty"),
        ({"frequency_penalty": -2.5}, "frequency_penalty"),
        ({"repetition_penalty": 0}, "repetition_penalty"),
        ({"repetition_penalty": 11}, "repetition_penalty"),
        ({"stop": 5}, "stop"),
        ({"stop": "x" * 1025}, "stop"),
        ({"stop": ["x"] * 17}, "stop"),
        ({"stop": [""]}, "stop[0]"),
        ({"stop": ["x" * 1_000]*3 + ["x" * 2000]}, "stop[3]"),
        ({"stop_token_ids": [-1]}, "stop_token_ids[0]"),
        ({"stop_token_ids": [1], "ignore_eos": True}, "stop_token_ids"),
        ({"stream": "yes"}, "stream"),
        ({"stream_options": {"include_usage": True}}, "stream_options"),
        ({"stream": True, "stream_options": {"x": 1}}, "stream_options.x"),
        ({"top_logprobs": 1}, "top_logprobs"),
        ({"response_format": {"type": "xml"}}, "response_format"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
        ({"model": ""}, "model"),
        ({"metadata": {"a": 1}}, "metadata.a"),
        ({"chat_template_kwargs": {"messages": []}}, "messages"),
    ],
)  # fmt: skip
def test_values_that_make_no_sense(gateway, fields, param):
    error = error_of(gateway.chat(**fields))
    assert error["param"] == param, error
    assert error["type"] == "invalid_request_error"
    assert gateway.dispatcher.generations == []


def test_unknown_fields(gateway):
    error = error_of(gateway.chat(temprature=1))
    assert error["message"] == "Unknown parameter 'temprature'; did you mean 'temperature'?"
    assert error["code"] == "unknown_parameter"
    long = error_of(gateway.chat(**{"x" * 100_000: 1}))
    assert len(long["message"]) < 200


def test_fields_that_are_required(gateway):
    error = error_of(gateway.post("/v1/chat/completions", {"model": "smollm2"}))
    assert (error["param"], error["code"]) == ("messages", "missing_required_parameter")
    error = error_of(gateway.post("/v1/completions", {"prompt": "x"}))
    assert error["param"] == "model"


def test_unknown_model(gateway):
    error = error_of(gateway.chat(model="gpt-4"), 404)
    assert error["code"] == "model_not_found"
    assert "'gpt-4'" in error["message"]
    assert "smollm2" in error["message"]


def test_too_long_for_the_context(gateway):
    error = error_of(gateway.chat(max_tokens=3000))
    assert error["code"] == "context_length_exceeded"
    assert "2048 tokens" in error["message"]
    assert "3000 in the completion" in error["message"]
    long = [{"role": "user", "content": "word " * 5000}]
    error = error_of(gateway.chat(messages=long))
    assert "in the prompt" in error["message"]
    assert error["param"] == "messages"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"  ",
        b"{",
        b"[]",
        b"null",
        b'"x"',
        b"{'model': 1}",
        b'{"model": NaN}',
        b'{"temperature": Infinity}',
        b'{"temperature": 1e999}',
        b'{"model": "\\ud800"}',
        b'{"model": "\xff"}',
        b"\xff\xfe{\x00}\x00",
        b'{"a":' * 50_000,
        b"[" * 100_000,
        b'{"n": ' + b"9" * 5000 + b"}",
        b'{"model": "x",}',
        b'{"model": "\x00"}',
    ],
)
def test_bodies_that_are_no_json_object(gateway, content):
    error = error_of(gateway.post("/v1/chat/completions", content=content))
    assert error["code"] == "invalid_json", error


def test_deep_values_where_anything_goes(gateway):
    deep: dict = {}
    for _ in range(300):
        deep = {"type": "object", "properties": {"a": deep}}
    schema = {"type": "json_schema", "json_schema": {"name": "x", "schema": deep}}
    assert error_of(gateway.chat(response_format=schema))["code"] == "invalid_json_schema"
    assert gateway.chat(chat_template_kwargs={"x": deep}).status_code == 200


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        ("application/json", 200),
        ("application/json; charset=utf-8", 200),
        ("Application/JSON", 200),
        ("", 200),
        ("application/x-www-form-urlencoded", 415),
        ("text/plain", 415),
        ("multipart/form-data; boundary=x", 415),
    ],
)
def test_content_types(gateway, content_type, status):
    headers = {"content-type": content_type}
    body = b'{"model":"smollm2","prompt":"x"}'
    answer = gateway.post("/v1/completions", content=body, headers=headers)
    assert answer.status_code == status
    if status != 200:
        assert error_of(answer, 415)["code"] == "unsupported_media_type"


def test_compressed_bodies(gateway):
    headers = {"content-encoding": "gzip"}
    error_of(gateway.post("/v1/completions", content=b"x", headers=headers), 415)


def test_routes_that_do_not_exist(gateway):
    error = error_of(gateway.get("/v1/engines"), 404)
    assert error["code"] == "unknown_url"
    wrong = gateway.get("/v1/chat/completions")
    assert error_of(wrong, 405)["code"] == "method_not_allowed"
    assert wrong.headers["allow"] == "POST"
