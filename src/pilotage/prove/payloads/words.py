"""Words to make prompts from, each one token of the model's vocabulary."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from pilotage.tokens import Tokenizer

# Vocabularies are ordered by frequency, more or less: the first ones are the ordinary words. More
# would only slow the encoder down, whose cache of words holds some thousands.
_MOST_WORDS: Final = 4_096
_MOST_CANDIDATES: Final = 4 * _MOST_WORDS
_WORD: Final = re.compile(rb" [A-Za-z]{2,14}")
_SHORT_WORD: Final = re.compile(rb" [A-Za-z]{1,14}")
_CROSSES_WORDS: Final = re.compile(rb"[A-Za-z] ")

# One token each in about every vocabulary that has seen English.
_COMMON: Final = """
    about above after again all also always an and animal answer any are around as ask at away
    back be because been before best better between big black blue body book both boy bring build
    but by call came can car care carry change child city close cold color come could country
    course cut day did different do does done door down draw drive early earth east eat end enough
    even every example eye face fact family far fast father feel feet few field find fire first
    five follow food for form found four free friend from front full game gave get girl give go
    gold good got great green ground group grow had half hand hard has have he head hear heard
    heart help her here high him his hold home horse hot hour house how idea in inch into is island
    it just keep kind king knew know land large last late learn leave left less let letter life
    light like line list little live long look love low made make man many map mark may mean men
    might mile mind money moon more morning most mother move much music must my name near need
    never new next night no north not note nothing now number of off often old on once one only
    open or order other our out over own page paper part pass people person picture place plan
    plant play point power press problem question quick rain ran reach read ready real red rest
    right river road rock room round rule run said same saw say school sea second see seem sentence
    set she ship short should show side simple since sing six size sleep slow small snow so some
    song soon sound south space stand star start state stay step still stop story street strong
    study such sun sure system table take talk teach tell ten test than that the their them then
    there these they thing think this those though thought three through time to together told too
    took top town travel tree true try turn two under unit until up us use very voice walk want war
    warm was watch water way we week well went were west what wheel when where which while white
    who whole why will wind with without wonder wood word work world would write year yes you young
    your
"""
COMMON_WORDS: Final = tuple(_COMMON.split())


@dataclass(frozen=True)
class WordPool:
    """Words and what is known of their tokens.

    Attributes:
        words: Different words of ASCII letters.
        tokenizer: Counts; None if there is none.
        additive: Whether a text of ``n`` of these words, joined by spaces, is known to have ``n``
            tokens, so that only samples need to be counted.
    """

    words: tuple[str, ...]
    tokenizer: Tokenizer | None
    additive: bool

    def count(self, text: str) -> int:
        """Tokens of `text`, without BOS and template."""
        assert self.tokenizer is not None
        return len(self.tokenizer.encode(text, add_special_tokens=False))


def word_pool(tokenizer: Tokenizer | None) -> WordPool:
    """The words of `tokenizer`'s vocabulary that are one token wherever they stand.

    Each is one token after a space and also after a line end, where most chat templates put the
    beginning of the user's text.

    Such a text's tokens add up if no token of the vocabulary reaches over the end of a word
    (contains a letter and then a space): whatever the algorithm (merges, or the likeliest
    segmentation), no token then spans two words, so each is encoded by itself. That holds for
    nearly all vocabularies, and is checked here; where it does not, texts are counted one by one.

    Without a tokenizer, and for a vocabulary without words, common English words.
    """
    if tokenizer is None:
        return WordPool(COMMON_WORDS, None, additive=False)
    pieces = tokenizer.pieces()
    additive = not any(map(_CROSSES_WORDS.search, pieces))
    for pattern in (_WORD, _SHORT_WORD):
        # Like GPT-2's and Llama's files, a set would lose the order by frequency; a dict keeps it.
        candidates = [*dict.fromkeys(p[1:].decode() for p in pieces if pattern.fullmatch(p))]
        candidates = candidates[:_MOST_CANDIDATES]
        everywhere = _single(tokenizer, candidates, " ") & _single(tokenizer, candidates, "\n")
        words = [word for word in candidates if word in everywhere][:_MOST_WORDS]
        if len(words) > 1:
            return WordPool(tuple(words), tokenizer, additive)
    return WordPool(COMMON_WORDS, tokenizer, additive=False)


def _single(tokenizer: Tokenizer, words: list[str], separator: str) -> set[str]:
    """Those of `words` that are one token, with the space before them if it is theirs.

    One long text is encoded, because thousands of calls would take a second.
    """
    text = separator.join(["", *words])
    pieces = tokenizer.pieces()
    tokens = [
        pieces[token] if 0 <= token < len(pieces) else b""
        for token in tokenizer.encode(text, add_special_tokens=False)
    ]
    decoded = b"".join(tokens)
    added = len(decoded) - len(text)  # some vocabularies add a space at the beginning
    if added not in (0, 1) or decoded[added:] != text.encode():
        return set()  # the tokenizer changes the text, so places in it mean nothing
    starts = {}
    place = -added
    for token in tokens:
        starts[place] = len(token)
        place += len(token)
    single = set()
    place = 0
    for word in words:
        own = place if separator == " " else place + 1
        end = place + 1 + len(word)
        if starts.get(own) == end - own:
            single.add(word)
        place = end
    return single
