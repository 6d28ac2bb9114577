"""The whole comparison on made-up models whose best choice is known."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from decimal import Decimal
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from pilotage.cli.route_evaluate import evaluate
from pilotage.errors import UsageError
from pilotage.route.evaluation import (
    Evaluation,
    Matrix,
    ModelPrice,
    as_dict,
    evaluate_matrices,
    html_page,
)
from pilotage.route.evaluation.measure import Measured

_PRICES = (
    ModelPrice(Decimal(1), Decimal(1), "test"),
    ModelPrice(Decimal(20), Decimal(20), "test"),
)


def _by_name(found: Evaluation) -> dict[str, Measured]:
    return {one.name: one for one in found.measured}


@pytest.fixture(scope="module")
def with_answers(make_matrix: Callable[..., Matrix]) -> Evaluation:
    fit, test = (make_matrix(rows, seed, answers=True) for rows, seed in ((300, 1), (400, 2)))
    return evaluate_matrices(fit, test, _PRICES, draws=60)


def test_policies_beat_the_mix_and_never_the_oracle(with_answers: Evaluation) -> None:
    found = _by_name(with_answers)
    mix, oracle = found["linear mix"], found["oracle"]
    assert mix.gap_closed.value == pytest.approx(0)
    assert oracle.gap_closed.value == pytest.approx(1)
    for name in ("router", "cascade routing"):
        ours = found[name]
        assert mix.area.value < ours.area.value < oracle.area.value
        assert ours.gap_closed.low > 0.1
        assert not ours.below_mix
        assert ours.saved_at_95.value > mix.saved_at_95.value
    # The drafts tell by themselves whether they are right: reading them is worth a lot.
    assert found["cascade routing"].area.value > found["router"].area.value + 0.01
    assert with_answers.winner.name == "cascade routing"


def test_a_judge_on_every_draft_costs_more_than_it_gives_to_a_reader_of_drafts(
    with_answers: Evaluation,
) -> None:
    found = _by_name(with_answers)
    assert found["judge cascade"].area.value < found["cascade routing"].area.value
    assert "stand-in" in " ".join(with_answers.notes)


def test_intervals_hold_their_figures(with_answers: Evaluation) -> None:
    for one in with_answers.measured:
        for figure in (one.area, one.cost, one.saved_at_95, one.gap_closed):
            if np.isfinite(figure.low):
                assert figure.low <= figure.value + 0.05 * abs(figure.value)
                assert figure.high >= figure.value - 0.05 * abs(figure.value)


def test_the_big_model_alone_saves_by_mixing_with_the_cheapest(with_answers: Evaluation) -> None:
    found = _by_name(with_answers)
    small, big = found["small"].alone, found["big"].alone
    share = (0.95 * big[1] - small[1]) / (big[1] - small[1])
    assert found["big"].calls_saved_at_95.value == pytest.approx(1 - share)
    cost = small[0] + share * (big[0] - small[0])
    assert found["big"].saved_at_95.value == pytest.approx(1 - cost / big[0])
    assert np.isnan(found["small"].saved_at_95.value)


def test_where_prompts_say_nothing_the_mix_remains(make_matrix: Callable[..., Matrix]) -> None:
    fit, test = (make_matrix(200, seed, noise=True) for seed in (3, 4))
    found = evaluate_matrices(fit, test, _PRICES, draws=60)
    router = _by_name(found)["router"]
    assert "cascade routing" not in _by_name(found)
    assert abs(router.gap_closed.value) < 0.15
    assert not router.below_mix


def test_json_has_what_is_promised(with_answers: Evaluation) -> None:
    data = json.loads(json.dumps(as_dict(with_answers), allow_nan=False))
    assert data["gap_closed"] == data["policies"]["cascade routing"]["gap_closed"]
    assert data["best_policy"] == "cascade routing"
    assert data["below_mix"] is False
    for one in data["policies"].values():
        assert {"area", "cost", "quality", "saved_at_95", "calls_saved_at_95"} <= one.keys()
        assert all(cost > 0 and 0 <= quality <= 1 for cost, quality in one["curve"])
    assert data["policies"]["small"]["saved_at_95"] is None
    small = _by_name(with_answers)["small"].alone
    assert (data["policies"]["small"]["cost"], data["policies"]["small"]["quality"]) == small


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def test_the_page_needs_nothing_but_itself_and_escapes_names(
    make_matrix: Callable[..., Matrix],
) -> None:
    fit, test = (
        Matrix(
            source="<script>alert(1)</script>",
            models=("<img src=x>", "big"),
            prompts=one.prompts,
            scores=one.scores,
            answers=one.answers,
        )
        for one in (make_matrix(40, 1), make_matrix(40, 2))
    )
    page = html_page(evaluate_matrices(fit, test, _PRICES, draws=5))
    tags = _Tags()
    tags.feed(page)
    names = [tag for tag, _ in tags.found]
    assert names.count("script") == 1 and "img" not in names and "link" not in names
    assert names.count("svg") == 1 and names.count("path") >= 4
    assert not re.search(r"(?:src|href)=", re.sub(r"&lt;.*?&gt;", "", page))
    assert "default-src &#39;none&#39;" in page or "default-src 'none'" in page


def _write(folder: Path, matrix: Matrix, name: str) -> str:
    rows = (
        {"prompt": prompt, "scores": dict(zip(matrix.models, scores, strict=True))}
        for prompt, scores in zip(matrix.prompts, matrix.scores.tolist(), strict=True)
    )
    path = folder / name
    path.write_text("\n".join(map(json.dumps, rows)), "utf-8")
    return str(path)


def _run(*args: str) -> Any:
    app = typer.Typer()
    app.command()(evaluate)
    return CliRunner().invoke(app, list(args), env={"COLUMNS": "120"})


def test_the_command_prints_a_table_or_json_and_writes_a_page(
    make_matrix: Callable[..., Matrix], tmp_path: Path
) -> None:
    fit = _write(tmp_path, make_matrix(60, 1), "fit.jsonl")
    test = _write(tmp_path, make_matrix(60, 2), "test.jsonl")
    prices = tmp_path / "prices.json"
    prices.write_text('{"small": 1, "big": 20}')
    files = ("--fit", fit, "--test", test, "--prices", str(prices))
    data = json.loads(_run(*files, "--json").stdout)
    assert data["test"]["rows"] == 60
    page = tmp_path / "page.html"
    shown = _run(*files, "--html", str(page))
    assert shown.exit_code == 0
    for word in ("linear mix", "nearest neighbours", "router", "oracle", "of the gap"):
        assert word in shown.stdout
    assert page.read_text("utf-8").startswith("<!doctype html>")


def test_unknown_prices_are_an_error(make_matrix: Callable[..., Matrix], tmp_path: Path) -> None:
    fit = _write(tmp_path, make_matrix(60, 1), "fit.jsonl")
    test = _write(tmp_path, make_matrix(60, 2), "test.jsonl")
    ran = _run("--fit", fit, "--test", test)
    assert isinstance(ran.exception, UsageError)
    assert "no price of the model" in str(ran.exception)


def test_without_scikit_learn_it_says_what_to_install(
    make_matrix: Callable[..., Matrix], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.neighbors", None)
    with pytest.raises(UsageError, match=r"pip install 'pilotage\[route\]'"):
        evaluate_matrices(make_matrix(40, 1), make_matrix(40, 2), _PRICES, draws=5)
