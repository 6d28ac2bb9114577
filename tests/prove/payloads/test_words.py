from gguf_writer import Typed
from vocabularies import byte_level_metadata, sentencepiece_metadata

from pilotage.prove.payloads.seeding import random_for
from pilotage.prove.payloads.texts import TextMaker
from pilotage.prove.payloads.words import COMMON_WORDS, WordPool, word_pool


def test_words_of_a_real_vocabulary_are_one_token_each_wherever_they_stand(smollm):
    pool = word_pool(smollm)
    assert pool.additive
    assert len(pool.words) == len(set(pool.words)) == 4096
    for word in pool.words[::40]:
        for text in (word, f"x {word}", f"\n{word}"):
            rest = smollm.encode(text.removesuffix(word).removesuffix(" "))
            assert len(smollm.encode(text)) == len(rest) + 1, text


def test_words_of_a_sentencepiece_vocabulary(sentencepiece):
    pool = word_pool(sentencepiece)
    assert set(pool.words) == {"ab", "bc"}
    assert pool.additive


def test_one_letter_words_where_there_are_no_longer_ones(open_metadata):
    metadata = byte_level_metadata()
    metadata["tokens"] = Typed("str", [*metadata["tokens"].value, "Ġb", "Ċ"])
    metadata["token_type"] = Typed("i32", [*metadata["token_type"].value, 1, 1])
    metadata["merges"] = Typed("str", [*metadata["merges"].value, "Ġ b"])
    assert set(word_pool(open_metadata(metadata)).words) == {"a", "b"}


def test_a_vocabulary_without_words_falls_back_to_common_ones(byte_level):
    assert word_pool(byte_level) == WordPool(COMMON_WORDS, byte_level, additive=False)
    assert word_pool(None) == WordPool(COMMON_WORDS, None, additive=False)


def test_tokens_that_reach_over_the_end_of_a_word(open_metadata):
    metadata = sentencepiece_metadata()
    metadata["tokens"] = Typed("str", [*metadata["tokens"].value, "▁ab▁ab"])
    metadata["token_type"] = Typed("i32", [*metadata["token_type"].value, 1])
    metadata["scores"] = Typed("f32", [*metadata["scores"].value, -0.5])
    tokenizer = open_metadata(metadata)
    pool = word_pool(tokenizer)
    assert not pool.additive
    # Two words are one token now and then; the text grows until its length is right.
    maker = TextMaker(WordPool(("ab", "bc"), tokenizer, additive=False), random_for(0, "mending"))
    words = ["ab", "ab", "bc", "ab", "ab", "bc"] * 5
    assert len(tokenizer.encode(" ".join(words), add_special_tokens=False)) < 30
    text, tokens = maker.fit(words, 30)
    assert len(tokenizer.encode(text, add_special_tokens=False)) == tokens
    assert abs(tokens - 30) <= 1


def test_a_pool_that_does_not_add_up_is_found_out(smollm):
    """What is believed of the vocabulary is checked on texts, and texts are mended."""
    pool = WordPool(("hello", "antidisestablishmentarianism"), smollm, additive=True)
    maker = TextMaker(pool, random_for(0, "mending"))
    for tokens in (40, 41, 42, 43):
        text, counted = maker.fit(["antidisestablishmentarianism"] * tokens, tokens)
        assert counted == len(smollm.encode(text))
        assert abs(counted - tokens) <= 4


def test_common_words_are_about_one_token(smollm):
    assert len(set(COMMON_WORDS)) == len(COMMON_WORDS) > 300
    assert len(smollm.encode(" ".join(COMMON_WORDS))) <= 1.05 * len(COMMON_WORDS)
