"""``/v1/workers/{w}/models/{m}/…``: the worker that a request names is the one it is sent to."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotage.serve.api.errors import ApiError
from pilotage.serve.api.exchange import Exchange
from pilotage.serve.api.worker_path import chosen_model, worker_path_template

MESSAGES = [{"role": "user", "content": "hello"}]


def at(worker, rest="chat/completions", model="smollm2"):
    return f"/v1/workers/{worker}/models/{model}/{rest}"


def workers(gateway):
    return [generation.request.worker for generation in gateway.dispatcher.generations]


@pytest.mark.parametrize("worker", [0, 1, 12, 345])
def test_chat_on_a_worker(gateway, worker):
    answer = gateway.post(at(worker), {"messages": MESSAGES, "n": 2})
    assert answer.status_code == 200, answer.text
    assert answer.json()["object"] == "chat.completion"
    assert workers(gateway) == [worker, worker]


def test_completions_on_a_worker_streamed(gateway):
    body = {"model": "smollm2", "prompt": ["a", "b"], "stream": True}
    answer = gateway.post(at(3, "completions"), body)
    assert answer.text.endswith("data: [DONE]\n\n")
    assert workers(gateway) == [3, 3]


def test_a_form_on_a_worker(gateway):
    form = {"text_prompt": (None, "hello"), "max_new_tokens": (None, "5")}
    answer = gateway.http.post(at(2, "infer"), files=form)
    assert answer.json()["text"] == "Paris is the capital."
    assert workers(gateway) == [2]
    other = gateway.http.post(at(2, "infer"), files=form | {"model": (None, "other")})
    assert other.status_code == 400
    assert other.json()["error"]["param"] == "model"


def test_other_requests_go_where_it_is_best(gateway):
    gateway.chat()
    assert workers(gateway) == [None]


def test_openais_client_with_a_workers_address(gateway):
    client = gateway.openai.with_options(base_url=f"{gateway.url}/v1/workers/7/models/smollm2")
    answer = client.chat.completions.create(model="smollm2", messages=MESSAGES)
    assert answer.choices[0].message.content == "Paris is the capital."
    assert workers(gateway) == [7]


def test_a_body_that_names_another_model_is_refused(gateway):
    for model in ("other", 5, "", ["smollm2"]):
        answer = gateway.post(at(0), {"model": model, "messages": MESSAGES})
        error = answer.json()["error"]
        assert (answer.status_code, error["param"]) == (400, "model")
        assert "The path names the model 'smollm2'" in error["message"]
    assert gateway.post(at(0), {"model": None, "messages": MESSAGES}).status_code == 200
    assert workers(gateway) == [0]


def test_a_model_that_is_not_there(gateway):
    answer = gateway.post(at(0, model="org/other"), {"messages": MESSAGES})
    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "model_not_found"
    assert "'org/other'" in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    "worker", ["-1", "x", "", "1.0", "01", "+1", "1e3", "%31%2F", "٣", "9999999", "0 ", "null"]
)
def test_a_worker_that_is_no_number(gateway, worker):
    answer = gateway.post(at(worker), {"messages": MESSAGES})
    assert answer.status_code == 404
    assert answer.json()["error"]["code"] in {"worker_not_found", "unknown_url"}
    assert workers(gateway) == []


def test_what_is_no_route_is_none_here_either(gateway):
    for rest in ("", "tokenize", "models", "chat", "chat/completions/", "../../admin/models"):
        answer = gateway.post(at(0, rest), {"messages": MESSAGES})
        assert answer.status_code == 404
        assert answer.json()["error"]["code"] == "unknown_url"
    assert gateway.get(at(0)).status_code == 405


def test_the_label_is_the_template(gateway):
    gateway.post(at(4, model="smollm2"), {"messages": MESSAGES})
    gateway.post(at("secret", model="secret"), {"messages": MESSAGES})
    text = gateway.get("/metrics").text
    template = "/v1/workers/{worker}/models/{model}/chat/completions"
    assert f'endpoint="{template}",model="smollm2",status="200"' in text
    assert "secret" not in text


def test_it_is_in_the_openapi_document(gateway):
    document = gateway.get("/openapi.json").json()
    plain = document["paths"]["/v1/chat/completions"]["post"]
    here = document["paths"]["/v1/workers/{worker}/models/{model}/chat/completions"]["post"]
    assert here["responses"] == plain["responses"]
    assert [parameter["name"] for parameter in here["parameters"]] == ["worker", "model"]
    reference = here["requestBody"]["content"]["application/json"]["schema"]["$ref"]
    schema = document["components"]["schemas"][reference.rpartition("/")[2]]
    assert schema["required"] == ["messages"]
    operations = [
        operation["operationId"]
        for path in document["paths"].values()
        for operation in path.values()
    ]
    assert len(operations) == len(set(operations))


@given(st.text(min_size=1, max_size=20), st.text(max_size=20), st.text(max_size=20))
def test_only_whole_paths_have_a_template(worker, model, rest):
    path = f"/v1/workers/{worker}/models/{model}/{rest}"
    template = worker_path_template(path)
    if template is not None:
        assert path.endswith(template.removeprefix("/v1/workers/{worker}/models/{model}"))
    assert worker_path_template(f"{path}/") is None


def test_the_model_is_what_path_or_body_say():
    exchange = Exchange("id", "template")
    assert chosen_model(exchange, None) is None
    assert chosen_model(exchange, "a") == "a"
    exchange.path_model = "a"
    assert chosen_model(exchange, None) == "a"
    assert chosen_model(exchange, "a") == "a"
    with pytest.raises(ApiError, match="the body 'b'"):
        chosen_model(exchange, "b")
