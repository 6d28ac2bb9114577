import json


def test_tokenize_a_prompt(gateway):
    answer = gateway.post("/tokenize", {"prompt": "one two", "return_token_strs": True}).json()
    assert answer == {
        "count": 2,
        "max_model_len": 2048,
        "tokens": gateway.tokenizer.encode("one two"),
        "token_strs": ["one", " two"],
    }


def test_tokenize_messages_as_chat_does(gateway):
    messages = [{"role": "user", "content": "hello"}]
    counted = gateway.post("/tokenize", {"model": "smollm2", "messages": messages}).json()
    gateway.chat(messages=messages)
    assert counted["tokens"] == gateway.dispatcher.generations[0].request.prompt_ids
    assert counted["token_strs"] is None


def test_tokenize_refuses(gateway):
    for body, status in (
        ({}, 400),
        ({"prompt": "x", "messages": [{"role": "user", "content": "x"}]}, 400),
        ({"prompt": 5}, 400),
        ({"prompt": "x", "model": "y"}, 404),
        ({"promt": "x"}, 400),
    ):
        assert gateway.post("/tokenize", body).status_code == status


def test_long_prompts_are_tokenized_too(gateway):
    answer = gateway.post("/tokenize", {"prompt": "word " * 20_000}).json()
    assert answer["count"] >= 20_000


def test_detokenize(gateway):
    text = "naïve <|im_end|> 日本"
    ids = gateway.tokenizer.encode(text)
    assert gateway.post("/detokenize", {"tokens": ids}).json() == {"prompt": text}
    assert gateway.post("/detokenize", {"tokens": [10**6]}).status_code == 400


def test_models(gateway):
    listed = gateway.openai.models.list().data
    assert [(one.id, one.object, one.owned_by) for one in listed] == [
        ("smollm2", "model", "pilotage")
    ]
    assert gateway.openai.models.retrieve("smollm2").created == 1_700_000_000
    missing = gateway.get("/v1/models/some/other")
    assert missing.status_code == 404
    assert "some/other" in missing.json()["error"]["message"]


def test_invocations(gateway):
    messages = [{"role": "user", "content": "hello"}]
    answer = gateway.post("/invocations", {"messages": messages})
    assert answer.json()["object"] == "chat.completion"
    assert gateway.post("/invocations", {"prompt": "x"}).json()["object"] == "text_completion"
    streamed = gateway.post("/invocations", {"prompt": "x", "stream": True})
    assert streamed.text.endswith("data: [DONE]\n\n")
    for body in ({}, {"inputs": "x"}, {"prompt": "x", "messages": messages}):
        assert gateway.post("/invocations", body).status_code == 400
    assert gateway.post("/invocations", {"prompt": "x", "model": "y"}).status_code == 404


def test_openapi_describes_what_is_taken_and_given(gateway):
    document = gateway.get("/openapi.json").json()
    schemas = document["components"]["schemas"]
    chat = document["paths"]["/v1/chat/completions"]["post"]
    reference = chat["requestBody"]["content"]["application/json"]["schema"]["$ref"]
    body = schemas[reference.rpartition("/")[2]]
    assert set(body["required"]) == {"model", "messages"}
    assert {"temperature", "stop", "response_format", "min_p"} <= body["properties"].keys()
    assert body["additionalProperties"] is False
    statuses = {"200", "400", "401", "404", "413", "415", "429", "500", "503", "504"}
    assert statuses <= chat["responses"].keys()
    assert "text/event-stream" in chat["responses"]["200"]["content"]
    assert "application/json" in chat["responses"]["200"]["content"]
    text = json.dumps(document)
    for reference in {part.split('"')[0] for part in text.split('"#/components/schemas/')[1:]}:
        assert reference in schemas
    assert "HTTPValidationError" not in schemas


def test_the_docs_need_nothing_from_elsewhere(gateway):
    page = gateway.get("/docs")
    assert page.headers["content-type"].startswith("text/html")
    assert "/v1/chat/completions" in page.text
    assert "repetition_penalty" in page.text
    assert "//" not in page.text.replace("<!doctype html>", "")
    assert "<script" not in page.text
