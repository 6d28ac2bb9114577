"""Reports as a run would leave them, built without running anything."""

from __future__ import annotations

import math
from typing import Any

import msgspec

from pilotage.prove.record import Outcome, Record
from pilotage.prove.result import (
    Capacity,
    Client,
    Costs,
    Distribution,
    Estimate,
    Failure,
    Measures,
    Objective,
    Point,
    Prediction,
    Report,
    SendDelay,
    ServerSample,
    ServerSide,
    Step,
    Target,
    Tokens,
    Validity,
    Verdict,
    WarmUp,
    Workload,
)


def a_distribution(median: float, spread: float = 0.5, *, failed: int = 0, count: int = 1188):
    """A log-normal latency: median and sigma of its logarithm."""

    def value(share: float) -> float:
        return median * math.exp(spread * _normal_quantile(share))

    def estimate(share: float) -> Estimate:
        width = 0.04 + 0.1 * share**8
        return Estimate(
            value=value(share), low=value(share) * (1 - width), high=value(share) * (1 + width)
        )

    answered = count / (count + failed)
    curve = tuple((n / 200 * answered, value(min(n / 200, 0.9995))) for n in range(1, 201))
    return Distribution(
        count=count,
        failed=failed,
        effective=count * 0.8,
        mean=median * math.exp(spread**2 / 2),
        min=value(0.001),
        max=value(0.9995),
        p50=estimate(0.5),
        p90=estimate(0.9),
        p95=estimate(0.95),
        p99=estimate(0.99),
        curve=curve,
    )


def _normal_quantile(share: float) -> float:
    from statistics import NormalDist

    return NormalDist().inv_cdf(share)


def some_measures(rate: float = 20.0, slow: float = 1.0) -> Measures:
    requests = round(rate * 60)
    rejected, broken = requests // 120, requests // 600
    complete = requests - rejected - broken
    return Measures(
        requests=requests,
        seconds=60.0,
        offered_rate=rate,
        completed_rate=complete / 60,
        output_tokens_rate=complete / 60 * 61.5,
        prompt_tokens_rate=complete / 60 * 183,
        goodput=complete / 60 * 0.96,
        good_share=complete / requests * 0.96,
        outcomes={"complete": complete, "rejected": rejected, "broken": broken},
        failures=(
            Failure(
                outcome="rejected",
                status=429,
                message="The server is full; try again in 2 s",
                count=rejected,
                first_index=318,
                first_s=21.4,
            ),
            Failure(
                outcome="broken",
                status=200,
                message="the connection closed before the answer ended",
                count=broken,
                first_index=702,
                first_s=40.02,
            ),
        ),
        ttft=a_distribution(0.14 * slow, 0.42, failed=rejected + broken, count=complete),
        tpot=a_distribution(0.021 * slow, 0.2, count=complete),
        itl=a_distribution(0.019 * slow, 0.6, count=complete * 60),
        e2e=a_distribution(1.42 * slow, 0.3, failed=rejected + broken, count=complete),
        queue=a_distribution(0.012 * slow, 1.1, count=complete),
        tokens=Tokens(
            prompt_server=217_404,
            prompt_tokenizer=216_012,
            completion_server=73_062,
            completion_tokenizer=73_062,
            completion_chunks=73_050,
            without_usage=3,
            short=12,
            tokenizer="SmolLM2-135M",
        ),
        idle_share=0.021,
        mean_in_flight=29.4 * slow,
    )


