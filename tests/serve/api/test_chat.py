import pytest

from pilotage.serve.generation import TokenChunk

HELLO = [{"role": "user", "content": "What is the capital of France?"}]


def test_whole_answer(gateway):
    answer = gateway.openai.chat.completions.create(model="smollm2", messages=HELLO)
    assert answer.id.startswith("chatcmpl-")
    assert answer.object == "chat.completion"
    assert answer.model == "smollm2"
    assert answer.system_fingerprint.startswith("fp_")
    (choice,) = answer.choices
    assert (choice.index, choice.finish_reason, choice.logprobs) == (0, "stop", None)
    assert (choice.message.role, choice.message.content) == ("assistant", "Paris is the capital.")
    assert answer.usage.completion_tokens == 5
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + 5


def test_prompt_is_the_templates(gateway):
    system = {"role": "developer", "content": "Be brief."}
    parts = {"role": "user", "content": [{"type": "text", "text": "Hi"}]}
    answer = gateway.chat(messages=[system, parts])
    assert answer.status_code == 200
    prompt = gateway.tokenizer.decode(
        gateway.dispatcher.generations[0].request.prompt_ids, skip_special_tokens=False
    )
    assert "<|im_start|>system\nBe brief.<|im_end|>" in prompt
    assert prompt.endswith("<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n")


def test_stream(gateway):
    stream = gateway.openai.chat.completions.create(
        model="smollm2", messages=HELLO, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    assert {chunk.object for chunk in chunks} == {"chat.completion.chunk"}
    assert len({(chunk.id, chunk.created) for chunk in chunks}) == 1
    assert chunks[0].choices[0].delta.role == "assistant"
    assert all(chunk.usage is None for chunk in chunks[:-1])
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks[:-1])
    assert text == "Paris is the capital."
    reasons = [chunk.choices[0].finish_reason for chunk in chunks[:-1]]
    assert reasons == [None] * (len(chunks) - 2) + ["stop"]
    assert chunks[-1].choices == []
    assert chunks[-1].usage.completion_tokens == 5


def test_stream_on_the_wire(gateway):
    gateway.say('"é\n\u2028', a_chunk=100)
    answer = gateway.chat(stream=True)
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert answer.headers["cache-control"] == "no-cache"
    events = answer.text.split("\n\n")
    assert events[-2:] == ["data: [DONE]", ""]
    # One event each for the role, the text and the reason; the text's line ends are escaped.
    assert [event[:6] for event in events] == ["data: "] * 4 + [""]
    assert '"delta":{"content":"\\"é\\n' in events[1]


def test_choices_are_told_apart(gateway):
    stream = gateway.openai.chat.completions.create(
        model="smollm2", messages=HELLO, n=3, stream=True
    )
    texts, reasons = {}, {}
    for chunk in stream:
        (choice,) = chunk.choices
        texts[choice.index] = texts.get(choice.index, "") + (choice.delta.content or "")
        reasons[choice.index] = choice.finish_reason
    assert texts == dict.fromkeys(range(3), "Paris is the capital.")
    assert reasons == dict.fromkeys(range(3), "stop")
    whole = gateway.chat(n=3).json()
    assert [choice["index"] for choice in whole["choices"]] == [0, 1, 2]
    assert whole["usage"]["completion_tokens"] == 15


def test_a_seed_differs_between_choices(gateway):
    gateway.chat(n=3, seed=2**63 - 2)
    seeds = [one.request.params.seed for one in gateway.dispatcher.generations]
    assert seeds == [2**63 - 2, 2**63 - 1, 0]


def test_length(gateway):
    answer = gateway.chat(max_completion_tokens=2).json()
    assert answer["choices"][0]["finish_reason"] == "length"
    assert answer["choices"][0]["message"]["content"] == "Paris is"


def test_without_a_limit_the_context_is_one(gateway):
    answer = gateway.chat().json()
    params = gateway.dispatcher.generations[0].request.params
    assert params.max_tokens == 2048 - answer["usage"]["prompt_tokens"]


def test_parameters_reach_the_engine(gateway):
    gateway.chat(
        temperature=0.5, top_p=0.9, top_k=40, min_p=0.05, seed=7, presence_penalty=0.5,
        frequency_penalty=-0.5, repetition_penalty=1.1, min_tokens=2, max_tokens=9,
        stop_token_ids=[5],
    )  # fmt: skip
    params = gateway.dispatcher.generations[0].request.params
    assert (params.temperature, params.top_p, params.top_k, params.min_p) == (0.5, 0.9, 40, 0.05)
    assert (params.presence_penalty, params.frequency_penalty) == (0.5, -0.5)
    assert (params.repetition_penalty, params.seed) == (1.1, 7)
    assert (params.min_tokens, params.max_tokens) == (2, 9)
    assert params.stop_token_ids == (*gateway.tokenizer.eos_token_ids, 5)


def test_tiny_temperatures_are_greedy_and_minus_one_is_all(gateway):
    gateway.chat(temperature=1e-300, top_k=-1)
    params = gateway.dispatcher.generations[0].request.params
    assert (params.temperature, params.top_k) == (0.0, 0)


