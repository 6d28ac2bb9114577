import threading
import time

import pytest

from pilotage.errors import ModelError
from pilotage.tokens import ChatTemplateError, Tokenizer

FRANCE = [{"role": "user", "content": "What is the capital of France?"}]
FRANCE_PROMPT = (
    "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face"
    "<|im_end|>\n<|im_start|>user\nWhat is the capital of France?<|im_end|>\n"
    "<|im_start|>assistant\n"
)


def test_what_the_embedded_model_says(smollm):
    assert smollm.vocab_size == 49152
    assert smollm.bos_token_id == 1
    assert smollm.eos_token_ids == (2, 0)
    assert smollm.special_token_text(2) == "<|im_end|>"
    assert smollm.special_token_text(19556) is None
    assert smollm.has_chat_template
    assert not smollm.strips_leading_space


def test_known_ids(smollm):
    assert smollm.encode("Hello world! 123") == [19556, 905, 17, 216, 33, 34, 35]
    assert smollm.encode("Café déjà vu.") == [51, 1939, 2756, 32564, 90, 16739, 386, 101, 30]
    assert smollm.encode("  multiple   spaces") == [216, 2701, 256, 5600]
    assert smollm.encode("") == []


def test_special_tokens_in_the_text_are_those_tokens(smollm):
    assert smollm.encode("a<|im_end|>b") == [81, 2, 82]


@pytest.mark.parametrize(
    "text",
    [
        "plain",
        "  two  spaces ",
        "日本語 🎉👩‍👩‍👧",
        "def f(x):\n\treturn x**2  # é\r\n",
        "<|im_start|>user",
    ],
)
def test_text_survives(smollm, text):
    assert smollm.decode(smollm.encode(text), skip_special_tokens=False) == text


def test_decode_skips_special_tokens_unless_told(smollm):
    ids = smollm.encode("<|im_start|>hi<|im_end|>")
    assert smollm.decode(ids) == "hi"
    assert smollm.decode(ids, skip_special_tokens=False) == "<|im_start|>hi<|im_end|>"


def test_one_token(smollm):
    (space_world,) = smollm.encode(" world")
    assert smollm.token_bytes(space_world) == b" world"
    assert smollm.token_text(space_world) == " world"
    assert smollm.token_bytes(2) == b""
    assert smollm.token_text(2) == "<|im_end|>"
    parts = [smollm.token_bytes(token) for token in smollm.encode("🦜")]
    assert len(parts) > 1
    assert b"".join(parts) == "🦜".encode()
    assert smollm.token_text(smollm.encode("🦜")[0]) == "\N{REPLACEMENT CHARACTER}"


@pytest.mark.parametrize("token", [-1, 49152, 10**9])
def test_ids_outside_the_vocabulary_are_no_text(smollm, token):
    assert smollm.token_bytes(token) == b""
    assert smollm.token_text(token) == ""
    assert smollm.special_token_text(token) is None
    assert smollm.decode([19556, token, 905]) == "Hello world"


def test_lone_surrogates_count_as_the_replacement_character(smollm):
    assert smollm.encode("a\ud800b") == smollm.encode("a\ufffdb")
    assert smollm.encode("\ud83c\udf89") == smollm.encode("🎉")


def test_chat_prompt(smollm):
    assert smollm.render_chat(FRANCE) == FRANCE_PROMPT
    assert smollm.encode_chat(FRANCE) == smollm.encode(FRANCE_PROMPT, add_special_tokens=False)
    without = smollm.render_chat(FRANCE, add_generation_prompt=False)
    assert without + "<|im_start|>assistant\n" == FRANCE_PROMPT


def test_a_model_without_chat_template(sentencepiece):
    assert not sentencepiece.has_chat_template
    with pytest.raises(ChatTemplateError, match="no chat template"):
        sentencepiece.render_chat(FRANCE)


def test_other_threads_run_while_a_long_text_is_encoded(smollm):
    text = "The quick brown fox jumps over 13 lazy dogs; naïve café. " * 10_000
    done = threading.Event()
    worker = threading.Thread(target=lambda: (smollm.encode(text), done.set()))
    turns = 0
    worker.start()
    while not done.is_set():
        turns += 1
        time.sleep(0.001)
    worker.join()
    assert turns > 20


def test_a_file_that_is_no_model(tmp_path):
    path = tmp_path / "model.gguf"
    path.write_bytes(b"hello")
    with pytest.raises(ModelError, match="GGUF"):
        Tokenizer.open(path)
    with pytest.raises(ModelError, match="cannot be read"):
        Tokenizer.open(tmp_path / "absent.gguf")
