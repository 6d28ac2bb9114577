import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pilotage.tokens import IncrementalDetokenizer

# The first few hundred ids are special tokens and single bytes: most sequences are broken UTF-8.
IDS = st.lists(st.one_of(st.integers(0, 300), st.integers(-5, 50_000)), max_size=40)
relaxed = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def streamed(tokenizer, ids, skip):
    detokenizer = IncrementalDetokenizer(tokenizer, skip_special_tokens=skip)
    return [detokenizer.push([token]) for token in ids] + [detokenizer.flush()]


@relaxed
@given(IDS, st.booleans())
def test_the_pieces_make_what_decode_makes(smollm, ids, skip):
    assert "".join(streamed(smollm, ids, skip)) == smollm.decode(ids, skip_special_tokens=skip)


@relaxed
@given(st.lists(st.integers(-1, 275), max_size=30), st.booleans())
def test_sentencepiece(sentencepiece, ids, skip):
    whole = sentencepiece.decode(ids, skip_special_tokens=skip)
    assert "".join(streamed(sentencepiece, ids, skip)) == whole


@relaxed
@given(st.text(st.characters(exclude_categories=["Cs"])), st.lists(st.integers(1, 5)))
def test_any_text_in_any_batches(smollm, text, sizes):
    ids = smollm.encode(text)
    detokenizer = IncrementalDetokenizer(smollm)
    out, rest = "", ids
    for size in sizes:
        out += detokenizer.push(rest[:size])
        rest = rest[size:]
    assert out + detokenizer.push(rest) + detokenizer.flush() == smollm.decode(ids)


@relaxed
@given(st.lists(st.integers(17, 300), max_size=30))
def test_decode_is_the_librarys(smollm, ids):
    backend = smollm._parts.backend  # the reference implementation, on the same vocabulary
    assert smollm.decode(ids) == backend.decode(ids)


def test_a_character_comes_when_it_is_whole(smollm):
    ids = smollm.encode("🦜!")
    pieces = streamed(smollm, ids, skip=True)
    assert "".join(pieces) == "🦜!"
    assert pieces[0] == ""
    assert not any("\N{REPLACEMENT CHARACTER}" in piece for piece in pieces)


def test_broken_bytes_are_told_at_once_and_the_rest_at_the_end(smollm):
    first = smollm.encode("🦜")[0]
    (letter,) = smollm.encode("a")
    assert streamed(smollm, [first, letter], skip=True) == ["", "\ufffda", ""]
    assert streamed(smollm, [letter, first], skip=True) == ["a", "", "\ufffd"]


@pytest.mark.parametrize("skip", [True, False])
def test_the_leading_space_of_sentencepiece(sentencepiece, skip):
    ids = sentencepiece.encode("ab ab", add_special_tokens=False)
    assert streamed(sentencepiece, ids, skip)[0] == "ab"
    assert "".join(streamed(sentencepiece, ids, skip)) == "ab ab"
