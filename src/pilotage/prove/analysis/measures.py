"""From the records of a run to its measures. Only measured requests count, never the warm-up."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Final

from pilotage.prove.analysis import sample as samples
from pilotage.prove.analysis.distribution import distribution
from pilotage.prove.analysis.promise import good_requests, promises
from pilotage.prove.analysis.sample import Sample
from pilotage.prove.analysis.statistics import percentile
from pilotage.prove.analysis.throughput import Window, throughput, window
from pilotage.prove.analysis.token_counts import Counts, tokens
from pilotage.prove.record import Record
from pilotage.prove.result import Failure, Measures, WarmUp
from pilotage.prove.trial import Trial

_MOST_FAILURES: Final = 50
_VARYING: Final = re.compile(r"\b[0-9a-f]*[0-9][0-9a-f.,:-]*", re.IGNORECASE)
"""Numbers, times, request ids: what differs between two messages that say the same."""


def measures(
    trial: Trial,
    *,
    slo: dict[str, float],
    confidence: float = 0.95,
    tokenizer_counts: Counts | None = None,
    tokenizer: str | None = None,
) -> Measures:
    """What ``trial`` measured.

    TTFT and end-to-end latency are of all requests: one that failed counts as infinitely slow.
    TPOT, inter-token latency and the server's queue are of what was received. How requests at the
    edges of the measured window count is told in `pilotage.prove.analysis.throughput`.

    Args:
        trial: The run.
        slo: What is promised, in seconds by names such as "ttft_p99"; may be empty.
        confidence: Of the intervals, such as 0.95.
        tokenizer_counts: Completion tokens of the answers' texts by our own tokenizer, by the
            records' ``index``; None if the texts were not counted.
        tokenizer: Which tokenizer that is, and that counted the prompts.

    Raises:
        UsageError: ``slo`` holds something that is no objective.
    """
    promised = promises(slo)
    records = samples.in_due_order(trial.measured)
    part = window(trial)
    came = throughput(trial, part, tokenizer_counts)
    kept = good_requests(records, promised) if records else None
    due = Window(trial.warm_up_s, trial.due_s) if trial.open_loop else part
    offered = due.rate(len(records))

    def targets(metric: str) -> dict[float, float]:
        return {each.quantile: each.target for each in promised if each.metric == metric}

    queued = Sample.of(record.queue_s for record in records if record.queue_s is not None)
    return Measures(
        requests=len(records),
        seconds=trial.measured_s,
        offered_rate=offered,
        completed_rate=came.completed,
        output_tokens_rate=came.output_tokens,
        prompt_tokens_rate=came.prompt_tokens,
        goodput=offered * sum(kept) / len(kept) if kept is not None else None,
        good_share=sum(kept) / len(kept) if kept is not None else None,
        outcomes=dict(Counter(record.outcome for record in records).most_common()),
        failures=failures(records),
        ttft=distribution(samples.of_all_requests(records, "ttft"), confidence, targets("ttft")),
        tpot=distribution(samples.of_received(records, "tpot"), confidence, targets("tpot")),
        itl=distribution(samples.of_gaps(records), confidence),
        e2e=distribution(samples.of_all_requests(records, "e2e"), confidence, targets("e2e")),
        queue=distribution(queued, confidence),
        tokens=tokens(records, tokenizer_counts, tokenizer),
        idle_share=came.idle_share,
        mean_in_flight=came.mean_in_flight,
    )


def failures(records: Sequence[Record]) -> tuple[Failure, ...]:
    """The ways in which ``records`` failed, the most frequent first, at most 50.

    Messages that differ in numbers or identifiers only are one way; the first one is shown.
    """
    groups: dict[tuple[str, int | None, str], list[Record]] = {}
    for record in records:
        if not record.complete:
            kind = (record.outcome, record.status, _VARYING.sub("#", record.error or ""))
            groups.setdefault(kind, []).append(record)
    found = [
        Failure(
            outcome=outcome,
            status=status,
            message=group[0].error or "",
            count=len(group),
            first_index=group[0].index,
            first_s=group[0].scheduled_s,
        )
        for (outcome, status, _), group in groups.items()
    ]
    return tuple(sorted(found, key=lambda each: -each.count)[:_MOST_FAILURES])


def warm_up(trial: Trial) -> WarmUp | None:
    """What was left out of the figures; None if nothing was."""
    records = [record for record in trial.warm_up if record.outcome != "cancelled"]
    if not trial.warm_up:
        return None
    return WarmUp(
        seconds=min(trial.warm_up_s, trial.due_s),
        requests=len(trial.warm_up),
        complete=sum(record.complete for record in records),
        e2e_p50=percentile(samples.of_all_requests(records, "e2e").ordered, 0.5),
        ttft_p50=percentile(samples.of_all_requests(records, "ttft").ordered, 0.5),
    )
