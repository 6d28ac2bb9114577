"""Tokens, as the server counted them and as the tokenizer counts them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from pilotage.prove.record import Record
from pilotage.prove.result import Tokens

Counts = Mapping[int, int]
"""Completion tokens by the tokenizer, for records by their ``index``."""


def completion_tokens(record: Record, counts: Counts | None) -> int | None:
    """Tokens of the answer: the server's count, else the tokenizer's; None without either."""
    if record.completion_tokens is not None:
        return record.completion_tokens
    return counts.get(record.index) if counts is not None else None


def prompt_tokens(record: Record) -> int | None:
    """Tokens of the prompt: the server's count, else the payload's; None without either."""
    if record.prompt_tokens is not None:
        return record.prompt_tokens
    return record.expected_prompt_tokens


def is_short(record: Record, counts: Counts | None = None) -> bool | None:
    """Whether the answer ended before the length asked for; None if that is not known."""
    tokens = completion_tokens(record, counts)
    if record.asked_tokens is None or tokens is None:
        return None
    return tokens < record.asked_tokens


def tokens(records: Sequence[Record], counts: Counts | None, tokenizer: str | None) -> Tokens:
    """The token counts of the complete ones of ``records``."""
    complete = [record for record in records if record.complete]
    counted = None
    if counts is not None:
        counted = _total(counts.get(record.index) for record in complete)
    return Tokens(
        prompt_server=_total(record.prompt_tokens for record in complete),
        prompt_tokenizer=_total(record.expected_prompt_tokens for record in complete),
        completion_server=_total(record.completion_tokens for record in complete),
        completion_tokenizer=counted,
        completion_chunks=sum(record.chunks for record in complete),
        without_usage=sum(record.completion_tokens is None for record in complete),
        short=sum(is_short(record, counts) is True for record in complete),
        tokenizer=tokenizer,
    )


def _total(values: Iterable[int | None]) -> int | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None
