"""Names of models as different files spell them."""

from __future__ import annotations

import pytest

from pilotage.route.evaluation.names import answer_stem, find_name, result_stem

_NAMES = ("mistralai/Mixtral-8x7B-Instruct-v0.1", "gpt-4-1106-preview", "mistral-7b-v0.1")


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("gpt-4-1106-preview", _NAMES[1]),
        ("gpt_4_1106", _NAMES[1]),
        ("mixtral_8x7b", _NAMES[0]),
        ("MIXTRAL-8X7B-INSTRUCT-v0.1", _NAMES[0]),
        ("mistral-7b-instruct-v0.3", None),  # another version is another model
        ("gpt-4", None),
        ("gpt-4o", None),
        ("", None),
        ("instruct", None),
    ],
)
def test_find_name(name: str, found: str | None) -> None:
    assert find_name(name, _NAMES) == found


def test_two_that_fit_alike_are_none() -> None:
    assert find_name("mistral-7b", ("mistral-7b-v0.1", "mistral-7b-v0.3")) is None


def test_stems() -> None:
    assert result_stem("gpt_4_1106_correct") == "gpt_4_1106"
    assert result_stem("a-score") == "a"
    assert result_stem("_correct") is None
    assert result_stem("gpt-4") is None
    assert answer_stem("gpt-4-1106-preview_response") == "gpt-4-1106-preview"
    assert answer_stem("response") is None
