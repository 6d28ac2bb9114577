from collections import Counter

import pytest
from calibrating import requests

from pilotage.route.calibration.rows import Part, Row


def row(prompt="hello", **fields):
    return Row(prompt=prompt, prompt_chars=40, scores={"small": 1.0}, **fields)


def test_the_parts_have_their_shares():
    counts = Counter(one.part for one in requests(4000).rows)
    shares = {part: counts[part] / 4000 for part in Part}
    expected = {Part.FIT: 0.4, Part.TUNE: 0.15, Part.BOUND: 0.15, Part.TEST: 0.3}
    assert shares == pytest.approx(expected, abs=0.03)


def test_a_prompt_is_in_one_part_whatever_else_changes():
    # Pinned: a row that moved to another part with a new version would have been fitted on.
    assert row().part is Part.TEST
    assert row(images=2, tokens={"small": (1, 2)}).part is row().part


def test_tokens_are_told_or_estimated():
    told = row(tokens={"small": (30, 7)}, answers={"small": "a" * 400}).usage("small", 256)
    assert (told.prompt_tokens, told.completion_tokens, told.estimated) == (30, 7, False)
    by_text = row(answers={"small": "a" * 400}).usage("small", 256)
    assert (by_text.prompt_tokens, by_text.completion_tokens, by_text.estimated) == (11, 101, True)
    assert row(logprobs={"small": [-1.0] * 9}).usage("small", 256).completion_tokens == 9
    assert row().usage("small", 256).completion_tokens == 256
