"""Matrices brought together: the same models, and no row on both sides."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from pilotage.errors import UsageError
from pilotage.route.evaluation import Matrix, comparable


def test_models_are_matched_by_name_and_rows_left_out(
    make_matrix: Callable[..., Matrix],
) -> None:
    fit = replace(make_matrix(60, 1), models=("org/Small-v1", "Big-Instruct"))
    test = make_matrix(90, 1).only(("big", "small"))
    shared = replace(test, prompts=fit.prompts[:30] + tuple(map(str, range(60))))
    fitted, tested, seen = comparable(fit, shared)
    assert seen == 30
    assert fitted.models == tested.models == ("big", "small")
    assert len(tested) == 60
    assert not set(tested.prompts) & set(fitted.prompts)
    assert fitted.scores[:, 0].tolist() == fit.scores[:, 1].tolist()


def test_the_same_file_twice_is_refused(make_matrix: Callable[..., Matrix]) -> None:
    whole = make_matrix(50, 1)
    with pytest.raises(UsageError, match="not hold too") as caught:
        comparable(whole, whole)
    assert caught.value.hint is not None and "Split" in caught.value.hint


def test_files_without_common_models_are_refused(make_matrix: Callable[..., Matrix]) -> None:
    fit = make_matrix(50, 1)
    with pytest.raises(UsageError, match="share 1 models"):
        comparable(fit, replace(make_matrix(50, 2), models=("small", "other")))
    with pytest.raises(UsageError, match="no scores of the model 'third'"):
        fit.only(("small", "third"))
