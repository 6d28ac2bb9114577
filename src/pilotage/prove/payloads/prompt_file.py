"""Prompts from a user's file, one JSON value a line."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, Final

from pilotage.errors import UsageError
from pilotage.prove.load import Schedule
from pilotage.prove.payload import Payload
from pilotage.prove.payloads.image import image_kind, read_image
from pilotage.prove.payloads.prompt_line import PromptLine, parse_line
from pilotage.prove.payloads.request_format import RequestFormat
from pilotage.prove.payloads.seeding import random_for
from pilotage.prove.payloads.token_count import count_messages, count_text, template_tokens
from pilotage.tokens import Tokenizer

MAX_FILE_BYTES: Final = 1024 * 1024 * 1024
MAX_LINE_BYTES: Final = 32 * 1024 * 1024
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"


class PromptFile:
    r"""A `PayloadSource` of the lines of a JSONL file, each used once.

    A line is one of::

        "a prompt"
        {"prompt": "…", "max_tokens": 64, "image": "photo.jpg"}
        {"messages": [{"role": "user", "content": "…"}], "images": ["a.png", "b.png"]}
        {"body": {"messages": […], "temperature": 0}}
        {"custom_id": "1", "method": "POST", "url": "/v1/chat/completions", "body": {…}}

    Blank lines are skipped, image paths are relative to the file. A ``body`` is sent as it is;
    ``model``, ``stream`` and the other fields that all requests share are filled in where it does
    not say. The whole file is checked at once, and then read line by line as it is needed.

    Of a trace only the times are followed: lengths that it prescribes are ignored, because the
    prompts are the user's own.

    Args:
        path: The file.
        request_format: How prompts become requests.
        tokenizer: The model's, to count the prompts' tokens. Those of images are in no count.
        overhead_tokens: Tokens that the server's template adds to a prompt; None for those of
            the tokenizer's own template.
        completion_tokens: Token limit of lines with a prompt or messages that have none.
        shuffle: In an order by the seed, so that runs begin differently; else in the file's.

    Raises:
        UsageError: The file is missing, empty or too large, or a line is wrong; ``where`` names
            file and line.
    """

    def __init__(
        self,
        path: Path,
        request_format: RequestFormat,
        *,
        tokenizer: Tokenizer | None = None,
        overhead_tokens: int | None = None,
        completion_tokens: int | None = None,
        shuffle: bool = True,
    ) -> None:
        self._path = path
        self._format = request_format
        self._tokenizer = tokenizer
        self._overhead = overhead_tokens
        self._template = template_tokens(tokenizer, request_format.api)
        self._limit = completion_tokens
        self._shuffle = shuffle
        self._offsets = array("q")
        self._numbers = array("q")
        with self._opened() as file:
            checked: set[Path] = set()
            for number, offset, line in _lines(file, path):
                self._offsets.append(offset)
                self._numbers.append(number)
                self._check(self._parsed(line, number), number, checked)
        if not self._offsets:
            raise UsageError(
                "the file of prompts is empty", where=str(path), hint="Give it a prompt a line"
            )

    def __len__(self) -> int:
        """Prompts in the file."""
        return len(self._offsets)

    @property
    def description(self) -> str:
        """What it makes, in a line for the report."""
        order = "shuffled" if self._shuffle else "in order"
        return (
            f"{len(self)} prompts from {self._path.name}, {order} "
            "(their own lengths, a trace's are not followed)"
        )

    def payloads(
        self,
        count: int,
        *,
        seed: int,
        prescribed: Schedule | None = None,
    ) -> Iterator[Payload]:
        """See `PayloadSource.payloads`; at most one a line.

        Raises:
            UsageError: The file has changed since it was checked.
        """
        order = range(len(self))
        places: Sequence[int] = order
        if self._shuffle:
            places = array("q", order)
            random_for(seed, "prompt file").shuffle(places)
        with self._opened() as file:
            for place in islice(places, count):
                file.seek(self._offsets[place])
                number = self._numbers[place]
                line = _bounded_line(file, self._where(number)).strip()
                yield self._payload(self._parsed(line, number), number)

    def _opened(self) -> BinaryIO:
        try:
            file = self._path.open("rb")
            size = self._path.stat().st_size
        except OSError as error:
            raise UsageError(
                f"the file of prompts cannot be read ({error.strerror})", where=str(self._path)
            ) from None
        if size > MAX_FILE_BYTES:
            file.close()
            raise UsageError("the file of prompts is larger than 1 GiB", where=str(self._path))
        return file

    def _where(self, number: int) -> str:
        return f"{self._path}:{number}"

    def _parsed(self, line: bytes, number: int) -> PromptLine:
        return parse_line(
            line, api=self._format.api, folder=self._path.parent, where=self._where(number)
        )

    def _check(self, line: PromptLine, number: int, checked: set[Path]) -> None:
        for image in line.images:
            if image not in checked:
                image_kind(image, where=self._where(number))
                checked.add(image)
        if line.images and line.messages is not None and not _has_user(line.messages):
            raise UsageError(
                "there is no user message to carry the images", where=self._where(number)
            )

    def _payload(self, line: PromptLine, number: int) -> Payload:
        if line.body is not None:
            return self._format.encode_body(
                line.body, prompt_tokens=self._counted(line), images=_images_in(line.body)
            )
        images = [read_image(path, where=self._where(number)) for path in line.images]
        limit = self._limit if line.max_tokens is None else line.max_tokens
        counted = self._counted(line)
        if line.messages is not None:
            return self._format.encode_messages(
                line.messages, images=images, max_tokens=limit, prompt_tokens=counted
            )
        assert line.prompt is not None
        return self._format.encode(
            line.prompt, images=images, max_tokens=limit, prompt_tokens=counted
        )

    def _counted(self, line: PromptLine) -> int | None:
        messages, prompt = line.messages, line.prompt
        if line.body is not None:
            messages, prompt = line.body.get("messages"), line.body.get("prompt")
        if messages is not None:
            return None if _has_parts(messages) else count_messages(self._tokenizer, messages)
        if not isinstance(prompt, str) or self._tokenizer is None:
            return None  # token ids, or several prompts at once
        if self._overhead is None and self._format.api != "completions":
            counted = count_messages(self._tokenizer, [{"role": "user", "content": prompt}])
            if counted is not None:
                return counted
        overhead = self._template if self._overhead is None else self._overhead
        return count_text(self._tokenizer, prompt, overhead)


def _lines(file: BinaryIO, path: Path) -> Iterator[tuple[int, int, bytes]]:
    """Number, offset and text of every line that is not blank."""
    number = 0
    if file.read(len(_BYTE_ORDER_MARK)) != _BYTE_ORDER_MARK:
        file.seek(0)
    while True:
        number += 1
        offset = file.tell()
        line = _bounded_line(file, f"{path}:{number}")
        if not line:
            return
        if text := line.strip():
            yield number, offset, text


def _bounded_line(file: BinaryIO, where: str) -> bytes:
    line = file.readline(MAX_LINE_BYTES + 1)
    if len(line) > MAX_LINE_BYTES:
        raise UsageError("this line is longer than 32 MiB", where=where)
    return line


def _has_user(messages: Sequence[Mapping[str, Any]]) -> bool:
    return any(message.get("role") == "user" for message in messages)


def _has_parts(messages: Sequence[Mapping[str, Any]]) -> bool:
    """Whether there is more than text: how many tokens an image has is the server's to know."""
    return any(not isinstance(message.get("content"), str | None) for message in messages)


def _images_in(body: Mapping[str, Any]) -> int:
    return sum(
        isinstance(part, Mapping) and part.get("type") == "image_url"
        for message in body.get("messages") or ()
        for part in (message["content"] if isinstance(message.get("content"), list) else ())
    )
