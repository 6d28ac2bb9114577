from itertools import pairwise

import pytest
from gguf_writer import Typed
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from vocabularies import SENTENCEPIECE, sentencepiece_metadata

BOS = 1


def reference(text: str) -> list[str]:
    """SentencePiece's BPE as its paper has it: join the neighbours of the best union."""
    symbols = list("▁" + text.replace(" ", "▁")) if text else []
    while True:
        unions = [
            (-SENTENCEPIECE[left + right][1], place)
            for place, (left, right) in enumerate(pairwise(symbols))
            if left + right in SENTENCEPIECE
        ]
        if not unions:
            break
        _, place = min(unions)
        symbols[place : place + 2] = ["".join(symbols[place : place + 2])]
    pieces = []
    for symbol in symbols:
        known = symbol in SENTENCEPIECE
        pieces += [symbol] if known else [f"<0x{byte:02X}>" for byte in symbol.encode()]
    return pieces


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text("aabbcc é🎉\n"))
def test_merging_and_byte_fallback(sentencepiece, text):
    names = list(SENTENCEPIECE)
    ids = sentencepiece.encode(text)
    assert ids[0] == BOS
    assert [names[token] for token in ids[1:]] == reference(text)
    assert sentencepiece.decode(ids) == text


def test_the_added_space(sentencepiece, open_gguf):
    assert sentencepiece.strips_leading_space
    assert sentencepiece.token_bytes(sentencepiece.encode("a")[1]) == b" a"
    assert sentencepiece.decode(sentencepiece.encode("  a")) == "  a"
    bare = open_gguf(**sentencepiece_metadata(add_space_prefix=Typed("bool", False)))
    assert [bare.token_text(token) for token in bare.encode("ab a")] == ["<s>", "ab", " a"]
    assert bare.decode(bare.encode(" a")) == " a"


def test_byte_tokens_are_not_built_from_their_spelling(sentencepiece):
    assert sentencepiece.decode(sentencepiece.encode("<0x41>")) == "<0x41>"


@pytest.mark.parametrize("text", ["a  b", "   ", " a"])
def test_runs_of_spaces_that_are_tokens(open_gguf, text):
    metadata = sentencepiece_metadata(add_space_prefix=Typed("bool", False))
    metadata["tokens"] = Typed("str", [*metadata["tokens"].value, "▁▁"])
    metadata["token_type"] = Typed("i32", [*metadata["token_type"].value, 4])
    metadata["scores"] = Typed("f32", [*metadata["scores"].value, 0.0])
    tokenizer = open_gguf(**metadata)
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids) == text
    assert (len(SENTENCEPIECE) in ids) == ("  " in text)
