"""The classifier learns what can be learnt, says so the same after JSON, and needs NumPy alone."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pilotage.errors import UsageError
from pilotage.route.estimators.classifier import Classifier, fit_classifier, fit_held_out
from pilotage.route.estimators.forest import forest_of

_TOPICS = {
    "history": ("Who was king of {} when the war in {} ended?", (0.9, 0.8)),
    "sums": ("Compute {} + {} and write the result.", (0.1, 0.9)),
    "code": ("def f(x):  # returns {} if x > {}\n    ???", (0.5, 0.1)),
}


def _data(count: int, seed: int) -> tuple[list[str], NDArray[np.float64], NDArray[np.float64]]:
    """Prompts of three kinds, flags drawn with each kind's chances, and the chances."""
    drawn = np.random.default_rng(seed)
    kinds = drawn.integers(0, 3, count)
    every = list(_TOPICS.values())
    words = ("Spain", "France", "seven", "Peru", "nine", "Norway")
    prompts = [
        every[kind][0].format(words[drawn.integers(6)], f"{words[drawn.integers(6)]} {number}")
        for number, kind in enumerate(kinds)
    ]
    chances = np.array([every[kind][1] for kind in kinds])
    return prompts, (drawn.random(chances.shape) < chances).astype(float), chances


@pytest.fixture(scope="module")
def fitted() -> tuple[Classifier, NDArray[np.float64], NDArray[np.float64]]:
    prompts, flags, chances = _data(400, 0)
    classifier, held_out = fit_held_out(prompts, flags)
    return classifier, held_out, chances


def test_it_finds_the_chances_of_prompts_it_has_not_seen(
    fitted: tuple[Classifier, NDArray[np.float64], NDArray[np.float64]],
) -> None:
    prompts, _, chances = _data(200, 1)
    said = fitted[0].predict(prompts)
    assert said.shape == (200, 2)
    assert np.abs(said - chances).mean() < 0.1
    best = said.argmax(axis=1) == chances.argmax(axis=1)
    assert best.mean() > 0.95


def test_held_out_predictions_are_no_better_than_they_may_be(
    fitted: tuple[Classifier, NDArray[np.float64], NDArray[np.float64]],
) -> None:
    _, flags, chances = _data(400, 0)
    held_out = fitted[1]
    # Nothing that had not seen the flags could be nearer to them than their chances are.
    assert ((held_out - flags) ** 2).mean() > ((chances - flags) ** 2).mean() - 0.005
    assert np.abs(held_out - chances).mean() < 0.1


def test_json_changes_nothing(
    fitted: tuple[Classifier, NDArray[np.float64], NDArray[np.float64]],
) -> None:
    classifier = fitted[0]
    text = json.dumps(classifier.as_dict())
    again = Classifier.from_dict(json.loads(text))
    prompts = _data(20, 2)[0]
    assert (again.predict(prompts) == classifier.predict(prompts)).all()
    assert again.models == 2
    assert again.estimate_one(prompts[0]) == pytest.approx(classifier.predict(prompts)[0])
    assert again.predict([]).shape == (0, 2)


def test_fitting_again_gives_the_same() -> None:
    prompts, flags, _ = _data(60, 3)
    one, other = (fit_classifier(prompts, flags, seed=5) for _ in range(2))
    assert json.dumps(one.as_dict()) == json.dumps(other.as_dict())


def test_noise_teaches_nothing_much() -> None:
    prompts, _, _ = _data(300, 4)
    noise = (np.random.default_rng(0).random((300, 2)) < 0.5).astype(float)
    _, held_out = fit_held_out(prompts, noise)
    assert np.abs(held_out - noise.mean(axis=0)).mean() < 0.08


def test_scores_may_be_missing() -> None:
    prompts, flags, chances = _data(300, 5)
    flags[::3, 0] = np.nan
    flags[1::3, 1] = np.nan
    said = fit_classifier(prompts, flags).predict(prompts)
    assert np.isfinite(said).all()
    assert np.abs(said - chances).mean() < 0.15


