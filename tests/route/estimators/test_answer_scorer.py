"""The scorer of drafts learns from what drafts look like."""

from __future__ import annotations

import numpy as np

from pilotage.route.estimators.answer_scorer import fit_answer_scorer


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
