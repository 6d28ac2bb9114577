import json

import pytest
from tokenizers import AddedToken, decoders, models, pre_tokenizers, processors
from tokenizers import Tokenizer as Backend

from pilotage.errors import ModelError, UnsupportedModelError
from pilotage.tokens import Tokenizer

MESSAGES = [{"role": "user", "content": "hi"}]


@pytest.fixture
def folder(tmp_path):
    """A byte-level model folder as exporters write them, BOS added by the post-processor."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    backend = Backend(models.BPE({c: n for n, c in enumerate([*alphabet, "ab"])}, [("a", "b")]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens(["<s>", "<\uff5cend▁of▁turn\uff5c>", "</s>"])
    backend.add_tokens([AddedToken("<think é>", normalized=False)])
    backend.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", 257)]
    )
    backend.enable_truncation(4)
    backend.enable_padding(length=8)
    backend.save(str(tmp_path / "tokenizer.json"))
    write(tmp_path, "tokenizer_config", bos_token="<s>", eos_token={"content": "</s>"})
    write(tmp_path, "generation_config", eos_token_id=[259, 258, 10**6])
    return tmp_path


def write(folder, name, **content):
    (folder / f"{name}.json").write_text(json.dumps(content))


def test_a_folder(folder):
    tokenizer = Tokenizer.open(folder)
    assert tokenizer.vocab_size == 261
    assert tokenizer.bos_token_id == 257
    assert tokenizer.eos_token_ids == (259, 258)
    ids = tokenizer.encode("ab<\uff5cend▁of▁turn\uff5c><think é> é🎉")
    assert ids[:4] == [257, 256, 258, 260]
    assert tokenizer.decode(ids) == "ab<think é> é🎉"
    assert tokenizer.special_token_text(258) == "<\uff5cend▁of▁turn\uff5c>"
    assert tokenizer.special_token_text(260) is None


def test_neither_truncated_nor_padded(folder):
    assert len(Tokenizer.open(folder).encode("c" * 100)) == 101


def test_ids_from_the_models_config(folder):
    (folder / "tokenizer_config.json").unlink()
    (folder / "generation_config.json").unlink()
    write(folder, "config", bos_token_id=257, eos_token_id=258)
    tokenizer = Tokenizer.open(folder)
    assert (tokenizer.bos_token_id, tokenizer.eos_token_ids) == (257, (258,))


@pytest.mark.parametrize(
    ("config", "files", "prompt"),
    [
        ({"chat_template": "{{ bos_token }}in config"}, {}, "<s>in config"),
        ({"chat_template": [{"name": "default", "template": "named"}]}, {}, "named"),
        ({}, {"chat_template.json": '{"chat_template": "own json"}'}, "own json"),
        ({"chat_template": "old"}, {"chat_template.jinja": "own file"}, "own file"),
    ],
)
def test_where_the_chat_template_may_be(folder, config, files, prompt):
    write(folder, "tokenizer_config", bos_token="<s>", **config)
    for name, content in files.items():
        (folder / name).write_text(content)
    assert Tokenizer.open(folder).render_chat(MESSAGES) == prompt


def test_sentencepiece_as_hugging_face_writes_it(folder, sentencepiece):
    sentencepiece._parts.backend.save(str(folder / "tokenizer.json"))
    tokenizer = Tokenizer.open(folder)
    assert tokenizer.strips_leading_space
    text = "ab abc é🎉\n cb"
    assert tokenizer.encode(text) == sentencepiece.encode(text)
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_decoders_that_cannot_stream(folder):
    backend = Backend.from_file(str(folder / "tokenizer.json"))
    backend.decoder = decoders.CTC()
    backend.save(str(folder / "tokenizer.json"))
    with pytest.raises(UnsupportedModelError, match="CTC"):
        Tokenizer.open(folder)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("tokenizer.json", None, "no tokenizer.json"),
        ("tokenizer.json", b"{}", "damaged"),
        ("tokenizer.json", b"\xff", "not UTF-8"),
        ("tokenizer_config.json", b"{", "not JSON"),
        ("generation_config.json", b"[]", "not a JSON object"),
    ],
)
def test_missing_and_damaged_files(folder, name, content, message):
    if content is None:
        (folder / name).unlink()
    else:
        (folder / name).write_bytes(content)
    with pytest.raises(ModelError, match=message):
        Tokenizer.open(folder)