def a_verdict(finding: str = "met", slow: float = 1.0) -> Verdict:
    measures = some_measures(slow=slow)
    assert measures.ttft is not None
    assert measures.e2e is not None
    if finding in ("no_slo",):
        return Verdict(
            finding="no_slo",
            confidence=0.95,
            sentence="Nothing was promised; this is what it does.",
        )
    sentences = {
        "met": "Every promise holds with 95 % confidence: TTFT p99 is at most 421 ms (≤ 450 ms).",
        "missed": "TTFT p99 is at least 471 ms, over the 450 ms that were promised.",
        "not_enough_evidence": "TTFT p99 lies between 390 and 470 ms; 450 ms were promised. "
        "4,200 more requests would tell.",
        "invalid": "The senders were late themselves; nothing is said of the server.",
    }
    shown = "not_enough_evidence" if finding == "invalid" else finding
    return Verdict(
        finding=finding,  # type: ignore[arg-type]
        confidence=0.95,
        sentence=sentences[finding],
        objectives=(
            Objective(
                metric="ttft",
                quantile=0.99,
                target=0.45,
                measured=measures.ttft.p99,
                finding=shown,  # type: ignore[arg-type]
                late=14,
                total=1200,
                more_requests=4200 if shown == "not_enough_evidence" else None,
            ),
            Objective(
                metric="e2e",
                quantile=0.99,
                target=4.0,
                measured=measures.e2e.p99,
                finding="met",
                late=2,
                total=1200,
            ),
        ),
    )


def a_series(seconds: int = 75, warm_up: int = 15) -> tuple[Point, ...]:
    points = []
    for at in range(seconds):
        wave = 1 + 0.25 * math.sin(at / 4) + (1.2 if 38 <= at < 43 else 0)
        quiet = at == 55
        points.append(
            Point(
                at=float(at),
                seconds=1.0,
                sent=round(20 * (1 + 0.2 * math.sin(at / 3))),
                completed=round(19.6 * (1 + 0.2 * math.sin((at - 1.4) / 3))),
                failed=3 if 38 <= at < 43 else 0,
                in_flight=round(29 * wave),
                output_tokens=round(1210 * (1 + 0.15 * math.sin(at / 5))),
                good=None if at < warm_up else round(19 / wave),
                ttft_p50=None if quiet else 0.14 * wave,
                ttft_p99=None if quiet else 0.34 * wave**1.5,
                e2e_p50=None if quiet else 1.4 * wave,
                e2e_p99=None if quiet else 2.6 * wave,
            )
        )
    return tuple(points)


def a_server_side() -> ServerSide:
    samples = tuple(
        ServerSample(
            at=float(at),
            running=float(20 + 6 * math.sin(at / 4)),
            waiting=max(0.0, 9 * math.sin(at / 4)),
            batch_size=18 + 5 * math.sin(at / 4),
            kv_usage=0.4 + 0.2 * math.sin(at / 6),
            cpu=1.7 + 0.2 * math.sin(at),
            gpu=None,
            output_tokens_rate=1200.0,
        )
        for at in range(0, 75, 2)
    )
    return ServerSide(
        source="http://127.0.0.1:8000/metrics",
        kind="pilotage",
        samples=samples,
        mean=ServerSample(at=45, running=20.1, waiting=2.9, batch_size=18, kv_usage=0.41, cpu=1.7),
        peak=ServerSample(at=45, running=26, waiting=9, batch_size=23, kv_usage=0.6, cpu=1.93),
        queue_mean=0.0131,
        ttft_mean=0.131,
    )


def a_capacity() -> Capacity:
    steps = []
    for rate, slow, holds in (
        (10, 0.8, True),
        (40, 3.2, False),
        (20, 1.0, True),
        (30, 1.55, False),
        (25, 1.1, True),
        (27.5, 1.3, False),
    ):
        steps.append(
            Step(
                rate=rate,
                measures=some_measures(rate, slow),
                verdict=a_verdict("met" if holds else "missed", slow),
                valid=True,
                stopped_early="over-saturated after 12 s" if rate == 40 else None,
                holds=holds,
            )
        )
    return Capacity(
        rate=25.0,
        broken_at=27.5,
        steps=tuple(steps),
        sentence="The SLO holds up to 25/s and no longer at 27.5/s.",
    )


