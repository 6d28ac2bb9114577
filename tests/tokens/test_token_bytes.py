import pytest
from tokenizers import decoders, pre_tokenizers

from pilotage.tokens.token_bytes import byte_level_piece, sentencepiece_piece


def test_the_byte_alphabet_is_that_of_the_library():
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    assert sorted(byte_level_piece(character) for character in alphabet) == [
        bytes([byte]) for byte in range(256)
    ]
    for text in ("Hello wörld\n\t", "日本語", "\x00\x7f\x80\xad"):
        ((token, _),) = pre_tokenizers.ByteLevel(
            add_prefix_space=False, use_regex=False
        ).pre_tokenize_str(text)
        assert byte_level_piece(token) == text.encode()
        assert decoders.ByteLevel().decode([token]) == text


@pytest.mark.parametrize("text", ["<\uff5cend▁of▁text\uff5c>", "two words", "\xa0", "\xad", "日本"])
def test_a_token_outside_the_alphabet_is_literal(text):
    assert byte_level_piece(text) == text.encode()


@pytest.mark.parametrize(
    ("token", "piece"),
    [
        ("▁Hello", b" Hello"),
        ("▁▁", b"  "),
        ("<0x0A>", b"\n"),
        ("<0xff>", b"\xff"),
        ("<0x0A>x", b"<0x0A>x"),
        ("<0x100>", b"<0x100>"),
        ("é", "é".encode()),
    ],
)
def test_sentencepiece(token, piece):
    assert sentencepiece_piece(token) == piece
