"""The scorer of drafts learns from what drafts look like."""

from __future__ import annotations

import copy
import json
from typing import Any

import numpy as np
import pytest

from pilotage.errors import UsageError
from pilotage.route.estimators.answer_marks import ANSWER_MARKS, answer_marks
from pilotage.route.estimators.answer_scorer import AnswerScorer, fit_answer_scorer
from pilotage.route.estimators.arrays import packed

PROMPTS = [f"How many is {number} and one?" for number in range(60)]
ANSWERS = [f"It is {number + number % 2}." for number in range(60)]


@pytest.fixture(scope="module")
def scorer() -> AnswerScorer:
    scores = np.array([[number % 2, 1.0] for number in range(60)])
    return fit_answer_scorer(PROMPTS, ANSWERS, scores)[0]


def test_json_changes_nothing(scorer: AnswerScorer) -> None:
    again = AnswerScorer.from_dict(json.loads(json.dumps(scorer.as_dict())))
    assert (again.predict(PROMPTS, ANSWERS) == scorer.predict(PROMPTS, ANSWERS)).all()
    assert again.models == 2
    assert len(answer_marks("", "")) == ANSWER_MARKS


def test_one_answer_is_scored_as_among_many(scorer: AnswerScorer) -> None:
    # What was calibrated on many rows at once holds for the request that comes alone.
    many = scorer.predict(PROMPTS, ANSWERS)
    alone = [scorer.predict([one], [said])[0] for one, said in zip(PROMPTS, ANSWERS, strict=True)]
    np.testing.assert_allclose(alone, many, atol=1e-6)


_NO_MARKS = packed(np.zeros(ANSWER_MARKS, np.float32), "<f4")
_FEW = packed(np.ones(3, np.float32), "<f4")


@pytest.mark.parametrize(
    "change",
    [
        {"form": "pilotage.classifier/1"},
        {"asked": None},
        {"said": {}},
        {"predictor": []},
        {"centre": _FEW, "scale": _FEW},
        {"scale": _NO_MARKS},
        {"centre": packed(np.full(ANSWER_MARKS, np.nan, np.float32), "<f4")},
        {"centre": {"kind": "<f4", "shape": [1 << 40], "data": ""}},
        {"centre": {"kind": "|O", "shape": [1], "data": ""}},
    ],
)
def test_damage_is_refused(scorer: AnswerScorer, change: dict[str, Any]) -> None:
    with pytest.raises(UsageError) as caught:
        AnswerScorer.from_dict(copy.deepcopy(scorer.as_dict()) | change)
    assert caught.value.hint == "Calibrate again"


def test_parts_of_two_scorers_do_not_mix(scorer: AnswerScorer) -> None:
    other = fit_answer_scorer(PROMPTS[:30], ["Yes."] * 30, np.ones((30, 2)))[0]
    with pytest.raises(UsageError, match="damaged"):
        AnswerScorer.from_dict(scorer.as_dict() | {"said": other.said.as_dict()})
    for data in (None, [], "x"):
        with pytest.raises(UsageError, match="another form"):
            AnswerScorer.from_dict(data)  # type: ignore[arg-type]


def test_hedging_drafts_are_told_from_sound_ones() -> None:
    drawn = np.random.default_rng(0)
    unsure = drawn.random(240) < 0.4
    prompts = [f"What is the {number}th word of page {number % 7}?" for number in range(240)]
    answers = [
        "I am not sure, it cannot be told." if one else f"It is word {number}."
        for number, one in enumerate(unsure)
    ]
    scores = np.stack([~unsure, np.ones(240, bool)], axis=1).astype(float)
    scorer, held_out = fit_answer_scorer(prompts[:160], answers[:160], scores[:160])
    said = scorer.predict(prompts[160:], answers[160:])
    assert said.shape == (80, 2)
    assert said[unsure[160:], 0].max() < said[~unsure[160:], 0].min()
    assert held_out[unsure[:160], 0].mean() + 0.5 < held_out[~unsure[:160], 0].mean()
    assert scorer.predict([], []).shape == (0, 2)
