import json

from pilotage.route.answer import Answer, Usage
from pilotage.route.handler.chat_form import as_events, completion

ANSWER = Answer(
    text="Hi",
    finish_reason="stop",
    usage=Usage(prompt_tokens=10, completion_tokens=2, cache_read_tokens=4),
    model="m-2026",
)
CALLS = ({"index": 0, "id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}},)


def whole(answer: Answer) -> dict[str, object]:
    return completion(answer, request_id="r", model="small", pilotage={"tier": "small"})


def test_a_whole_answer() -> None:
    body = whole(ANSWER)
    assert isinstance(body.pop("created"), int)
    assert body == {
        "id": "chatcmpl-r",
        "object": "chat.completion",
        "model": "m-2026",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Hi"},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {
            "prompt_tokens": 10,
            "completion_tokens": 2,
            "total_tokens": 12,
            "prompt_tokens_details": {"cached_tokens": 4},
        },
        "pilotage": {"tier": "small"},
    }


def test_tool_calls_and_reasoning() -> None:
    body = whole(Answer(tool_calls=CALLS, reasoning="hm", finish_reason="tool_calls"))
    message = body["choices"][0]["message"]  # type: ignore[index]
    assert message["content"] is None
    assert message["reasoning_content"] == "hm"
    assert message["tool_calls"] == [
        {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    ]
    assert body["model"] == "small"


def test_the_events_of_a_stream_say_the_same() -> None:
    lines = as_events(whole(ANSWER), include_usage=True).split("\n\n")
    assert lines[-2:] == ["data: [DONE]", ""]
    events = [json.loads(line.removeprefix("data: ")) for line in lines[:-2]]
    assert {event["object"] for event in events} == {"chat.completion.chunk"}
    assert events[0]["choices"][0]["delta"] == {"role": "assistant", "content": "Hi"}
    assert events[1]["choices"][0]["finish_reason"] == "stop"
    assert events[2]["choices"] == []
    assert events[2]["usage"]["total_tokens"] == 12
    assert "usage" not in as_events(whole(ANSWER), include_usage=False)


def test_tool_calls_in_events_have_their_index() -> None:
    text = as_events(
        whole(Answer(tool_calls=CALLS, finish_reason="tool_calls")), include_usage=False
    )
    first = json.loads(text.split("\n\n")[0].removeprefix("data: "))
    assert first["choices"][0]["delta"]["tool_calls"][0] == CALLS[0]
