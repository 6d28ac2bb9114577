import pytest
from trials import FAILED, of_latencies, record, sender, streamed, trial

from pilotage.prove.analysis.validity import validity
from pilotage.prove.record import LOCAL, Record
from pilotage.prove.trial import Trial


def delayed(count: int, late: int, delay: float, took: float = 0.02) -> list[Record]:
    """``count`` requests, the last ``late`` of them sent ``delay`` seconds after they were due."""
    return [
        record(i, took=took, started_s=i / 10 + (delay if i >= count - late else 0))
        for i in range(count)
    ]


def warmed(records: list[Record], **fields: object) -> Trial:
    return trial([record(0, at=-1.0), *records], warm_up_s=0.0, **fields)


def test_a_client_in_time() -> None:
    found = validity(warmed(delayed(200, 200, 0.001)))
    assert (found.valid, found.reasons, found.warnings) == (True, (), ())
    assert found.send_delay is not None
    assert found.send_delay.p50 == pytest.approx(0.001)
    assert (found.limit, found.senders, found.sender_cpu) == (0.005, 1, pytest.approx(0.2))
    assert found.loop_lag_p99 == 0.0005


def test_a_client_that_sends_too_late() -> None:
    found = validity(warmed(delayed(200, 3, 0.05)))
    assert not found.valid
    assert found.reasons == (
        "the client sent 1 request of 100 50ms or more after it was due, with 5ms allowed; give "
        "it more --senders, a lower rate, or another machine",
    )


def test_a_few_late_requests_are_a_warning() -> None:
    found = validity(warmed(delayed(200, 1, 0.05)))
    assert found.valid
    assert found.warnings[0].startswith("the client was late at times, by 50ms at worst")


def test_what_is_late_depends_on_how_slow_the_server_is() -> None:
    slow = validity(warmed(delayed(200, 10, 0.05, took=2.0)))
    assert (slow.valid, slow.limit) == (True, pytest.approx(0.1))
    # Where there are first tokens it is they that the delay would spoil.
    streams = [streamed(i, first=0.2, tpot=0.5, tokens=5) for i in range(50)]
    assert validity(warmed(streams)).limit == pytest.approx(0.01)


def test_a_client_that_notices_too_late() -> None:
    run = warmed(delayed(50, 0, 0), senders=(sender(), sender(lag=0.02, number=1)))
    found = validity(run)
    assert not found.valid
    assert "sender 1 noticed 1 event of 100 20ms or more after it came" in found.reasons[0]
    assert (found.loop_lag_p99, found.senders) == (0.02, 2)


def test_a_busy_sender_is_a_reason_only_when_it_was_late() -> None:
    busy = (sender(cpu=0.98),)
    assert validity(warmed(delayed(200, 0, 0), senders=busy)).valid
    found = validity(warmed(delayed(200, 1, 0.05), senders=busy))
    assert not found.valid
    assert found.reasons[0].startswith("a sender used 98% of a core")


@pytest.mark.parametrize(
    ("run", "advice"),
    [
        (trial([], due_s=10), "none was due"),
        (of_latencies([0.1] * 5, warm_up_s=10), "the run ended within the warm-up"),
        (
            trial([record(0), record(1, outcome="cancelled")], due_s=5, warm_up_s=0.05),
            "cut off by the stop",
        ),
    ],
)
def test_a_run_that_measured_nothing(run: Trial, advice: str) -> None:
    found = validity(run)
    assert not found.valid
    assert found.reasons[0].startswith("no request was measured: ")
    assert advice in found.reasons[0]
    assert found.send_delay is None


def test_all_failed_is_a_finding_about_the_server_and_not_about_the_client() -> None:
    found = validity(of_latencies([FAILED] * 10))
    assert (found.valid, found.limit) == (True, 0.005)


def test_warnings() -> None:
    records = [
        record(i, repeat=int(i % 2), asked_tokens=10, completion_tokens=10 if i else 2)
        for i in range(10)
    ]
    found = validity(trial(records, open_loop=False))
    assert found.valid
    assert [warning.split(",")[0] for warning in found.warnings] == [
        "closed loop: a slow server gets fewer requests",
        "no warm-up was left out",
        "5 of 10 requests repeated an earlier payload; a server that caches prompts answers those "
        "faster",
        "1 of 10 answers ended before the length that was asked for; the load was lighter than "
        "planned",
    ]


def test_what_the_client_lacked_is_no_finding_about_the_server() -> None:
    fields = {"outcome": "unreachable", "error": f"{LOCAL}Too many open files", "status": None}
    found = validity(warmed([record(i, **(fields if i == 7 else {})) for i in range(50)]))
    assert not found.valid
    assert "1 requests failed for want of something on the client's side" in found.reasons[0]


def test_requests_that_were_sent_again_are_told() -> None:
    found = validity(warmed([record(i, resent=int(i < 2)) for i in range(50)]))
    assert found.valid
    assert found.warnings[0].startswith("2 requests were sent again")


def test_what_chunks_hide_is_told() -> None:
    streams = [streamed(i, first=0.2, tpot=0.01, tokens=5, completion_tokens=15) for i in range(50)]
    (warning,) = validity(warmed(streams)).warnings
    assert warning.startswith("a chunk of the streams holds 2.8 tokens on average")
    silent = [
        streamed(i, first=0.2, tpot=0.01, tokens=5, completion_tokens=None) for i in range(50)
    ]
    (warning,) = validity(warmed(silent)).warnings
    assert warning.startswith("the server did not count the tokens of 50 of 50 streamed answers")
    plain = [streamed(i, first=0.2, tpot=0.01, tokens=5, completion_tokens=6) for i in range(50)]
    assert validity(warmed(plain)).warnings == ()
