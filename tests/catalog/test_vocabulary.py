from __future__ import annotations

import pytest
from gguf_writer import Typed, llama

from pilotage.catalog import TokenType, Vocabulary, read_header
from pilotage.errors import ModelError


def vocabulary(tmp_path, **changes):
    path = tmp_path / "m.gguf"
    path.write_bytes(llama(**changes))
    return Vocabulary.from_gguf(read_header(path))


def test_tokens_types_and_ends(tmp_path):
    found = vocabulary(tmp_path)
    assert (found.model, found.bos_id, found.eos_id) == ("gpt2", None, 0)
    assert found.tokens == ("<|end|>", "a", "Ġb", "é")
    assert found.types == (TokenType.CONTROL, *(TokenType.NORMAL,) * 3)


def test_without_types_every_token_is_a_normal_one(tmp_path):
    found = vocabulary(tmp_path, **{"tokenizer.ggml.token_type": None})
    assert set(found.types) == {TokenType.NORMAL}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"tokenizer.ggml.tokens": None}, "holds no vocabulary"),
        ({"tokenizer.ggml.tokens": Typed("str", [])}, "holds no vocabulary"),
        ({"tokenizer.ggml.tokens": Typed("u8", [1])}, "not a list of strings"),
        ({"tokenizer.ggml.tokens": Typed("str", [b"\xff"])}, "not UTF-8"),
        ({"tokenizer.ggml.token_type": Typed("i32", [1])}, "4 tokens and 1 token types"),
        ({"tokenizer.ggml.token_type": Typed("i32", [1, 1, 1, 99])}, "unknown token type 99"),
        ({"tokenizer.ggml.eos_token_id": Typed("u32", 4)}, "beyond the vocabulary"),
    ],
)
def test_contradictions_are_refused(tmp_path, changes, reason):
    with pytest.raises(ModelError, match=reason):
        vocabulary(tmp_path, **changes)
