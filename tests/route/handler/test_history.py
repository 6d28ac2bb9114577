from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from pilotage.route.handler.history import trimmed


def turn(role: str, content: str = "") -> dict[str, Any]:
    return {"role": role, "content": content}


def test_a_short_conversation_stays_as_it_is() -> None:
    messages = [turn("system"), turn("user")]
    assert trimmed(messages, 2) == messages


def test_the_oldest_turns_go_and_instructions_stay() -> None:
    messages = [
        turn("system", "s"),
        turn("user", "1"),
        turn("assistant", "1"),
        turn("user", "2"),
        turn("assistant", "2"),
        turn("user", "3"),
    ]
    assert trimmed(messages, 4) == [messages[0], *messages[3:]]
    # Three would begin with an answer whose question is gone: it goes, too.
    assert trimmed(messages, 3) == [messages[0], messages[5]]


def test_a_tool_result_never_stays_without_its_call() -> None:
    messages = [
        turn("user", "1"),
        turn("assistant", "call"),
        turn("tool", "result"),
        turn("assistant", "1"),
        turn("user", "2"),
    ]
    assert trimmed(messages, 3) == [messages[4]]


def test_where_nothing_sensible_is_left() -> None:
    assert trimmed([turn("system"), turn("system"), turn("user")], 2) is None
    assert trimmed([turn("user"), turn("assistant"), turn("tool"), turn("tool")], 3) is None


@given(
    st.lists(st.sampled_from(["system", "developer", "user", "assistant", "tool"]), max_size=30),
    st.integers(1, 20),
)
def test_what_is_kept_is_in_order_and_begins_with_a_user(roles: list[str], most: int) -> None:
    messages = [turn(role, str(index)) for index, role in enumerate(roles)]
    kept = trimmed(messages, most)
    if kept is None:
        return
    assert len(kept) <= most
    assert [message for message in messages if message in kept] == kept
    instructions = ("system", "developer")
    assert [one for one in kept if one["role"] in instructions] == [
        one for one in messages if one["role"] in instructions
    ]
    if len(kept) < len(messages):
        talk = [one for one in kept if one["role"] not in instructions]
        assert talk[0]["role"] == "user"
        assert talk[-1] == [one for one in messages if one["role"] not in instructions][-1]
