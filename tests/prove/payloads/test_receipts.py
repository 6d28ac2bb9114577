import base64
import json
from io import BytesIO
from itertools import islice

import numpy as np
import pytest
from PIL import Image as Pillow

from pilotage.errors import UsageError
from pilotage.prove.load import Schedule
from pilotage.prove.payloads import RequestFormat, receipts
from pilotage.prove.payloads.receipt import CATEGORIES, QUESTIONS

CHAT = RequestFormat("chat", "m")


def content(payload):
    ((text, image),) = (m["content"] for m in json.loads(payload.body)["messages"])
    data = base64.b64decode(image["image_url"]["url"].partition(",")[2])
    return text["text"], Pillow.open(BytesIO(data))


def test_four_questions_in_turn_each_with_a_picture_of_its_own():
    source = receipts(CHAT, width=320, height=400)
    made = list(source.payloads(12, seed=1))
    texts, images = zip(*map(content, made), strict=True)
    assert texts == QUESTIONS * 3
    assert len({image.tobytes() for image in images}) == 12
    assert {image.size for image in images} == {(320, 400)}
    assert {payload.images for payload in made} == {1}
    assert all(payload.asked_tokens for payload in made)


def test_the_truth_beside_it():
    for case in islice(receipts(CHAT).cases(seed=3), 40):
        receipt = case.receipt
        assert case.answer in receipt.answers
        if case.question == QUESTIONS[0]:
            assert round(float(case.answer) * 100) == sum(item.cents for item in receipt.items)
        if case.question == QUESTIONS[1]:
            merchant, day = case.answer.split(", ")
            assert merchant == receipt.merchant
            assert day == receipt.day.isoformat()
        if case.question == QUESTIONS[2]:
            items = json.loads(case.answer)
            assert [item["name"] for item in items] == [item.name for item in receipt.items]
            assert len(items) == len({item["name"] for item in items}) >= 2
        if case.question == QUESTIONS[3]:
            assert case.answer in CATEGORIES
            assert case.answer in case.question


def test_payloads_and_cases_are_the_same_requests():
    source = receipts(CHAT)
    cases = islice(source.cases(seed=4), 8)
    for payload, case in zip(source.payloads(8, seed=4), cases, strict=True):
        assert content(payload)[0] == case.question
        assert payload.asked_tokens == case.answer_tokens
    assert list(source.payloads(3, seed=4)) == list(source.payloads(3, seed=4))
    assert list(source.payloads(3, seed=4)) != list(source.payloads(3, seed=5))


@pytest.mark.parametrize("size", [(128, 128), (200, 900), (900, 200), (512, 512)])
def test_all_of_it_is_on_the_picture(size):
    """Nothing touches the edges, and there is ink in the upper, middle and lower thirds."""
    source = receipts(RequestFormat("chat", "m"), width=size[0], height=size[1])
    for payload in source.payloads(6, seed=1):
        ink = np.asarray(content(payload)[1].convert("L")) < 128
        third = size[1] // 3
        assert all(ink[top : top + third].any() for top in (0, third, 2 * third))
        edges = ink[0].any(), ink[-1].any(), ink[:, 0].any(), ink[:, -1].any()
        assert not any(edges)


def test_the_question_is_counted_and_a_trace_gives_the_times_only(smollm):
    source = receipts(CHAT, tokenizer=smollm)
    load = Schedule(np.zeros(4), 1.0, "trace", prompt_tokens=np.array([999] * 4))
    for payload in source.payloads(4, seed=1, prescribed=load):
        messages = [{"role": "user", "content": content(payload)[0]}]
        assert payload.prompt_tokens == len(smollm.encode_chat(messages))
    assert "a trace's are not followed" in source.description


def test_infer_takes_them_and_completions_does_not():
    (payload,) = receipts(RequestFormat("infer", "m")).payloads(1, seed=1)
    assert payload.content_type.startswith("multipart/form-data")
    with pytest.raises(UsageError, match="no images"):
        receipts(RequestFormat("completions", "m"))
    with pytest.raises(UsageError, match="nobody can read"):
        receipts(CHAT, width=64, height=512)
