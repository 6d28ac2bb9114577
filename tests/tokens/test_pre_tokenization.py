import pytest

from pilotage.tokens.pre_tokenization import PRE_TOKENIZATIONS
from pilotage.tokens.token_bytes import byte_level_piece


def words(name: str, text: str) -> list[str]:
    steps = PRE_TOKENIZATIONS[name].steps()
    return [byte_level_piece(word).decode() for word, _ in steps.pre_tokenize_str(text)]


TEXT = "I'LL pay $1234.5 it's\n\n  ok"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "gpt-2",
            ["I", "'", "LL", " pay", " $", "1234", ".", "5", " it", "'s", "\n\n ", " ok"],
        ),
        (
            "smollm",
            ["I", "'", "LL", " pay", " $", *"1234", ".", "5", " it", "'s", "\n\n ", " ok"],
        ),
        (
            "llama-bpe",
            ["I", "'LL", " pay", " $", "123", "4", ".", "5", " it", "'s", "\n\n", " ", " ok"],
        ),
        (
            "qwen2",
            ["I", "'LL", " pay", " $", *"1234", ".", "5", " it", "'s", "\n\n", " ", " ok"],
        ),
        (
            "default",
            [
                "I",
                "'",
                "LL",
                " pay",
                " ",
                "$",
                "123",
                "4",
                ".",
                "5",
                " it",
                "'",
                "s",
                "\n\n ",
                " ok",
            ],
        ),
    ],
)
def test_words(name, expected):
    assert words(name, TEXT) == expected


@pytest.mark.parametrize("name", sorted(PRE_TOKENIZATIONS))
def test_no_character_is_lost(name):
    text = "Año 2024: “ça va”\t日本語123 🎉\r\n  end  \x00"
    assert "".join(words(name, text)) == text


def test_whole_words_need_no_merges(open_gguf):
    from gguf_writer import Typed
    from vocabularies import byte_level_metadata

    metadata = byte_level_metadata()
    merges = {"merges": Typed("str", ["1 2"])}
    texts = {}
    for pre in ("gpt-2", "llama-bpe"):
        tokenizer = open_gguf(**metadata | merges | {"pre": Typed("str", pre)})
        ids = tokenizer.encode("abc", add_special_tokens=False)
        texts[pre] = [tokenizer.token_text(token) for token in ids]
    assert texts == {"gpt-2": ["a", "b", "c"], "llama-bpe": ["abc"]}


def test_qwen2_composes(open_gguf):
    from gguf_writer import Typed
    from vocabularies import byte_level_metadata

    decomposed = "e\u0301"
    qwen = open_gguf(**byte_level_metadata(pre=Typed("str", "qwen2")))
    assert qwen.decode(qwen.encode(decomposed)) == "\u00e9"
    gpt = open_gguf(**byte_level_metadata())
    assert gpt.decode(gpt.encode(decomposed)) == decomposed
