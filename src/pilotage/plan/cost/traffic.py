"""What requests and answers weigh on the wire, and what moving them costs."""

from __future__ import annotations

import math
from typing import Final

from pilotage.catalog.prices import PriceBook
from pilotage.plan.cost.charges import Charge, charge
from pilotage.plan.cost.operation import HOURS_PER_MONTH, Operation
from pilotage.plan.demand import Demand, Lengths

GIB: Final = 1 << 30
"""AWS bills storage and traffic by 2**30 bytes and calls them GB."""

SECONDS_PER_MONTH: Final = HOURS_PER_MONTH * 3600

_BYTES_A_TOKEN: Final = 4.5
"""UTF-8 bytes of English text a token of today's vocabularies (100K tokens and more): about 4.5."""

_BYTES_A_CHUNK: Final = 230
"""A ``chat.completion.chunk`` event with one token, as OpenAI-compatible servers stream it: its
id, object, created, model and choices take about 225 bytes before the text."""

_ENVELOPE_BYTES: Final = 500
"""Headers and the JSON around a body."""

_JPEG_BYTES_A_PIXEL: Final = 0.25
"""JPEG photographs of quality 80 to 85 take about 2 bits a pixel."""

_BASE64: Final = 4 / 3

# The normal distribution's 99th percentile.
_Z99: Final = 2.3263478740408408

_LCU_CONNECTIONS_A_SECOND: Final = 25
_LCU_BYTES_AN_HOUR: Final = GIB


def mean_tokens(lengths: Lengths) -> float:
    """Mean of the log-normal through p50 and p99.

    With mu = ln p50 and sigma = ln(p99 / p50) / 2.3263 the mean is exp(mu + sigma**2 / 2), the
    log-normal's textbook moment. The mean lies above the median: tokens are paid by the mean.
    """
    if not 0 < lengths.p50 <= lengths.p99:
        return max(0.0, lengths.p50)
    sigma = math.log(lengths.p99 / lengths.p50) / _Z99
    return lengths.p50 * math.exp(sigma**2 / 2)


def prompt_bytes(demand: Demand, tokens: float) -> float:
    """A request with a prompt of ``tokens`` tokens and its images in base64, bytes."""
    image = demand.image_width * demand.image_height * _JPEG_BYTES_A_PIXEL * _BASE64
    return _ENVELOPE_BYTES + tokens * _BYTES_A_TOKEN + demand.images * image


def answer_bytes(tokens: float, *, streamed: bool) -> float:
    """An answer of ``tokens`` tokens, one event a token when streamed, bytes."""
    return _ENVELOPE_BYTES + tokens * (_BYTES_A_CHUNK if streamed else _BYTES_A_TOKEN)


def requests_a_month(demand: Demand) -> float:
    """Requests in 730 hours."""
    return demand.rate * SECONDS_PER_MONTH


def mean_request_bytes(demand: Demand, operation: Operation) -> float:
    """As given, or estimated."""
    if operation.request_bytes is not None:
        return operation.request_bytes
    return prompt_bytes(demand, mean_tokens(demand.prompt))


def mean_response_bytes(demand: Demand, operation: Operation, *, streamed: bool) -> float:
    """As given, or estimated."""
    if operation.response_bytes is not None:
        return operation.response_bytes
    return answer_bytes(mean_tokens(demand.completion), streamed=streamed)


def data_out(demand: Demand, operation: Operation, prices: PriceBook, *, streamed: bool) -> Charge:
    """Answers that leave AWS; what comes in is free."""
    sent = mean_response_bytes(demand, operation, streamed=streamed) / GIB
    if not operation.clients_outside:
        sent = 0.0
    price = prices.price("transfer:out-gb")
    return charge("data out", price, (requests_a_month(demand), "requests"), (sent, "GB"))


def load_balancer(demand: Demand, operation: Operation, prices: PriceBook) -> tuple[Charge, ...]:
    """An Application Load Balancer: its hours and its capacity units.

    A capacity unit (LCU) is 25 new connections a second or 1 GB an hour, whichever is more
    (elasticloadbalancing pricing page). Each request is taken to open a connection, which clients
    that keep theirs do not: an upper bound. Active connections (3,000 a unit) come to less while
    requests take under two minutes, and rules (1,000 a second) always.
    """
    moved = mean_request_bytes(demand, operation) + mean_response_bytes(
        demand, operation, streamed=True
    )
    units = max(
        demand.rate / _LCU_CONNECTIONS_A_SECOND, demand.rate * 3600 * moved / _LCU_BYTES_AN_HOUR
    )
    return (
        charge("load balancer", prices.price("alb:hour"), (HOURS_PER_MONTH, "h")),
        charge(
            "load balancer capacity",
            prices.price("alb:lcu-hour"),
            (HOURS_PER_MONTH, "h"),
            (units, "LCU"),
        ),
    )
