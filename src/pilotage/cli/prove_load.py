"""From the flags of ``pilotage prove`` to the times at which requests are due."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from pilotage.errors import UsageError
from pilotage.spec import WorkloadSpec
from pilotage.units import parse_count, parse_duration, parse_rate

if TYPE_CHECKING:
    from pilotage.prove.load import PlannedLoad, Schedule
    from pilotage.prove.search import Bounds

# NumPy and the rest of `pilotage.prove` are imported where they are used: other verbs start faster.

_T = TypeVar("_T")
_LOWEST_OF_FIRST = 1 / 64
_HIGHEST_OF_FIRST = 1024


class Arrivals(StrEnum):
    """Processes that ``--arrivals`` names."""

    SPEC = "spec"
    POISSON = "poisson"
    CONSTANT = "constant"
    GAMMA = "gamma"
    RAMP = "ramp"


@dataclass(frozen=True)
class LoadFlags:
    """Flags about when requests are sent, as they were typed.

    Attributes:
        rate: Requests a second.
        arrivals: The process.
        burstiness: Of gamma arrivals.
        to_rate: Rate at a ramp's end.
        ramp_steps: Steps of a ramp.
        concurrency: Clients of a closed loop.
        trace: Trace to replay.
        speed: How much faster than recorded.
        trace_start: Where in the trace to begin.
        duration: How long requests are due, warm-up not counted.
        requests: The most requests, warm-up not counted.
        warm_up: How long the warm-up is.
        seed: Of the arrivals.
    """

    rate: str | None = None
    arrivals: Arrivals = Arrivals.SPEC
    burstiness: float = 0.25
    to_rate: str | None = None
    ramp_steps: int = 5
    concurrency: int | None = None
    trace: Path | None = None
    speed: float | None = None
    trace_start: str | None = None
    duration: str | None = None
    requests: str | None = None
    warm_up: str | None = None
    seed: int = 0


def plan_load(flags: LoadFlags, workload: WorkloadSpec) -> PlannedLoad:
    """The load that ``flags`` ask for, and ``workload`` where they say nothing.

    Raises:
        UsageError: Flags contradict one another, or a value cannot be used.
    """
    from pilotage.prove.load import PlannedLoad  # noqa: PLC0415

    _check_combination(flags)
    if flags.concurrency is not None:
        return _closed_loop(flags)
    if flags.trace is not None:
        return _trace(flags)
    rate = _rate(flags, workload)
    duration_s, warm_up_s = _times(flags, rate)
    return PlannedLoad(_schedule(flags, workload, rate, duration_s + warm_up_s), warm_up_s)


def plan_search(
    flags: LoadFlags,
    workload: WorkloadSpec,
    *,
    lowest: str | None,
    highest: str | None,
    precision: float,
) -> tuple[Callable[[float, int], PlannedLoad], Bounds]:
    """What a search needs: the load of a rate and a seed, and its bounds.

    Raises:
        UsageError: The flags describe no load of which the rate can be chosen.
    """
    from pilotage.prove.load import PlannedLoad  # noqa: PLC0415
    from pilotage.prove.search import Bounds  # noqa: PLC0415

    _check_combination(flags)
    for name, given in (
        ("--concurrency", flags.concurrency),
        ("--trace", flags.trace),
        ("--arrivals ramp", flags.arrivals is Arrivals.RAMP or None),
    ):
        if given is not None:
            raise UsageError(
                "a search chooses the rate itself",
                where=name,
                hint="Leave it out; --arrivals poisson, constant and gamma go with a search",
            )
    first = _rate(flags, workload)
    bounds = Bounds(
        first=first,
        lowest=_read(parse_rate, lowest, "--min-rate") or first * _LOWEST_OF_FIRST,
        highest=_read(parse_rate, highest, "--max-rate") or first * _HIGHEST_OF_FIRST,
        precision=precision,
    )

    def load(rate: float, seed: int) -> PlannedLoad:
        duration_s, warm_up_s = _times(flags, rate)
        # A rate that the search chose is a given one, whatever the spec says.
        chosen = replace(flags, rate=f"{rate!r}/s")
        schedule = _schedule(chosen, workload, rate, duration_s + warm_up_s, seed)
        return PlannedLoad(schedule, warm_up_s)

    return load, bounds


def _schedule(
    flags: LoadFlags,
    workload: WorkloadSpec,
    rate: float,
    length_s: float,
    seed: int | None = None,
) -> Schedule:
    from pilotage.prove import arrivals  # noqa: PLC0415

    seed = flags.seed if seed is None else seed
    match flags.arrivals:
        case Arrivals.CONSTANT:
            return arrivals.constant(rate, length_s)
        case Arrivals.POISSON:
            return arrivals.poisson(rate, length_s, seed)
        case Arrivals.GAMMA:
            return arrivals.gamma(rate, length_s, flags.burstiness, seed)
        case Arrivals.RAMP:
            to_rate = _read(parse_rate, flags.to_rate, "--to-rate")
            if to_rate is None:
                raise UsageError("a ramp needs a rate to end at", where="--to-rate")
            return arrivals.ramp(rate, to_rate, flags.ramp_steps, length_s, seed)
        case Arrivals.SPEC:
            given = None if flags.rate is None else rate
            return arrivals.for_workload(workload, length_s, seed, given)


def _trace(flags: LoadFlags) -> PlannedLoad:
    from pilotage.prove import arrivals  # noqa: PLC0415
    from pilotage.prove.experiment import default_warm_up_s  # noqa: PLC0415
    from pilotage.prove.load import PlannedLoad  # noqa: PLC0415

    assert flags.trace is not None
    trace = arrivals.read_trace(flags.trace)
    start_s = _read(parse_duration, flags.trace_start, "--trace-start") or 0.0
    duration_s = _read(parse_duration, flags.duration, "--duration")
    requests = _read(parse_count, flags.requests, "--requests")
    warm_up_s = _read(parse_duration, flags.warm_up, "--warm-up")
    _check_length(duration_s)

    def speed_of(length_s: float | None) -> float:
        if flags.rate is None:
            return flags.speed or 1.0
        rate = _needed(parse_rate, flags.rate, "--rate")
        return arrivals.scaled_to(trace, rate, start_s=start_s, duration_s=length_s)

    if warm_up_s is None:
        whole_s = (
            (trace.duration_s - start_s) / speed_of(None) if duration_s is None else duration_s
        )
        warm_up_s = default_warm_up_s(whole_s)
    speed = speed_of(None if duration_s is None else duration_s + warm_up_s)
    schedule = arrivals.replay(
        trace,
        speed=speed,
        start_s=start_s,
        duration_s=None if duration_s is None else duration_s + warm_up_s,
        requests=requests,
    )
    return PlannedLoad(schedule, min(warm_up_s, schedule.duration_s / 2))


def _closed_loop(flags: LoadFlags) -> PlannedLoad:
    from pilotage.prove.experiment import default_warm_up_s  # noqa: PLC0415
    from pilotage.prove.load import ClosedLoop, PlannedLoad  # noqa: PLC0415

    assert flags.concurrency is not None
    duration_s = _read(parse_duration, flags.duration, "--duration")
    requests = _read(parse_count, flags.requests, "--requests")
    _check_length(duration_s)
    if duration_s is None and requests is None:
        duration_s = 60.0
    warm_up_s = _read(parse_duration, flags.warm_up, "--warm-up")
    if warm_up_s is None:
        warm_up_s = default_warm_up_s(duration_s) if duration_s is not None else 0.0
    length_s = None if duration_s is None else duration_s + warm_up_s
    return PlannedLoad(ClosedLoop(flags.concurrency, length_s, requests), warm_up_s)


def _times(flags: LoadFlags, rate: float) -> tuple[float, float]:
    """Seconds of the measured part and of the warm-up."""
    from pilotage.prove.experiment import default_duration_s, default_warm_up_s  # noqa: PLC0415

    duration_s = _read(parse_duration, flags.duration, "--duration")
    requests = _read(parse_count, flags.requests, "--requests")
    if duration_s is None:
        duration_s = requests / rate if requests else default_duration_s(rate)
    _check_length(duration_s)
    warm_up_s = _read(parse_duration, flags.warm_up, "--warm-up")
    return duration_s, default_warm_up_s(duration_s) if warm_up_s is None else warm_up_s


def _check_length(duration_s: float | None) -> None:
    if duration_s is not None and duration_s <= 0:
        raise UsageError("there is no time to measure in", where="--duration", hint="Try 60s")


def _rate(flags: LoadFlags, workload: WorkloadSpec) -> float:
    if flags.rate is None:
        arrivals = workload.arrivals
        return arrivals.rate if arrivals.shape == "batch" else arrivals.peak
    rate = _needed(parse_rate, flags.rate, "--rate")
    if rate <= 0:
        raise UsageError("a rate of 0 sends nothing", where="--rate", hint="Try 1/s")
    return rate


def _check_combination(flags: LoadFlags) -> None:
    def refuse(flag: str, other: str, why: str) -> None:
        raise UsageError(f"does not go with {other}: {why}", where=flag)

    if flags.concurrency is not None:
        closed = "--concurrency"
        if flags.rate is not None:
            refuse("--rate", closed, "clients of a closed loop send when their last answer came")
        if flags.trace is not None:
            refuse("--trace", closed, "a trace has arrival times of its own")
        if flags.arrivals is not Arrivals.SPEC:
            refuse(
                "--arrivals", closed, "clients of a closed loop send when their last answer came"
            )
        if flags.concurrency < 1:
            raise UsageError("at least 1 client is needed", where=closed)
    if flags.trace is not None:
        if flags.arrivals is not Arrivals.SPEC:
            refuse("--arrivals", "--trace", "a trace has arrival times of its own")
        if flags.speed is not None and flags.rate is not None:
            refuse("--speed", "--rate", "either sets how fast the trace is replayed")
    else:
        for name, given in (("--speed", flags.speed), ("--trace-start", flags.trace_start)):
            if given is not None:
                raise UsageError("is of use with --trace only", where=name)
    if flags.duration is not None and flags.requests is not None and flags.concurrency is None:
        refuse("--requests", "--duration", "at a given rate, one follows from the other")


def _read(read: Callable[[str], _T], text: str | None, flag: str) -> _T | None:
    return None if text is None else _needed(read, text, flag)


def _needed(read: Callable[[str], _T], text: str, flag: str) -> _T:
    try:
        return read(text)
    except UsageError as error:
        raise UsageError(error.message, where=flag, hint=error.hint) from None