def test_prompts_that_recur_count_once() -> None:
    flags = np.tile([[1.0, 0.0], [0.0, 1.0]], (100, 1))
    classifier, held_out = fit_held_out(["always the same"] * 200, flags)
    assert classifier.estimate_one("always the same") == pytest.approx((0.5, 0.5))
    assert held_out == pytest.approx(np.full((200, 2), 0.5))


def test_a_handful_of_rows_gives_the_means() -> None:
    classifier = fit_classifier(["a b", "c d", ""], np.array([[1.0, 0], [1, 0], [0.4, 0.3]]))
    assert classifier.estimate_one("whatever") == pytest.approx((0.8, 0.1))


@pytest.mark.parametrize(
    ("prompts", "scores"),
    [([], np.empty((0, 2))), (["a"], np.empty((1, 0))), (["a"], np.array([[1.0, np.nan]]))],
)
def test_nothing_to_fit_to(prompts: list[str], scores: NDArray[np.float64]) -> None:
    with pytest.raises(UsageError):
        fit_classifier(prompts, scores)


def test_without_scikit_learn_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.decomposition", None)
    with pytest.raises(UsageError, match=r"pip install 'pilotage\[route\]'"):
        fit_classifier(["a", "b"], np.ones((2, 2)))


def test_predicting_needs_numpy_alone(
    fitted: tuple[Classifier, NDArray[np.float64], NDArray[np.float64]], tmp_path: Path
) -> None:
    file = tmp_path / "classifier.json"
    file.write_text(json.dumps(fitted[0].as_dict()))
    program = (
        "import json, sys\n"
        "from pilotage.route.estimators.classifier import Classifier\n"
        "one = Classifier.from_dict(json.load(open(sys.argv[1])))\n"
        "said = one.estimate_one('Compute seven + nine 3 and write the result.')\n"
        "assert not {'sklearn', 'scipy', 'pandas'} & set(sys.modules), 'more than NumPy'\n"
        "print(json.dumps(said))\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", program, str(file)], capture_output=True, text=True, check=True
    )
    said = json.loads(run.stdout)
    assert said[1] - said[0] > 0.5


def _forest(data: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = data["predictor"]["forest"]
    return found


def test_damage_is_a_clear_error(
    fitted: tuple[Classifier, NDArray[np.float64], NDArray[np.float64]],
) -> None:
    whole = fitted[0].as_dict()
    damages: list[dict[str, Any]] = [{}, {"form": "pilotage.classifier/0"}]
    for part in ("space", "predictor"):
        for name in whole[part]:
            one = copy.deepcopy(whole)
            one[part][name] = {"kind": "<f4", "shape": [1], "data": "AAAA"}
            damages.append(one)
            one = copy.deepcopy(whole)
            del one[part][name]
            damages.append(one)
    loops = copy.deepcopy(whole)
    _forest(loops)["depth"] = 10**9
    swapped = copy.deepcopy(whole)
    _forest(swapped)["roots"] = _forest(swapped)["right"] | {"shape": [-1]}
    wild = copy.deepcopy(whole)
    _forest(wild)["inputs"] = _forest(wild)["thresholds"]
    for one in (*damages, loops, swapped, wild):
        with pytest.raises(UsageError, match="Calibrate again"):
            Classifier.from_dict(one)


def test_the_forest_says_what_scikit_learns_trees_do() -> None:
    from sklearn.ensemble import ExtraTreesRegressor

    drawn = np.random.default_rng(0)
    rows = drawn.normal(size=(200, 6)).astype(np.float32)
    wanted = np.stack([rows[:, 0] > 0, rows[:, 1] * rows[:, 2]], axis=1).astype(float)
    theirs = ExtraTreesRegressor(20, min_samples_leaf=3, random_state=0).fit(rows, wanted)
    fresh = drawn.normal(size=(100, 6)).astype(np.float32)
    ours = forest_of(theirs.estimators_).predict(fresh)
    assert ours == pytest.approx(theirs.predict(fresh), abs=2e-3)  # leaves are of half precision
