def test_whole_answer(gateway):
    answer = gateway.openai.completions.create(model="smollm2", prompt="The capital:")
    assert answer.id.startswith("cmpl-")
    assert answer.object == "text_completion"
    (choice,) = answer.choices
    assert (choice.text, choice.finish_reason) == ("Paris is the capital.", "stop")
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (3, 5)
    assert gateway.dispatcher.generations[0].request.params.max_tokens == 16


def test_stream(gateway):
    stream = gateway.openai.completions.create(
        model="smollm2", prompt="x", stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    assert "".join(c.choices[0].text for c in chunks[:-1]) == "Paris is the capital."
    assert [c.choices[0].finish_reason for c in chunks[:-1]][-2:] == [None, "stop"]
    assert chunks[-1].usage.completion_tokens == 5


def test_every_kind_of_prompt(gateway):
    ids = gateway.tokenizer.encode("one two")
    for prompt, expected in (
        ("one two", [ids]),
        (["one two", "one two"], [ids, ids]),
        (ids, [ids]),
        ([ids, [1]], [ids, [1]]),
    ):
        gateway.dispatcher.generations.clear()
        answer = gateway.complete(prompt=prompt, n=2)
        assert answer.status_code == 200, answer.text
        sent = [one.request.prompt_ids for one in gateway.dispatcher.generations]
        assert sent == [prompt_ids for prompt_ids in expected for _ in range(2)]
        assert [one["index"] for one in answer.json()["choices"]] == list(range(len(sent)))
        assert answer.json()["usage"]["prompt_tokens"] == sum(map(len, expected))


def test_logprobs(gateway):
    answer = gateway.complete(logprobs=0, max_tokens=3).json()
    assert answer["choices"][0]["logprobs"] == {
        "tokens": ["Paris", " is", " the"],
        "token_logprobs": [-0.25, -0.75, -1.25],
        "top_logprobs": None,
        "text_offset": [0, 5, 8],
    }
    answer = gateway.complete(logprobs=1, max_tokens=1, temperature=0).json()
    assert answer["choices"][0]["logprobs"]["top_logprobs"] == [{"Paris": -0.25}]


def test_prompts_that_cannot_be(gateway):
    for prompt, code in (
        ("", "invalid_value"),
        ([], "invalid_value"),
        ([[]], "invalid_value"),
        ([""], "invalid_value"),
        ([-1], "invalid_value"),
        ([49152], "invalid_value"),
        (["a", 1], "invalid_value"),
        (["a"] * 9, "invalid_value"),
        ([True], "invalid_value"),
        (None, "invalid_value"),
        ([1] * 3000, "context_length_exceeded"),
    ):
        refused = gateway.complete(prompt=prompt)
        assert refused.status_code == 400, prompt
        assert refused.json()["error"]["code"] == code
        assert refused.json()["error"]["param"].startswith("prompt")
    assert gateway.dispatcher.generations == []
