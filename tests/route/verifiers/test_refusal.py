# ruff: noqa: RUF001  (it is about these characters)
"""Refusals in many languages, and what only looks like one."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotage.route.answer import Answer
from pilotage.route.call import Call
from pilotage.route.verifiers import RefusalVerifier
from pilotage.route.verifiers.refusal import declines

REFUSALS = [
    "I'm sorry, but I can't help with that.",
    "I’m sorry, but I can’t assist with that request.",
    "I cannot provide instructions for that.",
    "I am unable to answer this question.",
    "Unfortunately, I cannot access the internet.",
    "As an AI language model, I cannot browse the web.",
    "As an AI, I don't have personal opinions.",
    "Sorry, I won't write that.",
    "I don't know.",
    "I don't have enough information to answer that.",
    "Thank you for asking. I'm not able to discuss this topic.",
    "**I'm sorry, but I can't help with that.**",
    "Es tut mir leid, aber ich kann Ihnen dabei nicht helfen.",
    "Leider kann ich diese Frage nicht beantworten.",
    "Ich kann dir dabei nicht helfen.",
    "Je suis désolé, mais je ne peux pas vous aider.",
    "Je ne peux pas répondre à cette demande.",
    "Lo siento, pero no puedo ayudarte con eso.",
    "Desculpe, mas não posso ajudar com isso.",
    "Mi dispiace, ma non posso aiutarti.",
    "Het spijt me, maar ik kan je daar niet mee helpen.",
    "Przykro mi, ale nie mogę w tym pomóc.",
    "Извините, но я не могу помочь с этим.",
    "很抱歉，我无法回答这个问题。",
    "抱歉，我不能提供这些信息。",
    "申し訳ありませんが、その質問にはお答えできません。",
    "죄송하지만, 도와드릴 수 없습니다.",
    "عذرًا، لا يمكنني المساعدة في ذلك.",
    "क्षमा करें, मैं इसमें मदद नहीं कर सकता।",
]

ANSWERS = [
    "The answer is 42.",
    "I can't recommend this restaurant enough: the soup is superb.",
    "I cannot stress enough how important backups are.",
    "I can't believe it's not butter is a brand of margarine.",
    "I'm sorry for your loss. May the memories comfort you.",
    "Sorry for the confusion: the capital of Australia is Canberra.",
    "Unfortunately, the train leaves at six.",
    "The phrase \"I'm sorry, but I can't help with that\" is a typical refusal.",
    "“I cannot help you,” said the wizard, and went on.",
    "> I'm sorry, but I can't help with that.\n\nThat is what the bot has said.",
    "```\nI cannot help with that\n```\nprints the message.",
    "«Je ne peux pas répondre» signifie: I cannot answer.",
    "Leider regnet es morgen.",
    "No puedo más is Spanish for: I can take no more. It is said when one is tired.",
    "You can't help it if the model declines; use a retry.",
    "Ich kann schwimmen, aber nicht tauchen.",
    "我不能确定, but the likely answer is 7.",
    "",
]


def call(prompt: str = "What is it?") -> Call:
    return Call(body={"messages": [{"role": "user", "content": prompt}]}, request_id="r")


@pytest.mark.parametrize("text", REFUSALS)
def test_a_refusal(text: str) -> None:
    found = asyncio.run(RefusalVerifier().verify(call(), Answer(text=text), "small"))
    assert (found.score, found.fault, found.reason) == (0.0, True, "a refusal")


@pytest.mark.parametrize("text", ANSWERS)
def test_an_answer(text: str) -> None:
    found = asyncio.run(RefusalVerifier().verify(call(), Answer(text=text), "small"))
    assert (found.score, found.fault) == (None, False)


def test_a_long_answer_goes_on_to_give_something() -> None:
    text = "I cannot access live data, but here is how to find it. " + "Step by step. " * 60
    assert asyncio.run(RefusalVerifier().verify(call(), Answer(text=text), "small")).score is None
    # Of a beginning it is not known how it goes on.
    assert declines(call(), "I cannot access live data")


@pytest.mark.parametrize(
    "prompt",
    [
        "Translate into French: I'm sorry, but I can't help with that.",
        "Write a polite sentence that begins with: I cannot help",
    ],
)
def test_where_the_request_speaks_of_refusals_it_has_no_opinion(prompt: str) -> None:
    text = "Je suis désolé, mais je ne peux pas vous aider."
    found = asyncio.run(RefusalVerifier().verify(call(prompt), Answer(text=text), "small"))
    assert found.score is None


def test_the_providers_filter_is_a_refusal() -> None:
    answer = Answer(text="The recipe begins", finish_reason="content_filter")
    assert asyncio.run(RefusalVerifier().verify(call(), answer, "small")).fault


@given(st.text(max_size=2000), st.text(max_size=2000))
def test_any_text_is_read(prompt: str, text: str) -> None:
    assert declines(call(prompt), text) in {True, False}


@pytest.mark.parametrize("filler", ['"', "'", "`", "> ", "I ", "very ", "kann ich "])
def test_reading_takes_no_time_to_speak_of(filler: str) -> None:
    text = filler * 200_000
    # Quadratic matching over 200,000 repetitions would take hours, and the test's time-out.
    assert not declines(call(text), text)
