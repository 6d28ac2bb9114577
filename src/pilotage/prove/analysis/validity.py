"""Whether a run's figures speak of the server, or of the client that measured it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from pilotage.prove.analysis.sample import Sample, in_due_order
from pilotage.prove.analysis.statistics import percentile
from pilotage.prove.analysis.token_counts import is_short
from pilotage.prove.record import LOCAL, Record, SenderStats
from pilotage.prove.result import SendDelay, Validity
from pilotage.prove.trial import Trial
from pilotage.units import format_duration

_LEAST_LIMIT_S: Final = 0.005
LIMIT_SHARE: Final = 0.05
"""How large the client's own delay may be, as a share of what it measures."""

_BUSY: Final = 0.95
_SHORT_SHARE: Final = 0.05
_TOKENS_A_CHUNK: Final = 1.1
_REMEDY: Final = "give it more --senders, a lower rate, or another machine"


def validity(trial: Trial) -> Validity:
    """Whether the client could have been the bottleneck of ``trial``.

    Latency counts from the time a request was due, so a late sender only ever makes the server
    look slower. The run is invalid when that is no longer small: when 1 request of 100 was sent
    later, or 1 arriving token of 100 noticed later, than 5 ms or 5 % of the median latency
    (to the first token, or to the end where nothing is streamed), whichever is more.
    """
    records = in_due_order(trial.measured)
    limit = _limit(records)
    delay = _send_delay(records)
    slowest = max(trial.senders, key=lambda each: each.loop_lag_p99_s, default=None)
    busiest = max((_cpu(sender) for sender in trial.senders), default=0.0)
    reasons = []
    if not records:
        reasons.append(_nothing_measured(trial))
    if delay is not None and delay.p99 > limit:
        reasons.append(
            f"the client sent 1 request of 100 {_time(delay.p99)} or more after it was due, with "
            f"{_time(limit)} allowed; {_REMEDY}"
        )
    if slowest is not None and slowest.loop_lag_p99_s > limit:
        reasons.append(
            f"sender {slowest.sender} noticed 1 event of 100 {_time(slowest.loop_lag_p99_s)} or "
            f"more after it came, with {_time(limit)} allowed; {_REMEDY}"
        )
    ours = [record for record in records if (record.error or "").startswith(LOCAL)]
    if ours:
        reasons.append(
            f"{len(ours):,} requests failed for want of something on the client's side "
            f"({ours[0].error}); give it more files and ports, or another machine"
        )
    delayed = (delay is not None and delay.max > limit) or any(
        sender.loop_lag_max_s > limit for sender in trial.senders
    )
    if busiest > _BUSY and delayed and not reasons:
        reasons.append(
            f"a sender used {busiest:.0%} of a core and was at times more than {_time(limit)} "
            f"late; {_REMEDY}"
        )
    return Validity(
        valid=not reasons,
        reasons=tuple(reasons),
        warnings=tuple(_warnings(trial, records, delay, limit)),
        send_delay=delay,
        loop_lag_p99=slowest.loop_lag_p99_s if slowest is not None else None,
        limit=limit,
        senders=max(1, len(trial.senders)),
        sender_cpu=busiest,
    )


def _limit(records: Sequence[Record]) -> float:
    complete = [record for record in records if record.complete]
    latencies = [record.ttft_s for record in complete if record.ttft_s is not None]
    median = percentile(Sample.of(latencies or [each.e2e_s for each in complete]).ordered, 0.5)
    return max(_LEAST_LIMIT_S, LIMIT_SHARE * (median or 0.0))


def _send_delay(records: Sequence[Record]) -> SendDelay | None:
    if not records:
        return None
    delays = np.sort(np.array([record.send_delay_s for record in records]))
    p50, p99 = percentile(delays, 0.5), percentile(delays, 0.99)
    return SendDelay(p50=p50 or 0.0, p99=p99 or 0.0, max=float(delays[-1]))


def _cpu(sender: SenderStats) -> float:
    return sender.cpu_s / sender.elapsed_s if sender.elapsed_s > 0 else 0.0


def _nothing_measured(trial: Trial) -> str:
    if trial.warm_up and trial.due_s <= trial.warm_up_s:
        advice = "the run ended within the warm-up; run longer or shorten the warm-up"
    elif trial.records:
        advice = "all were warm-up or cut off by the stop; run longer"
    else:
        advice = "none was due; run longer or raise the rate"
    return f"no request was measured: {advice}"


def _warnings(
    trial: Trial, records: Sequence[Record], delay: SendDelay | None, limit: float
) -> list[str]:
    warnings = []
    if delay is not None and delay.p99 <= limit < delay.max:
        warnings.append(
            f"the client was late at times, by {_time(delay.max)} at worst; the highest latencies "
            "hold some of that"
        )
    if trial.records and not trial.open_loop:
        warnings.append(
            "closed loop: a slow server gets fewer requests, so its queueing does not show; prove "
            "a promise with a rate"
        )
    if records and not trial.warm_up:
        warnings.append("no warm-up was left out, so the figures hold the server's first requests")
    repeated = sum(record.repeat > 0 for record in records)
    if repeated:
        warnings.append(
            f"{repeated:,} of {len(records):,} requests repeated an earlier payload; a server "
            "that caches prompts answers those faster"
        )
    resent = sum(record.resent > 0 for record in records)
    if resent:
        warnings.append(
            f"{resent:,} requests were sent again, because the server closed a kept connection "
            "just when they were sent; see that it does so for being idle and not for a crash"
        )
    warnings.extend(_about_chunks(records))
    shortness = [is_short(record) for record in records if record.complete]
    known = [short for short in shortness if short is not None]
    if known and sum(known) > _SHORT_SHARE * len(known):
        warnings.append(
            f"{sum(known):,} of {len(known):,} answers ended before the length that was asked "
            "for; the load was lighter than planned"
        )
    return warnings


def _about_chunks(records: Sequence[Record]) -> list[str]:
    """What is to be known of the times between tokens, of which a client sees chunks only."""
    streams = [record for record in records if record.complete and record.chunks > 0]
    counted = [record for record in streams if record.completion_tokens is not None]
    warnings = []
    if len(counted) < len(streams):
        warnings.append(
            f"the server did not count the tokens of {len(streams) - len(counted):,} of "
            f"{len(streams):,} streamed answers; their time per output token is that of chunks"
        )
    # Less one each: the token that ends an answer is often counted and never seen.
    tokens = sum((record.completion_tokens or 1) - 1 for record in counted)
    chunks = sum(record.chunks for record in counted)
    if chunks and tokens > _TOKENS_A_CHUNK * chunks:
        warnings.append(
            f"a chunk of the streams holds {tokens / chunks:.3g} tokens on average; the "
            "inter-token latency is that between chunks"
        )
    return warnings


def _time(seconds: float) -> str:
    return format_duration(max(0.0, seconds), digits=3)
