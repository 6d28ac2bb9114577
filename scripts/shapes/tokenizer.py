"""Trains the tokenizer: byte-level BPE of a few hundred tokens on the questions and answers."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scripts.shapes.conversation import (
    BEGIN,
    CHAT_TEMPLATE,
    END_OF_TURN,
    IMAGE,
    PADDING,
    SPECIAL_TOKENS,
    VOCABULARY,
)
from scripts.shapes.questions import questions
from scripts.shapes.scene import make_scene
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

SYSTEM_MESSAGES = (
    "You are a helpful assistant.",
    "Answer the question about the picture.",
    "You look at pictures. Answer in a few words.",
)
"""System messages met in training; any other is spelt from bytes."""

_LLAMA_3_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|"
    r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def _corpus(seed: int) -> Iterator[str]:
    yield from SYSTEM_MESSAGES
    yield from ("system", "user", "assistant", "\n\n")
    for index in range(4000):
        rng = np.random.default_rng([seed, index])
        for question in questions(make_scene(rng), rng):
            yield question.text
            yield question.answer


def train_tokenizer(seed: int) -> PreTrainedTokenizerFast:
    """A tokenizer laid out as Llama 3's: same word pattern, special tokens and leading BOS."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_LLAMA_3_WORDS), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_corpus(seed), trainer)
    # Fewer merges than asked for would leave a hole before the image token's id.
    for hole in range(tokenizer.get_vocab_size(), VOCABULARY):
        tokenizer.add_special_tokens([f"<|reserved_{hole}|>"])
    tokenizer.add_special_tokens([IMAGE])
    tokenizer.post_processor = processors.Sequence(
        [
            processors.ByteLevel(trim_offsets=False),
            processors.TemplateProcessing(
                single=f"{BEGIN} $A",
                pair=f"{BEGIN} $A {BEGIN} $B",
                special_tokens=[(BEGIN, tokenizer.token_to_id(BEGIN))],
            ),
        ]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=BEGIN,
        eos_token=END_OF_TURN,
        pad_token=PADDING,
        padding_side="left",
        clean_up_tokenization_spaces=False,
        model_max_length=512,
        model_input_names=["input_ids", "attention_mask"],
        chat_template=CHAT_TEMPLATE,
    )
