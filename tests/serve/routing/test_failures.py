"""What a failed attempt and a spent budget say to the client."""

from __future__ import annotations

from decimal import Decimal

import pytest

from pilotage.route.backends.backend import BackendError, Fault
from pilotage.route.ledger import Exhausted
from pilotage.route.rejection import unknown_model
from pilotage.serve.routing.admission import refusal
from pilotage.serve.routing.failures import of_backend, of_rejection
from pilotage.serve.routing.headers import header_text, money_text
from pilotage.serve.routing.raw_response import with_cost


@pytest.mark.parametrize("fault", list(Fault))
def test_every_fault_has_a_status(fault: Fault) -> None:
    error = of_backend(BackendError(fault, "it went wrong", status=422, retry_after_s=3.0))
    if fault is Fault.REFUSED:
        assert (error.status, error.code, error.retry_after_s) == (400, "provider_refused", None)
    else:
        assert error.status in {502, 503, 504}
        assert (error.code, error.retry_after_s) == (f"backend_{fault.value}", 3.0)
    assert error.message == "It went wrong."


def test_a_backend_that_needs_its_operator_asks_nobody_to_come_back() -> None:
    assert of_backend(BackendError(Fault.DENIED, "no")).retry_after_s is None
    assert of_backend(BackendError(Fault.CUT, "no")).retry_after_s == 1.0


def test_what_a_provider_says_of_a_request_is_its_senders_business() -> None:
    error = of_backend(BackendError(Fault.REFUSED, "it refused", status=413, detail="too long!"))
    assert (error.status, error.message) == (413, "Too long!")


def test_a_rejection_keeps_its_words() -> None:
    error = of_rejection(unknown_model("x", ("auto", "small")))
    assert (error.status, error.code, error.param) == (404, "model_not_found", "model")


@pytest.mark.parametrize(
    ("resource", "limit", "spent", "status", "words"),
    [
        ("usd_per_day", Decimal("0.50"), Decimal("0.4999"), 402, "$0.4999 of its $0.5 a day"),
        ("usd_per_month", Decimal(10), Decimal(10), 402, "$10 of its $10 a month"),
        ("tokens_per_minute", 1000, 990, 429, "990 of its 1000 tokens a minute"),
    ],
)
def test_a_limit_that_is_reached(
    resource: str, limit: Decimal | int, spent: Decimal | int, status: int, words: str
) -> None:
    found = Exhausted(
        resource=resource,  # type: ignore[arg-type]
        limit=limit,
        spent=spent,
        reset_at=1_800_000_000.0,
    )
    error = refusal(found, 1_799_999_990.0)
    assert (error.status, error.retry_after_s) == (status, 10.0)
    assert words in error.message
    assert "2027-01-15T08:00:00Z" in error.message


def test_a_request_that_never_fits() -> None:
    found = Exhausted(resource="usd_per_day", limit=Decimal(1), spent=Decimal(0), reset_at=None)
    error = refusal(found, 0.0)
    assert (error.status, error.code, error.retry_after_s) == (402, "budget_exhausted", None)


@pytest.mark.parametrize(
    ("amount", "text"),
    [("0", "0"), ("0.00", "0"), ("1E-9", "0.000000001"), ("12.50", "12.5"), ("1E+2", "100")],
)
def test_money_is_exact_and_plain(amount: str, text: str) -> None:
    assert money_text(Decimal(amount)) == text


def test_a_header_is_one_line_of_ascii() -> None:
    assert header_text("judge 0.62 < 0.85\r\nset-cookie: ü") == "judge 0.62 < 0.85??set-cookie: ?"
    assert len(header_text("x" * 5000)) == 256


def test_the_cost_goes_into_the_event_that_tells_the_usage() -> None:
    said = b'data: {"choices":[{"delta":{"content":"\\"choices\\":[]"}}]}\n\n'
    usage = b'data: {"choices": [], "usage": {"prompt_tokens": 1}}\n\n'
    done = b"data: [DONE]\n\n"
    assert with_cost(said + usage + done, Decimal("0.5")) == (
        said + b'data: {"choices":[],"usage":{"prompt_tokens":1,"cost_usd":"0.5"}}\n\n' + done
    )
    broken = b'data: {"choices": [], \n\n'
    assert with_cost(broken, Decimal(1)) == broken