@pytest.mark.parametrize("a_chunk", [1, 3, 100])
@pytest.mark.parametrize("stream", [False, True])
def test_stop_string(gateway, a_chunk, stream):
    gateway.say("Paris is the capital of France, and London is not.", a_chunk=a_chunk)
    stop = ["e cap", "London"]
    if stream:
        chunks = list(
            gateway.openai.chat.completions.create(
                model="smollm2", messages=HELLO, stop=stop, stream=True
            )
        )
        text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
        reason = chunks[-1].choices[0].finish_reason
    else:
        answer = gateway.chat(stop=stop).json()
        text = answer["choices"][0]["message"]["content"]
        reason = answer["choices"][0]["finish_reason"]
        assert answer["usage"]["completion_tokens"] == 4  # up to "capital", however they came
    assert (text, reason) == ("Paris is th", "stop")
    assert gateway.dispatcher.generations[0].cancelled.wait(5)


def test_stop_string_may_be_kept(gateway):
    answer = gateway.chat(stop="the", include_stop_str_in_output=True).json()
    assert answer["choices"][0]["message"]["content"] == "Paris is the"


def test_stop_strings_wait_for_min_tokens(gateway):
    gateway.say("the the the the")
    answer = gateway.chat(stop="the", min_tokens=3).json()
    assert answer["choices"][0]["message"]["content"] == "the the "


def test_text_held_back_for_a_stop_string_comes_at_the_end(gateway):
    answer = gateway.chat(stop="capital. But").json()
    assert answer["choices"][0]["message"]["content"] == "Paris is the capital."


def test_characters_are_never_cut(gateway):
    ids = gateway.say("🏴󠁧󠁢󠁥󠁮󠁧󠁿日本 🎉")
    chunks = list(
        gateway.openai.chat.completions.create(model="smollm2", messages=HELLO, stream=True)
    )
    pieces = [chunk.choices[0].delta.content or "" for chunk in chunks]
    assert "".join(pieces) == "🏴󠁧󠁢󠁥󠁮󠁧󠁿日本 🎉"
    assert len([piece for piece in pieces if piece]) < len(ids)  # some tokens are no character yet


def test_logprobs(gateway):
    answer = gateway.openai.chat.completions.create(
        model="smollm2", messages=HELLO, logprobs=True, max_tokens=2
    )
    content = answer.choices[0].logprobs.content
    assert [(one.token, one.logprob) for one in content] == [("Paris", -0.25), (" is", -0.75)]
    assert bytes(content[1].bytes) == b" is"
    assert content[0].top_logprobs == []


def test_logprobs_in_a_stream(gateway):
    stream = gateway.openai.chat.completions.create(
        model="smollm2", messages=HELLO, logprobs=True, stream=True
    )
    found = [
        one.token
        for chunk in stream
        if chunk.choices[0].logprobs
        for one in chunk.choices[0].logprobs.content
    ]
    assert found == ["Paris", " is", " the", " capital", "."]


def test_the_top_logprob_is_the_chosen_token_if_it_must_be(gateway):
    answer = gateway.chat(logprobs=True, top_logprobs=1, temperature=0, max_tokens=1).json()
    (entry,) = answer["choices"][0]["logprobs"]["content"]
    assert entry["top_logprobs"] == [{"token": "Paris", "logprob": -0.25, "bytes": [*b"Paris"]}]
    for reason in (
        {"temperature": 1},
        {"temperature": 0, "presence_penalty": 1},
        {"temperature": 0, "response_format": {"type": "json_object"}},
    ):
        refused = gateway.chat(logprobs=True, top_logprobs=1, **reason).json()["error"]
        assert (refused["code"], refused["param"]) == ("unsupported_parameter", "top_logprobs")


def test_structured_output(gateway):
    gateway.chat(response_format={"type": "json_object"})
    schema = {"type": "object", "properties": {"b": {"type": "string"}, "a": {"enum": [1]}}}
    gateway.chat(
        response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    )
    gateway.chat(response_format={"type": "text"})
    schemas = [one.request.params.json_schema for one in gateway.dispatcher.generations]
    assert schemas == [
        '{"type":"object","additionalProperties":true}',
        '{"type":"object","properties":{"b":{"type":"string"},"a":{"enum":[1]}}}',
        None,
    ]


def test_a_generation_that_began_anew(gateway):
    ids = gateway.tokenizer.encode("Paris.", add_special_tokens=False)
    gateway.follow(
        TokenChunk(ids, None, None),
        TokenChunk(ids[:1], None, None, restarted=True),
        TokenChunk(ids[1:], None, "stop"),
    )
    answer = gateway.chat().json()
    assert answer["choices"][0]["message"]["content"] == "Paris."
    assert answer["usage"]["completion_tokens"] == len(ids)
    assert gateway.dispatcher.generations[0].request.restartable
    gateway.chat(stream=True)
    assert not gateway.dispatcher.generations[1].request.restartable


def test_neutral_values_are_accepted(gateway):
    answer = gateway.chat(
        tools=[], tool_choice="none", logit_bias={}, logprobs=False, top_logprobs=0, n=1,
        stop=None, audio=None, modalities=["text"], store=False, service_tier="auto",
        metadata={"a": "b"}, user="me", seed=None, stream=False, response_format=None,
        presence_penalty=0, parallel_tool_calls=True, stream_options=None,
        chat_template_kwargs={"enable_thinking": False},
    )  # fmt: skip
    assert answer.status_code == 200, answer.text
