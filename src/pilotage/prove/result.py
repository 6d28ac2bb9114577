"""The report of a test as data: ``report.json``, version ``pilotage.prove/1``.

Everything that any view shows (terminal, Markdown, HTML, CSV, comparison) comes from here. Times
are in seconds, rates a second, money in US dollars. A value that could not be measured is null,
never 0. New fields may be added within a version; none changes its meaning.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

SCHEMA: Final = "pilotage.prove/1"

Metric = Literal["ttft", "tpot", "itl", "e2e"]
Finding = Literal["met", "missed", "not_enough_evidence"]


class Estimate(msgspec.Struct, frozen=True, kw_only=True):
    """A percentile with its confidence interval.

    Attributes:
        value: The percentile of the sample; None when failed requests reach down to it, which
            count as never answered.
        low: Lower end of the interval; None where the sample cannot bound it.
        high: Upper end; None where the sample is too small, or too many requests failed, to
            bound it.
    """

    value: float | None
    low: float | None = None
    high: float | None = None


class Distribution(msgspec.Struct, frozen=True, kw_only=True):
    """A latency over the measured requests.

    Attributes:
        count: Values in it.
        failed: Requests that have no value because they failed; they count as infinitely slow in
            the percentiles of ``ttft`` and ``e2e``.
        effective: Independent values that the sample is worth: requests that queue behind one
            another are late together.
        mean: Of the values.
        min: Smallest value.
        max: Largest value.
        p50: Median, and so on.
        curve: The distribution for plots: (share of requests, value), ascending, at most 400.
    """

    count: int
    failed: int
    effective: float
    mean: float
    min: float
    max: float
    p50: Estimate
    p90: Estimate
    p95: Estimate
    p99: Estimate
    curve: tuple[tuple[float, float], ...] = ()


class Objective(msgspec.Struct, frozen=True, kw_only=True):
    """One promise of the SLO and whether the run shows it kept.

    Attributes:
        metric: Which latency.
        quantile: 0.99 for a p99.
        target: The promise, in seconds.
        measured: What was measured.
        finding: ``met`` and ``missed`` hold with the report's confidence.
        late: Requests over the target or failed.
        total: Requests that count.
        more_requests: How many more requests would decide it if they fell out like these; None
            when it is decided, or when no affordable number would.
    """

    metric: Metric
    quantile: float
    target: float
    measured: Estimate
    finding: Finding
    late: int
    total: int
    more_requests: int | None = None


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """Whether the SLO holds.

    Attributes:
        finding: The worst of the objectives' findings; ``invalid`` when the client was the
            bottleneck; ``no_slo`` when nothing was promised.
        confidence: Of the findings, such as 0.95.
        objectives: Each promise.
        sentence: The verdict for a person.
    """

    finding: Literal["met", "missed", "not_enough_evidence", "invalid", "no_slo"]
    confidence: float
    objectives: tuple[Objective, ...] = ()
    sentence: str


class SendDelay(msgspec.Struct, frozen=True, kw_only=True):
    """How late the sender was (none of the server's doing).

    Attributes:
        p50: Median, and so on.
    """

    p50: float
    p99: float
    max: float


class Validity(msgspec.Struct, frozen=True, kw_only=True):
    """Whether the client could have been the bottleneck.

    Attributes:
        valid: Whether the numbers speak of the server.
        reasons: Why not, each a sentence with what to do.
        warnings: What a reader should know although the run is valid.
        send_delay: Lateness of the senders; None when nothing was sent.
        loop_lag_p99: How late arriving tokens were noticed, at p99, of the worst sender.
        limit: The lateness that would have made the run invalid.
        senders: Sender processes.
        sender_cpu: Largest share of a core that a sender used.
    """

    valid: bool
    reasons: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    send_delay: SendDelay | None = None
    loop_lag_p99: float | None = None
    limit: float | None = None
    senders: int = 1
    sender_cpu: float = 0.0


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """Requests that failed in the same way.

    Attributes:
        outcome: The kind, as in `pilotage.prove.record.Outcome`.
        status: HTTP status, if there was an answer.
        message: What the server or the connection said.
        count: How many.
        first_index: One of them, to look up in ``requests.csv``.
        first_s: When the first of them was due.
    """

    outcome: str
    status: int | None
    message: str
    count: int
    first_index: int
    first_s: float


class Tokens(msgspec.Struct, frozen=True, kw_only=True):
    """Tokens, by the server's count and by the tokenizer's.

    Attributes:
        prompt_server: Prompt tokens of complete requests as the server counted; None if it never
            said.
        prompt_tokenizer: As our tokenizer counted; None without one.
        completion_server: Completion tokens likewise.
        completion_tokenizer: Completion tokens as our tokenizer counts the answers' text.
        completion_chunks: Pieces of content that arrived.
        without_usage: Complete requests for which the server gave no count.
        short: Complete requests that ended before the length that was asked for.
        tokenizer: Which tokenizer counted; None without one.
    """

    prompt_server: int | None = None
    prompt_tokenizer: int | None = None
    completion_server: int | None = None
    completion_tokenizer: int | None = None
    completion_chunks: int = 0
    without_usage: int = 0
    short: int = 0
    tokenizer: str | None = None


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """One interval of the run, for plots over time. Requests count where they were due.

    Attributes:
        at: Its beginning.
        seconds: Its length.
        sent: Requests due in it.
        completed: Answers that became whole in it.
        failed: Requests that failed in it.
        in_flight: Requests under way at its end.
        output_tokens: Tokens of answers that became whole in it.
        good: Requests due in it that kept the SLO; None without one.
        ttft_p50: Of the requests due in it, and so on; None without values.
    """

    at: float
    seconds: float
    sent: int
    completed: int
    failed: int
    in_flight: int
    output_tokens: int
    good: int | None = None
    ttft_p50: float | None = None
    ttft_p99: float | None = None
    e2e_p50: float | None = None
    e2e_p99: float | None = None


class Measures(msgspec.Struct, frozen=True, kw_only=True):
    """What a run measured.

    Attributes:
        requests: Requests in the measured part.
        seconds: Its length: how long requests were due.
        offered_rate: Requests due a second.
        completed_rate: Complete answers a second.
        output_tokens_rate: Output tokens a second.
        prompt_tokens_rate: Prompt tokens a second.
        goodput: Requests a second that kept every promise of the SLO; None without one.
        good_share: Share of requests that did.
        outcomes: Requests by outcome.
        failures: The kinds of failure, the most frequent first, at most 50.
        ttft: Time to first token; None if nothing was streamed.
        tpot: Time per output token after the first, a value a request.
        itl: Inter-token latency, a value a gap between chunks.
        e2e: End-to-end latency.
        queue: Time in the server's queue a request, where the server reports it.
        tokens: Token counts.
        idle_share: Share of the time with no request in flight.
        mean_in_flight: Requests in flight on average.
    """

    requests: int
    seconds: float
    offered_rate: float
    completed_rate: float
    output_tokens_rate: float | None
    prompt_tokens_rate: float | None
    goodput: float | None = None
    good_share: float | None = None
    outcomes: dict[str, int]
    failures: tuple[Failure, ...] = ()
    ttft: Distribution | None = None
    tpot: Distribution | None = None
    itl: Distribution | None = None
    e2e: Distribution | None = None
    queue: Distribution | None = None
    tokens: Tokens
    idle_share: float
    mean_in_flight: float


class WarmUp(msgspec.Struct, frozen=True, kw_only=True):
    """What was sent first and is in none of the figures.

    Attributes:
        seconds: How long.
        requests: How many.
        complete: How many of them were answered whole.
        e2e_p50: Their median latency.
        ttft_p50: Their median time to first token.
    """

    seconds: float
    requests: int
    complete: int
    e2e_p50: float | None = None
    ttft_p50: float | None = None


class ServerSample(msgspec.Struct, frozen=True, kw_only=True):
    """One look at the server's ``/metrics``. Null where it does not say.

    Attributes:
        at: When, in seconds since the run's start.
        running: Requests that are being generated.
        waiting: Requests that wait.
        batch_size: Sequences in a step, on average since the last look.
        kv_usage: Share of the KV cache in use, 0 to 1.
        cpu: CPU cores in use, on average since the last look.
        gpu: Share of GPU time in use, 0 to 1.
        output_tokens_rate: Tokens a second since the last look.
    """

    at: float
    running: float | None = None
    waiting: float | None = None
    batch_size: float | None = None
    kv_usage: float | None = None
    cpu: float | None = None
    gpu: float | None = None
    output_tokens_rate: float | None = None


class ServerSide(msgspec.Struct, frozen=True, kw_only=True):
    """What the server said of itself meanwhile.

    Attributes:
        source: The address of the metrics, without any secret.
        kind: Whose metric names were found: "pilotage", "vllm", …
        samples: Over time.
        mean: Means of the samples of the measured part.
        peak: Largest values.
        queue_mean: Mean time in the queue, in seconds, from the server's own histogram.
        ttft_mean: Mean time to first token as the server measured it.
        missing: Why there is nothing, if so.
    """

    source: str
    kind: str | None = None
    samples: tuple[ServerSample, ...] = ()
    mean: ServerSample | None = None
    peak: ServerSample | None = None
    queue_mean: float | None = None
    ttft_mean: float | None = None
    missing: str | None = None


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One rate of a capacity search.

    Attributes:
        rate: Requests a second that were offered.
        measures: What was measured.
        verdict: Whether the SLO held.
        valid: Whether the client kept up.
        stopped_early: Why the step was ended before its time, if it was.
        holds: Whether the search took the rate as held.
    """

    rate: float
    measures: Measures
    verdict: Verdict
    valid: bool
    stopped_early: str | None = None
    holds: bool


class Capacity(msgspec.Struct, frozen=True, kw_only=True):
    """What a capacity search found.

    Attributes:
        rate: The highest rate that was tried and held; None if none did.
        broken_at: The lowest rate that was tried and did not hold; None if all did.
        steps: Everything that was tried, in the order of the trials.
        sentence: The finding for a person.
    """

    rate: float | None
    broken_at: float | None
    steps: tuple[Step, ...]
    sentence: str


class Costs(msgspec.Struct, frozen=True, kw_only=True):
    """What it costs, from prices that the user gave.

    Attributes:
        usd_per_hour: Price of the deployment an hour, if given.
        usd_per_million_input_tokens: Price of the endpoint, if given.
        usd_per_million_output_tokens: Price of the endpoint, if given.
        per_million_requests: At the measured rate; None if nothing was answered.
        per_million_tokens: Prompt and completion together.
        per_million_output_tokens: By completion tokens alone.
        idle_share: Share of an hourly price that paid for nothing: unused capacity where the
            capacity is known, else time without any request.
        idle_basis: Which of the two, in words.
        idle_usd_per_month: That share of 730 hours.
    """

    usd_per_hour: float | None = None
    usd_per_million_input_tokens: float | None = None
    usd_per_million_output_tokens: float | None = None
    per_million_requests: float | None = None
    per_million_tokens: float | None = None
    per_million_output_tokens: float | None = None
    idle_share: float | None = None
    idle_basis: str | None = None
    idle_usd_per_month: float | None = None


class Prediction(msgspec.Struct, frozen=True, kw_only=True):
    """One figure of the plan beside the measured one.

    Attributes:
        name: Which, such as "ttft p99" or "output tokens a second".
        unit: "s", "/s", "USD", "tokens/s".
        predicted: The plan's.
        measured: Ours; None if it was not measured.
        low: Lower end of the measured interval.
        high: Upper end of the measured interval.
        error: (predicted - measured) / measured.
        within: Whether the prediction lies in the interval; None without one.
        stated_error: The relative error that the plan states for it; None if it states none.
    """

    name: str
    unit: str
    predicted: float
    measured: float | None = None
    low: float | None = None
    high: float | None = None
    error: float | None = None
    within: bool | None = None
    stated_error: float | None = None


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """Whom the requests went to.

    Attributes:
        url: The address requests were posted to.
        model: The model's name in the requests.
        api: "chat", "completions" or "infer".
        stream: Whether answers were streamed.
        server: What the server calls itself, if it does.
    """

    url: str
    model: str
    api: str
    stream: bool
    server: str | None = None


class Workload(msgspec.Struct, frozen=True, kw_only=True):
    """What was sent.

    Attributes:
        arrivals: The process in a line.
        payloads: The prompts in a line.
        seed: With it the same requests are sent at the same times.
        open_loop: Whether requests were sent without waiting for answers.
        planned: Requests that were planned, warm-up included.
        repeated: Requests that used a payload a second time or more.
        timeout: Seconds a request was given.
    """

    arrivals: str
    payloads: str
    seed: int
    open_loop: bool
    planned: int | None
    repeated: int
    timeout: float


class Client(msgspec.Struct, frozen=True, kw_only=True):
    """Where the senders ran.

    Attributes:
        machine: Processor.
        cores: CPU cores that they could use.
        same_machine: Whether the target is on this machine too, and shares its cores.
    """

    machine: str
    cores: int
    same_machine: bool


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """A whole test: see the module.

    Attributes:
        name: The deployment's name, or the target's host.
        created_at: UTC, ISO 8601.
        pilotage: Version that made it.
        slo: What is promised, in seconds, by metric and quantile ("ttft_p99").
        warm_up: What was left out of the figures; None if nothing was.
        interrupted: Why the run ended early ("Ctrl-C", "deadline"), if it did.
        series: The run over time, warm-up included.
        server: The server's side; None where it was not asked.
        capacity: Of a search; then `measures` and `verdict` are those of the highest rate that
            held, or of the lowest that was tried.
        plan: The plan beside reality, if a plan was given.
        cold_start: Seconds from start to ready, where it was measured or given.
        max_payload: Largest request body the server accepts, in bytes, where it was probed.
        max_payload_is_bound: Whether the probe stopped there without meeting a limit.
        command: The command line that made it, without any secret; None from a program.
    """

    name: str
    created_at: str
    pilotage: str
    target: Target
    workload: Workload
    client: Client
    slo: dict[str, float]
    verdict: Verdict
    validity: Validity
    measures: Measures
    warm_up: WarmUp | None = None
    interrupted: str | None = None
    series: tuple[Point, ...] = ()
    server: ServerSide | None = None
    capacity: Capacity | None = None
    costs: Costs | None = None
    plan: tuple[Prediction, ...] = ()
    cold_start: float | None = None
    max_payload: int | None = None
    max_payload_is_bound: bool = False
    command: str | None = None
    schema: Literal["pilotage.prove/1"] = SCHEMA
