"""Lists of numbers, there and back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotage.devices.numbers import format_ranges, parse_ranges


@given(st.sets(st.integers(0, 300)))
def test_what_is_written_is_read(numbers: set[int]) -> None:
    assert parse_ranges(format_ranges(numbers)) == tuple(sorted(numbers))


def test_as_the_kernel_and_the_neuron_runtime_write_them() -> None:
    assert parse_ranges("0-2,10, 12-13\n") == (0, 1, 2, 10, 12, 13)
    assert parse_ranges("") == ()
    assert format_ranges((4, 5)) == "4-5"
    assert format_ranges((11, 10, 3)) == "3,10-11"


@pytest.mark.parametrize("text", ["a", "3-", "-1", "5-2", "0-99999999", "1;2", "٣"])
def test_other_things_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a"):
        parse_ranges(text)
