"""Our ids and OpenVINO GenAI's for the same model and text.

Two differences are known, and in both Hugging Face's and llama.cpp's tokenizers do as ours does:

* SmolLM's vocabulary lacks some bytes: six control characters and what begins unassigned planes
  of Unicode. OpenVINO writes ``<|endoftext|>`` for them, which tells the model that the text is
  over; the others leave them out.
* OpenVINO's decoder drops bytes that are no UTF-8; the others write U+FFFD.
"""

import openvino_genai
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

CORPUS = [
    "The quick brown fox jumps over the lazy dog. It's what they'd've said, isn't it?",
    "def fib(n: int) -> int:\n    return n if n < 2 else fib(n - 1) + fib(n - 2)\n\n\n# done\n",
    '{"a": [1, 2.5e-10, null], "b": "\\u00e9\\n"}',
    "0 12 345 6789 1234567890 3.14159 1,000,000 ½ ² Ⅷ ٣ 0x1F",
    "🎉👩‍👩‍👧😀🇫🇷 🏴󠁧󠁢󠁥󠁮󠁧󠁿 naïve café Ångström",
    "日本語の文章。中文句子\uff0c标点\uff01한국어 문장입니다. ภาษาไทย العربية עברית",
    " ",
    "   leading,   inner   and trailing   ",
    "\n\n\t\t \r\n \u00a0\u2003\u3000\u200b\u0085\u2028end",
    "e\u0301 vs \u00e9, ﬁ ligature, \U0001d54f math, \u0000 null",
    "<|im_start|>user\nhi<|im_end|>\n<|endoftext|> <|im_start|><|im_start|>x <|im_end",
    "<empty_output><repo_name>pilotage<file_sep>",
    "a" * 3000,
    "x y " * 500,
]
CONTROLS = "\x04\x06\x13\x14\x16\x1d"


@pytest.fixture(scope="module")
def openvino(embedded_model):
    return openvino_genai.Tokenizer(str(embedded_model))


def ids_of(openvino, text):
    return openvino.encode(text).input_ids.data.ravel().tolist()


@pytest.mark.parametrize("text", CORPUS, ids=range(len(CORPUS)))
def test_corpus(smollm, openvino, text):
    ids = smollm.encode(text)
    assert ids == ids_of(openvino, text)
    for skip in (True, False):
        assert smollm.decode(ids, skip_special_tokens=skip) == openvino.decode(
            ids, skip_special_tokens=skip
        )


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.text(
        st.one_of(
            st.characters(exclude_characters=CONTROLS, exclude_categories=["Cs", "Cn"]),
            st.sampled_from("  \n\t'sd19.,(é日🎉"),
        ),
        min_size=1,
    )
)
def test_any_text(smollm, openvino, text):
    assert smollm.encode(text) == ids_of(openvino, text)


def test_known_difference_absent_bytes(smollm, openvino):
    assert smollm.encode(f"a{CONTROLS}b") == smollm.encode("a") + smollm.encode("b")
    assert ids_of(openvino, "a\x04") == [*smollm.encode("a"), 0]


def test_known_difference_broken_utf8(smollm, openvino):
    first = smollm.encode("🦜")[0]
    assert smollm.decode([first, 81]) == "\N{REPLACEMENT CHARACTER}a"
    assert openvino.decode([first, 81]) == "a"


def test_chat_prompt(smollm, openvino):
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello!"},
        {"role": "user", "content": ' 2 < 3 & "quotes"? '},
    ]
    assert smollm.render_chat(messages) == openvino.apply_chat_template(
        messages, add_generation_prompt=True
    )
