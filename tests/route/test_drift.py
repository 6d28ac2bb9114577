"""Alerts when answers are no longer what was predicted, and none before."""

from __future__ import annotations

import random

import pytest

from pilotage.route.drift import Alert, Drift


def until_alert(drift: Drift, predicted: float, right: float, most: int, seed: int) -> Alert | None:
    """Audits of answers that are right with some probability, up to an alert."""
    drawn = random.Random(seed)
    for _ in range(most):
        alert = drift.observe("small", predicted, float(drawn.random() < right))
        if alert is not None:
            return alert
    return None


def test_answers_that_got_worse_are_noticed_soon() -> None:
    found = [until_alert(Drift(), 0.9, 0.6, 400, seed) for seed in range(50)]
    assert all(found)
    assert sum(one.audits for one in found if one) / len(found) < 150
    for alert in filter(None, found):
        assert alert.audited < alert.predicted == pytest.approx(0.9)
        assert "worse than was predicted" in str(alert)


def test_answers_that_are_better_than_predicted_are_noticed_too() -> None:
    alert = until_alert(Drift(), 0.5, 0.95, 1000, 1)
    assert alert is not None
    assert "better than was predicted" in str(alert)


@pytest.mark.parametrize(("predicted", "right"), [(0.9, 0.9), (0.9, 0.86), (0.5, 0.5)])
def test_false_alarms_are_as_rare_as_promised(predicted: float, right: float) -> None:
    # At least 2,000 audits from one to the next, on average: so of 100 times 200 audits at most a
    # tenth may have one (the sum of a detector after n audits is n on average, and Markov).
    alarms = sum(
        until_alert(Drift(run_length=2000), predicted, right, 200, seed) is not None
        for seed in range(100)
    )
    assert alarms <= 10


def test_after_an_alert_the_watch_begins_anew() -> None:
    drift = Drift()
    first = until_alert(drift, 1.0, 0.0, 1000, 0)
    assert first is not None
    again = until_alert(drift, 1.0, 0.0, 1000, 0)
    assert again == first


def test_tiers_are_watched_apart() -> None:
    drift = Drift(run_length=100)
    for _ in range(60):
        assert drift.observe("good", 0.9, 0.9) is None
        alert = drift.observe("bad", 0.9, 0.0)
        if alert is not None:
            assert alert.tier == "bad"
            return
    pytest.fail("no alert")
