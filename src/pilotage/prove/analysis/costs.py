"""What the measured traffic costs, at prices that the user gave. No price, no cost: never zero."""

from __future__ import annotations

from typing import Final

from pilotage.prove.result import Costs, Measures

HOURS_A_MONTH: Final = 730
_MILLION: Final = 1_000_000


def costs(
    measures: Measures,
    *,
    usd_per_hour: float | None = None,
    usd_per_million_input_tokens: float | None = None,
    usd_per_million_output_tokens: float | None = None,
    capacity_rate: float | None = None,
) -> Costs:
    """The costs of what ``measures`` tells, in US dollars.

    A price an hour is shared by what came through in the measured time, so it makes a request
    dearer the less there is to do; prices of tokens are added to it. With one price of tokens only
    the other is unknown, and with it every sum that needs it.

    Args:
        measures: Of a run.
        usd_per_hour: Of the whole deployment.
        usd_per_million_input_tokens: Of the endpoint.
        usd_per_million_output_tokens: Of the endpoint.
        capacity_rate: Highest rate that keeps the SLO, in requests a second, where it is known.
    """
    prices = (usd_per_hour, usd_per_million_input_tokens, usd_per_million_output_tokens)
    if all(price is None for price in prices):
        return Costs()
    prompt, completion = _tokens_a_request(measures)
    total = _plus(prompt, completion)
    by_tokens = _token_price(
        prompt, completion, usd_per_million_input_tokens, usd_per_million_output_tokens
    )
    by_hour = None if usd_per_hour is None else usd_per_hour / 3600
    output_rate = measures.output_tokens_rate
    idle_share, basis = _idle(measures, capacity_rate) if by_hour is not None else (None, None)
    has_token_price = any(price is not None for price in prices[1:])

    def per_million(rate: float | None, tokens: float | None) -> float | None:
        """At ``rate`` a second; ``tokens`` of the thing come with one request."""
        parts: list[float | None] = []
        if by_hour is not None:
            parts.append(_quotient(by_hour, rate))
        if has_token_price:
            parts.append(_quotient(by_tokens, tokens))
        known = [part for part in parts if part is not None]
        return sum(known) * _MILLION if len(known) == len(parts) else None

    return Costs(
        usd_per_hour=usd_per_hour,
        usd_per_million_input_tokens=usd_per_million_input_tokens,
        usd_per_million_output_tokens=usd_per_million_output_tokens,
        per_million_requests=per_million(measures.completed_rate, 1),
        per_million_tokens=per_million(_plus(measures.prompt_tokens_rate, output_rate), total),
        per_million_output_tokens=per_million(output_rate, completion),
        idle_share=idle_share,
        idle_basis=basis,
        idle_usd_per_month=(
            None
            if idle_share is None or usd_per_hour is None
            else idle_share * usd_per_hour * HOURS_A_MONTH
        ),
    )


def _tokens_a_request(measures: Measures) -> tuple[float | None, float | None]:
    """Mean prompt and completion tokens of a complete request; None where nobody counted."""
    tokens, complete = measures.tokens, measures.outcomes.get("complete", 0)
    with_usage = complete - tokens.without_usage
    prompt = _quotient(tokens.prompt_server, with_usage)
    completion = _quotient(tokens.completion_server, with_usage)
    if prompt is None:
        prompt = _quotient(tokens.prompt_tokenizer, complete)
    if completion is None:
        completion = _quotient(tokens.completion_tokenizer, complete)
    return prompt, completion


def _token_price(
    prompt: float | None, completion: float | None, price_in: float | None, price_out: float | None
) -> float | None:
    """Dollars for the tokens of a request; None if a count or a price of some is unknown."""
    parts = []
    for tokens, price in ((prompt, price_in), (completion, price_out)):
        if tokens == 0:
            continue
        if tokens is None or price is None:
            return None
        parts.append(tokens * price / _MILLION)
    return sum(parts)


def _idle(measures: Measures, capacity_rate: float | None) -> tuple[float, str]:
    if capacity_rate is not None and capacity_rate > 0:
        used = measures.completed_rate
        basis = f"{used:.3g} of {capacity_rate:.3g} requests a second that it can serve were used"
        return max(0.0, 1 - used / capacity_rate), basis
    return measures.idle_share, "share of the time without a request in flight"


def _plus(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else one + other


def _quotient(amount: float | None, divisor: float | None) -> float | None:
    return amount / divisor if amount is not None and divisor else None
