import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer as Backend
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors

from pilotage.tokens import Tokenizer

WORDS = ["[UNK]", "[CLS]", "[SEP]", "who", "won", "?", "the", "cat", "emi", "##gre", ".", "it"]


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    """A WordPiece tokenizer as BERT's are."""
    backend = Backend(models.WordPiece({w: n for n, w in enumerate(WORDS)}, unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer()
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.WordPiece()
    backend.add_special_tokens(WORDS[:3])
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS]:0 $A:0 [SEP]:0",
        pair="[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 1), ("[SEP]", 2)],
    )
    folder = tmp_path_factory.mktemp("bert")
    backend.save(str(folder / "tokenizer.json"))
    return Tokenizer.open(folder)


def test_wordpiece(bert):
    ids = bert.encode("The cat émigré won.")
    assert [WORDS[token] for token in ids] == (
        ["[CLS]", "the", "cat", "emi", "##gre", "won", ".", "[SEP]"]
    )
    assert bert.decode(ids) == "the cat emigre won ."
    assert bert.special_tokens_per_text == 2
    assert bert.encode_batch(["who", "won it"]) == [bert.encode("who"), bert.encode("won it")]
    assert bert.encode_batch([]) == []


def test_a_pair_that_fits(bert):
    text = "The cat émigré won."
    (window,) = bert.encode_pair("Who won?", text, max_tokens=32, stride=4)
    assert window.ids[:5] == bert.encode("Who won?")
    assert window.segments == bytes([0] * 5 + [1] * 7)
    assert [text[slice(*span)] for span in window.spans if span] == (
        ["The", "cat", "émi", "gré", "won", "."]
    )
    assert [text[slice(*word)] for word in window.words if word] == (
        ["The", "cat", "émigré", "émigré", "won", "."]
    )
    assert window.spans[:5] == (None,) * 5
    assert window.spans[-1] is None


def test_no_room(bert):
    with pytest.raises(ValueError, match="leave no room"):
        bert.encode_pair("who won ?", "the cat", max_tokens=10, stride=4)


def test_lone_surrogates_keep_their_place(bert):
    (window,) = bert.encode_pair("who", "\udc80 cat", max_tokens=32, stride=4)
    assert window.spans[-2] == (2, 5)


@given(
    st.lists(st.sampled_from(["the", "cat", "émigré", "won", ".", "🎉"]), min_size=1, max_size=80),
    st.integers(8, 30),
    st.data(),
)
def test_windows_cover_the_text_and_overlap(bert, words, size, data):
    stride = data.draw(st.integers(0, size - 6))
    text = " ".join(words)
    windows = bert.encode_pair("who", text, max_tokens=size, stride=stride)
    (whole,) = bert.encode_pair("who", text, max_tokens=10_000, stride=0)
    everything = [span for span in whole.spans if span]
    assert all(len(window.ids) <= size for window in windows)
    spans = [[span for span in window.spans if span] for window in windows]
    assert sorted({span for window in spans for span in window}) == sorted(set(everything))
    for before, after in itertools.pairwise(spans):
        assert before[len(before) - stride :] == after[:stride]
    for window in windows:
        known = dict(zip(whole.spans, whole.words, strict=True))
        assert all(
            known[span] == word for span, word in zip(window.spans, window.words, strict=True)
        )
