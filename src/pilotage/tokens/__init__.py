"""Text into token ids and back, the same for every engine."""

from pilotage.tokens.chat_template import ChatTemplate, ChatTemplateError
from pilotage.tokens.detokenizer import IncrementalDetokenizer
from pilotage.tokens.pairs import PairWindow
from pilotage.tokens.stop_strings import StopStrings
from pilotage.tokens.tokenizer import Tokenizer

__all__ = [
    "ChatTemplate",
    "ChatTemplateError",
    "IncrementalDetokenizer",
    "PairWindow",
    "StopStrings",
    "Tokenizer",
]
