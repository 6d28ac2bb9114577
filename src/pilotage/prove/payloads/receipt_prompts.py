"""The preset of a receipt-reading workload: four questions about pictures of receipts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Final

from pilotage.errors import UsageError
from pilotage.prove.load import Schedule
from pilotage.prove.payload import Payload
from pilotage.prove.payloads.generated_images import check_size
from pilotage.prove.payloads.receipt import ANSWER_TOKENS, QUESTIONS, Receipt, random_receipt
from pilotage.prove.payloads.receipt_image import receipt_image
from pilotage.prove.payloads.request_format import RequestFormat
from pilotage.prove.payloads.seeding import random_for
from pilotage.prove.payloads.token_count import count_text, template_tokens
from pilotage.tokens import Tokenizer

_LEAST_SIDE: Final = 128


@dataclass(frozen=True, slots=True)
class ReceiptCase:
    """One request of the workload and its truth.

    Attributes:
        receipt: What the picture shows.
        question: The prompt.
        answer: The true answer to it.
        answer_tokens: The token limit of the answer.
    """

    receipt: Receipt
    question: str
    answer: str
    answer_tokens: int


class ReceiptPrompts:
    """A `PayloadSource` that asks four questions in turn, each about a receipt of its own.

    Lengths that a trace prescribes are not followed: the questions are what they are.

    Args:
        request_format: How prompts become requests.
        width: Of the pictures, in pixels.
        height: Of the pictures, in pixels.
        tokenizer: The model's, to count the questions' tokens.
        overhead_tokens: Tokens that the server's template adds; None for those of the
            tokenizer's own template.

    Raises:
        UsageError: The API takes no images, or the size does not suit.
    """

    def __init__(
        self,
        request_format: RequestFormat,
        *,
        width: int = 512,
        height: int = 512,
        tokenizer: Tokenizer | None = None,
        overhead_tokens: int | None = None,
    ) -> None:
        if request_format.api == "completions":
            raise UsageError(
                "the completions API takes no images", hint="Use the chat or the infer API"
            )
        check_size(width, height)
        if min(width, height) < _LEAST_SIDE:
            raise UsageError(
                f"nobody can read a receipt of {width}x{height} pixels",
                where="images",
                hint=f"Use at least {_LEAST_SIDE}x{_LEAST_SIDE}",
            )
        self._format = request_format
        self._size = width, height
        if overhead_tokens is None:
            overhead_tokens = template_tokens(tokenizer, request_format.api)
        self._tokens = {
            question: count_text(tokenizer, question, overhead_tokens) for question in QUESTIONS
        }

    @property
    def description(self) -> str:
        """What it makes, in a line for the report."""
        width, height = self._size
        return (
            f"four questions about generated receipts of {width}x{height} "
            "(their own lengths, a trace's are not followed)"
        )

    def cases(self, *, seed: int) -> Iterator[ReceiptCase]:
        """The requests that `payloads` makes and their true answers, in its order, without end."""
        random_stream = random_for(seed, "receipts")
        while True:
            for place, question in enumerate(QUESTIONS):
                receipt = random_receipt(random_stream)
                yield ReceiptCase(receipt, question, receipt.answers[place], ANSWER_TOKENS[place])

    def payloads(
        self,
        count: int,
        *,
        seed: int,
        prescribed: Schedule | None = None,
    ) -> Iterator[Payload]:
        """See `PayloadSource.payloads`."""
        for case in islice(self.cases(seed=seed), count):
            yield self._format.encode(
                case.question,
                images=(receipt_image(case.receipt, *self._size),),
                max_tokens=case.answer_tokens,
                prompt_tokens=self._tokens[case.question],
            )


def receipts(
    request_format: RequestFormat,
    *,
    width: int = 512,
    height: int = 512,
    tokenizer: Tokenizer | None = None,
    overhead_tokens: int | None = None,
) -> ReceiptPrompts:
    """The preset by its name; see `ReceiptPrompts`."""
    return ReceiptPrompts(
        request_format,
        width=width,
        height=height,
        tokenizer=tokenizer,
        overhead_tokens=overhead_tokens,
    )