def a_report(**changes: Any) -> Report:
    """A whole report of a run that went well; ``changes`` replace fields of it."""
    report = Report(
        name="receipts",
        created_at="2026-11-22T10:04:11Z",
        pilotage="0.1.0",
        target=Target(
            url="http://127.0.0.1:8000/v1/chat/completions",
            model="smollm2-135m-instruct",
            api="chat",
            stream=True,
            server="pilotage/0.1.0",
        ),
        workload=Workload(
            arrivals="Poisson, 20/s for 1m 15s",
            payloads="prompts of 180 tokens (p50) to 900 (p99), answers of 60 to 128",
            seed=7,
            open_loop=True,
            planned=1500,
            repeated=0,
            timeout=60.0,
        ),
        client=Client(machine="AMD EPYC 7B13", cores=4, same_machine=False),
        slo={"ttft_p99": 0.45, "e2e_p99": 4.0},
        verdict=a_verdict(),
        validity=Validity(
            valid=True,
            warnings=("3 answers came without a token count; the tokenizer counted them.",),
            send_delay=SendDelay(p50=0.00012, p99=0.0011, max=0.0042),
            loop_lag_p99=0.0016,
            limit=0.01,
            senders=2,
            sender_cpu=0.31,
        ),
        measures=some_measures(),
        warm_up=WarmUp(seconds=15.0, requests=300, complete=298, e2e_p50=1.61, ttft_p50=0.19),
        series=a_series(),
        server=a_server_side(),
        costs=Costs(
            usd_per_hour=1.21,
            per_million_requests=16.97,
            per_million_tokens=0.0694,
            per_million_output_tokens=0.276,
            idle_share=0.2,
            idle_basis="of the 25/s that it holds, 20/s were used",
            idle_usd_per_month=176.7,
        ),
        plan=(
            Prediction(
                name="TTFT p99",
                unit="s",
                predicted=0.36,
                measured=0.372,
                low=0.331,
                high=0.412,
                error=-0.032,
                within=True,
            ),
            Prediction(
                name="output tokens a second",
                unit="tokens/s",
                predicted=1420.0,
                measured=1218.0,
                low=1190.0,
                high=1246.0,
                error=0.166,
                within=False,
            ),
            Prediction(
                name="a million requests", unit="USD", predicted=15.2, measured=16.97, error=-0.104
            ),
        ),
        cold_start=8.4,
        max_payload=4 * 1024**2,
        command="pilotage prove receipts.yaml --url http://127.0.0.1:8000 --duration 75s --seed 7",
    )
    return msgspec.structs.replace(report, **changes)


def a_search_report(**changes: Any) -> Report:
    """A report of a search for capacity."""
    return a_report(capacity=a_capacity(), **changes)


def an_empty_report(**changes: Any) -> Report:
    """A report of a run that was stopped before anything was measured."""
    return a_report(
        verdict=Verdict(
            finding="not_enough_evidence", confidence=0.95, sentence="Nothing was measured."
        ),
        measures=Measures(
            requests=0,
            seconds=0.0,
            offered_rate=0.0,
            completed_rate=0.0,
            output_tokens_rate=None,
            prompt_tokens_rate=None,
            outcomes={},
            tokens=Tokens(),
            idle_share=0.0,
            mean_in_flight=0.0,
        ),
        validity=Validity(valid=True),
        interrupted="Ctrl-C",
        **{
            "warm_up": None,
            "series": (),
            "server": None,
            "costs": None,
            "plan": (),
            **changes,
        },
    )


def some_records(count: int = 40) -> list[Record]:
    """Records of requests; every tenth failed."""
    records = []
    for index in range(count):
        failed = index % 10 == 9
        outcome: Outcome = "broken" if failed else "complete"
        due = index * 0.05
        records.append(
            Record(
                index=index,
                scheduled_s=due,
                started_s=due + 0.001,
                sent_s=due + 0.0012,
                first_token_s=None if failed else due + 0.15,
                last_token_s=None if failed else due + 1.4,
                end_s=due + 1.41,
                outcome=outcome,
                status=200,
                error="connection closed" if failed else None,
                finish_reason=None if failed else "length",
                prompt_tokens=180,
                completion_tokens=None if failed else 60,
                chunks=0 if failed else 60,
            )
        )
    return records
