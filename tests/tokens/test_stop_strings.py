import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotage.tokens import StopStrings

TEXTS = st.text("ab\n", max_size=40)
STOPS = st.lists(st.text("ab\n", min_size=1, max_size=6), max_size=5)


def naive(text: str, stops: list[str], *, include: bool) -> tuple[str, str | None]:
    """The text before the first complete stop string, by looking at every prefix."""
    for end in range(len(text) + 1):
        if ending := [stop for stop in stops if text[:end].endswith(stop)]:
            stop = max(ending, key=len)
            return text[: end if include else end - len(stop)], stop
    return text, None


def chunked(text: str, cuts: list[int]) -> list[str]:
    places = sorted({cut % (len(text) + 1) for cut in cuts} | {0, len(text)})
    return [text[a:b] for a, b in pairwise(places)]


@given(TEXTS, STOPS, st.lists(st.integers(0, 100)), st.booleans())
def test_any_chunks_give_what_the_whole_text_gives(text, stops, cuts, include):
    strings = StopStrings(stops, include=include)
    out, found = "", False
    for chunk in chunked(text, cuts):
        released, found = strings.push(chunk)
        out += released
    out += strings.flush()
    assert (out, strings.matched) == naive(text, stops, include=include)
    assert found == (strings.matched is not None)


@given(TEXTS, STOPS)
def test_no_more_is_held_back_than_must_be(text, stops):
    strings = StopStrings(stops)
    out = ""
    for end, character in enumerate(text, 1):
        released, found = strings.push(character)
        out += released
        if found:
            return
        beginnings = [n for s in stops for n in range(1, len(s)) if text[:end].endswith(s[:n])]
        assert out == text[: end - max(beginnings, default=0)]


def test_text_after_the_stop_is_dropped():
    strings = StopStrings(["END"])
    assert strings.push("one EN") == ("one ", False)
    assert strings.push("D two") == ("", True)
    assert strings.push("three") == ("", True)
    assert strings.flush() == ""
    assert strings.matched == "END"


def test_text_held_in_vain_comes_out():
    strings = StopStrings(["END"])
    assert strings.push("EN") == ("", False)
    assert strings.push("TER E") == ("ENTER ", False)
    assert strings.flush() == "E"
    assert strings.flush() == ""


def test_included():
    strings = StopStrings(["</a>"], include=True)
    assert strings.push("x</") == ("x", False)
    assert strings.push("a>y") == ("</a>", True)


def test_without_stops_all_passes():
    strings = StopStrings([])
    assert strings.push("anything") == ("anything", False)
    assert strings.flush() == ""


def test_empty_stop_strings_are_refused():
    with pytest.raises(ValueError, match="at least one character"):
        StopStrings(["a", ""])


@pytest.mark.parametrize("step", [1, 4096])
def test_long_stops_on_hostile_text_stay_linear(step):
    stops = ["a" * (1000 + n) + "b" for n in range(16)]
    text = ("a" * 999 + "c") * 20

    def seconds(text: str) -> float:
        strings = StopStrings(stops)
        started = time.process_time()
        out = "".join(strings.push(text[n : n + step])[0] for n in range(0, len(text), step))
        assert out + strings.flush() == text
        return time.process_time() - started

    # Quadratic time would be minutes here; linear time is a fraction of a second.
    assert seconds(text) < 2
