"""The glossary: found however it is written, helpful where it is not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotage.errors import UsageError
from pilotage.plan.glossary import Entry, entries, explain


@pytest.mark.parametrize(
    ("term", "title"),
    [
        ("TTFT", "Time to first token (TTFT)"),
        ("ttft_p99", "Time to first token (TTFT)"),
        ("time-to-first-token", "Time to first token (TTFT)"),
        ("KV-caches", "KV cache"),
        ("utilization", "Utilisation"),
        ("roofline floor", "Roofline floor"),
        ("tensor_parallel", "Tensor parallelism (TP)"),
        ("erlang-c", "Erlang-C"),
        ("Spot instances", "Spot instance"),
        ("activation peak", "Activation peak"),
        ("provisioned throughput", "Bedrock provisioned throughput"),
        ("idle waste", "Idle waste"),
        ("goodput", "Goodput"),
        ("prefill", "Prefill"),
        ("decode", "Decode"),
    ],
)
def test_a_term_is_found_however_it_is_written(term: str, title: str) -> None:
    assert explain(term).title == title


@pytest.mark.parametrize(
    ("term", "meant"),
    [
        ("goodputt", "goodput"),
        ("utilsation", "utilisation"),
        ("tenser parallel", "tensor parallel"),
    ],
)
def test_an_unknown_term_names_the_nearest(term: str, meant: str) -> None:
    with pytest.raises(UsageError) as caught:
        explain(term)
    assert caught.value.exit_code == 2
    assert f'Did you mean "{meant}"?' in str(caught.value)


def test_a_term_unlike_any_other_lists_them_all() -> None:
    with pytest.raises(UsageError) as caught:
        explain("xyzzy" * 20)
    assert caught.value.hint and caught.value.hint.startswith("Terms are ")
    assert all(entry.names[0] in caught.value.hint for entry in entries())
    assert len(caught.value.message) < 80


@pytest.mark.parametrize("entry", entries(), ids=lambda entry: entry.names[0])
def test_every_entry_is_whole_and_found_by_each_of_its_names(entry: Entry) -> None:
    assert entry.text.endswith(".")
    assert not entry.formula or entry.source or "/" in entry.formula or "=" in entry.formula
    for name in entry.names:
        assert explain(name) is entry


@given(term=st.text())
def test_any_text_is_answered_or_refused(term: str) -> None:
    try:
        assert explain(term) in entries()
    except UsageError as error:
        assert "\n" not in str(error)
