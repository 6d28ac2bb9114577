import pytest
from gguf_writer import Typed
from vocabularies import byte_level_metadata, sentencepiece_metadata

from pilotage.errors import ModelError, UnsupportedModelError


def test_byte_level(open_gguf):
    tokenizer = open_gguf(**byte_level_metadata())
    ids = tokenizer.encode("abc a<|end|>123")
    assert [tokenizer.token_text(token) for token in ids] == ["abc", " a", "<|end|>", "123"]
    assert tokenizer.decode(ids) == "abc a123"


def test_bos_and_eos_only_where_the_file_wants_them(open_gguf):
    plain = open_gguf(**byte_level_metadata())
    assert 0 not in plain.encode("ab")
    both = open_gguf(
        **byte_level_metadata(add_bos_token=Typed("bool", True), add_eos_token=Typed("bool", True))
    )
    assert both.encode("ab") == [0, *plain.encode("ab"), 0]
    assert both.encode("ab", add_special_tokens=False) == plain.encode("ab")
    llama3 = byte_level_metadata(pre=Typed("str", "llama-bpe"))
    assert open_gguf(**llama3).encode("ab") == [0, *plain.encode("ab")]
    refused = llama3 | {"add_bos_token": Typed("bool", False)}
    assert open_gguf(**refused).encode("ab") == plain.encode("ab")


def test_chat_prompts_get_no_second_bos(open_gguf):
    tokenizer = open_gguf(
        **byte_level_metadata(
            add_bos_token=Typed("bool", True),
            chat_template=Typed("str", "{{ bos_token }}{{ messages[0].content }}"),
        )
    )
    assert tokenizer.encode_chat([{"role": "user", "content": "ab"}]) == tokenizer.encode("ab")


def test_the_template_for_tools(open_gguf):
    tokenizer = open_gguf(
        **byte_level_metadata(
            chat_template=Typed("str", "plain"),
            chat_templates=Typed("str", ["tool_use"]),
            **{"chat_template.tool_use": Typed("str", "{{ tools | length }} tools")},
        )
    )
    messages = [{"role": "user", "content": "ab"}]
    assert tokenizer.render_chat(messages) == "plain"
    assert tokenizer.render_chat(messages, tools=[{}, {}]) == "2 tools"


def test_every_token_that_ends_an_answer(open_gguf):
    tokens = ["<a>", "<b>", "<c>", "<|im_end|>", "</s>", "a"]
    tokenizer = open_gguf(
        **byte_level_metadata(
            tokens=Typed("str", tokens),
            token_type=Typed("i32", [3, 3, 3, 3, 1, 1]),
            merges=Typed("str", ["a a"]),
        )
        | {
            "tokens": Typed("str", [*tokens, "aa"]),
            "token_type": Typed("i32", [3, 3, 3, 3, 1, 1, 1]),
        }
        | {"eos_token_id": Typed("u32", 2), "eot_token_id": Typed("u32", 1)}
    )
    # </s> is an ordinary token here, so it ends nothing.
    assert tokenizer.eos_token_ids == (2, 1, 3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pre": Typed("str", "klingon")}, "'klingon'"),
        ({"model": Typed("str", "rwkv")}, "'rwkv'"),
    ],
)
def test_unknown_kinds_are_named_with_a_way_out(open_gguf, change, message):
    with pytest.raises(UnsupportedModelError, match=message) as caught:
        open_gguf(**byte_level_metadata() | change)
    assert "tokenizer.json" in caught.value.hint


@pytest.mark.parametrize(
    "change",
    [
        {"merges": Typed("str", [])},
        {"merges": Typed("str", ["a zzz"])},
        {"merges": Typed("str", ["nospace"])},
        {"add_bos_token": Typed("u32", 1)},
        {"token_type": Typed("i32", [1])},
    ],
)
def test_damaged_byte_level_files(open_gguf, change):
    with pytest.raises(ModelError):
        open_gguf(**byte_level_metadata() | change)


@pytest.mark.parametrize(
    "change",
    [
        {"scores": Typed("f32", [1.0])},
        {"scores": Typed("f32", [float("nan")] * len(sentencepiece_metadata()["tokens"].value))},
        {"tokens": Typed("str", ["a" * 2000] * len(sentencepiece_metadata()["tokens"].value))},
    ],
)
def test_damaged_sentencepiece_files(open_gguf, change):
    with pytest.raises(ModelError, match="damaged"):
        open_gguf(**sentencepiece_metadata() | change)
