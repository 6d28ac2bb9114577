"""How byte-level BPE vocabularies cut text into words before merging.

GGUF files name the rule in ``tokenizer.ggml.pre``. Which name means which rule: ``llama-vocab.cpp``
of llama.cpp, read 2026-11. The patterns are those of the models' own ``tokenizer.json``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from tokenizers import Regex, pre_tokenizers


@dataclass(frozen=True, slots=True)
class PreTokenization:
    """The rule of one family of models.

    Attributes:
        patterns: Applied one after the other; each splits off what it matches.
        splits_digits: Every digit is a word of its own, before the patterns are applied.
        whole_words: A word that is a token is taken as it is, without merging.
        adds_bos: A text begins with the BOS token unless the file says otherwise.
        composes: Text is brought into Unicode's composed form (NFC) first.
    """

    patterns: tuple[str, ...]
    splits_digits: bool = False
    whole_words: bool = False
    adds_bos: bool = False
    composes: bool = False

    def steps(self) -> pre_tokenizers.PreTokenizer:
        """The rule as the ``tokenizers`` library runs it."""
        steps: list[pre_tokenizers.PreTokenizer] = []
        if self.splits_digits:
            steps.append(pre_tokenizers.Digits(individual_digits=True))
        steps += [pre_tokenizers.Split(Regex(p), "isolated") for p in self.patterns]
        steps.append(pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False))
        return pre_tokenizers.Sequence(steps)


_GPT2_WORDS: Final = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
_CL100K_WORDS: Final = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}%s"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)

_GPT2: Final = PreTokenization((_GPT2_WORDS,))
_SMOLLM: Final = PreTokenization((_GPT2_WORDS,), splits_digits=True)
_LLAMA3: Final = PreTokenization((_CL100K_WORDS % "{1,3}",), whole_words=True, adds_bos=True)
_CL100K: Final = PreTokenization((_CL100K_WORDS % "{1,3}",))
# Qwen2's tokenizer.json composes; llama.cpp does not. The model was trained on the former.
_QWEN2: Final = PreTokenization((_CL100K_WORDS % "",), composes=True)
_SINGLE_DIGITS: Final = PreTokenization((_CL100K_WORDS % "",))
# llama.cpp's rule for files that name none.
_DEFAULT: Final = PreTokenization(
    (r"[\p{P}\$\+<=>\^~\|]+", _GPT2_WORDS, r"\p{N}+", "[0-9][0-9][0-9]")
)

PRE_TOKENIZATIONS: Final[Mapping[str, PreTokenization]] = MappingProxyType(
    {
        "default": _DEFAULT,
        **dict.fromkeys(("gpt-2", "phi-2", "mpt", "olmo", "jais", "exaone4", "mellum"), _GPT2),
        **dict.fromkeys(
            ("smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b"),
            _SMOLLM,
        ),
        **dict.fromkeys(("llama-bpe", "llama3", "llama-v3", "falcon3", "pixtral"), _LLAMA3),
        **dict.fromkeys(("dbrx", "smaug-bpe"), _CL100K),
        "qwen2": _QWEN2,
        **dict.fromkeys(("deepseek-r1-qwen", "stablelm2"), _SINGLE_DIGITS),
    }
)
"""``tokenizer.ggml.pre`` to rule."""
