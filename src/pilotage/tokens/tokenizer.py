"""A model's tokenizer: text to token ids, ids to text, messages to a prompt."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from pilotage.tokens.chat_template import ChatTemplate, ChatTemplateError
from pilotage.tokens.folder_vocabulary import parts_from_folder
from pilotage.tokens.gguf_vocabulary import parts_from_gguf
from pilotage.tokens.pairs import PairWindow, pair_windows
from pilotage.tokens.parts import TokenizerParts


class Tokenizer:
    """Encodes and decodes for one model. It never changes, so threads may share it.

    Args:
        parts: What the model's files say; `open` reads them.
    """

    def __init__(self, parts: TokenizerParts) -> None:
        self._parts = parts
        self._without_special = tuple(
            b"" if token in parts.special else piece for token, piece in enumerate(parts.pieces)
        )

    @staticmethod
    def open(path: Path) -> Tokenizer:
        """The tokenizer of the model at `path`: a GGUF file, or a folder with tokenizer.json.

        Raises:
            ModelError: The files are missing or damaged.
            UnsupportedModelError: Their kind of tokenizer is unknown here.
        """
        return Tokenizer(parts_from_folder(path) if path.is_dir() else parts_from_gguf(path))

    @property
    def vocab_size(self) -> int:
        """The number of token ids. A model's logits may be longer: engines pad them."""
        return len(self._parts.pieces)

    @property
    def bos_token_id(self) -> int | None:
        """The token that begins a text, if the model has one."""
        return self._parts.bos_id

    @property
    def eos_token_ids(self) -> tuple[int, ...]:
        """The tokens that end an answer, the model's own EOS first."""
        return self._parts.eos_ids

    @property
    def strips_leading_space(self) -> bool:
        """Whether decoding drops one space at the beginning, which encoding added."""
        return self._parts.strips_leading_space

    def encode(self, text: str, *, add_special_tokens: bool = True) -> list[int]:
        """The token ids of `text`. Other threads run meanwhile.

        Special tokens that are spelled out in the text, such as ``<|im_end|>``, become those
        tokens, as in other servers: chat templates rely on it.

        Args:
            text: Any text; a lone surrogate counts as U+FFFD.
            add_special_tokens: Add BOS and EOS if the model was trained with them.
        """
        (ids,) = self.encode_batch([text], add_special_tokens=add_special_tokens)
        return ids

    def encode_batch(
        self, texts: Sequence[str], *, add_special_tokens: bool = True
    ) -> list[list[int]]:
        """The token ids of several texts, as `encode` makes them. Other threads run meanwhile."""
        # Of the library's calls only the batch releases the interpreter lock.
        encodings = self._parts.backend.encode_batch_fast(
            [_with_whole_characters(text) for text in texts], add_special_tokens=add_special_tokens
        )
        return [list(encoding.ids) for encoding in encodings]

    def encode_pair(
        self, first: str, second: str, *, max_tokens: int, stride: int
    ) -> list[PairWindow]:
        """Two texts as an encoder reads them together, the second in overlapping windows.

        Args:
            first: Whole in every window, such as a question.
            second: Such as the text that has the answer.
            max_tokens: Tokens of a window, special tokens included.
            stride: Tokens of `second` that neighbouring windows share.

        Raises:
            ValueError: `first` leaves no room for `stride` tokens of `second` and one more.
        """
        return pair_windows(
            self._parts.backend,
            _with_whole_characters(first),
            _with_whole_characters(second),
            max_tokens=max_tokens,
            stride=stride,
        )

    @property
    def special_tokens_per_text(self) -> int:
        """Special tokens that `encode` adds to a text."""
        return int(self._parts.backend.num_special_tokens_to_add(is_pair=False))

    def decode(self, ids: Iterable[int], *, skip_special_tokens: bool = True) -> str:
        """The text of `ids`; bytes that are no character become U+FFFD.

        Ids outside the vocabulary (engines pad it) stand for no text.
        """
        pieces = self.pieces(skip_special_tokens=skip_special_tokens)
        count = len(pieces)
        raw = b"".join([pieces[token] for token in ids if 0 <= token < count])
        if self._parts.strips_leading_space:
            raw = raw.removeprefix(b" ")
        return raw.decode("utf-8", "replace")

    def pieces(self, *, skip_special_tokens: bool = True) -> tuple[bytes, ...]:
        """The bytes that each token adds to a text, by id."""
        return self._without_special if skip_special_tokens else self._parts.pieces

    def token_bytes(self, token: int) -> bytes:
        """The bytes that `token` adds to a text: none for a special or an unknown token."""
        return self._without_special[token] if 0 <= token < self.vocab_size else b""

    def token_text(self, token: int) -> str:
        """`token` for a reader: its text, U+FFFD for parts of characters; special tokens too."""
        piece = self._parts.pieces[token] if 0 <= token < self.vocab_size else b""
        return piece.decode("utf-8", "replace")

    def special_token_text(self, token: int) -> str | None:
        """How the special token `token` is written, such as ``<|im_end|>``; None for others."""
        return self._parts.pieces[token].decode() if token in self._parts.special else None

    @property
    def has_chat_template(self) -> bool:
        """Whether the model says how messages become a prompt."""
        return "default" in self._parts.chat_templates

    @property
    def chat_reads_parts(self) -> bool:
        """Whether the chat template takes content in parts, as images come in.

        Raises:
            ChatTemplateError: There is no template.
        """
        return self._default_template.reads_parts

    def render_chat(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        add_generation_prompt: bool = True,
        tools: Sequence[Mapping[str, Any]] | None = None,
        template_kwargs: Mapping[str, Any] | None = None,
    ) -> str:
        """The prompt for `messages`, by the model's chat template; see `ChatTemplate.render`.

        Raises:
            ChatTemplateError: There is no template, or it cannot take these messages.
        """
        template = self._tool_template if tools else None
        return (template or self._default_template).render(
            messages,
            add_generation_prompt=add_generation_prompt,
            tools=tools,
            template_kwargs=template_kwargs,
        )

    def encode_chat(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        add_generation_prompt: bool = True,
        tools: Sequence[Mapping[str, Any]] | None = None,
        template_kwargs: Mapping[str, Any] | None = None,
    ) -> list[int]:
        """The token ids of the prompt for `messages`.

        The template writes BOS itself where the model wants it, so none is added.

        Raises:
            ChatTemplateError: There is no template, or it cannot take these messages.
        """
        prompt = self.render_chat(
            messages,
            add_generation_prompt=add_generation_prompt,
            tools=tools,
            template_kwargs=template_kwargs,
        )
        return self.encode(prompt, add_special_tokens=False)

    # Compiled when first used: a broken template must not keep a model from completing text.
    @cached_property
    def _default_template(self) -> ChatTemplate:
        if not self.has_chat_template:
            raise ChatTemplateError(
                "the model has no chat template",
                hint="Use the completions API with a prompt of your own",
            )
        return ChatTemplate(self._parts.chat_templates["default"], self._parts.special_names)

    @cached_property
    def _tool_template(self) -> ChatTemplate | None:
        source = self._parts.chat_templates.get("tool_use")
        return None if source is None else ChatTemplate(source, self._parts.special_names)


def _with_whole_characters(text: str) -> str:
    """The text with U+FFFD for lone surrogates, which no tokenizer takes."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text
