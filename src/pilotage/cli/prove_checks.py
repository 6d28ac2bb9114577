"""Flags of ``pilotage prove`` that would do nothing are refused: they were given for something."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import typer

from pilotage.errors import UsageError
from pilotage.units import parse_count

_OF_COMPARE: Final = frozenset({"targets", "compare", "out", "as_json"})


def given(context: typer.Context) -> frozenset[str]:
    """The parameters of the command that its user typed."""
    sources = {name: context.get_parameter_source(name) for name in context.params}
    return frozenset(name for name, one in sources.items() if one and one.name == "COMMANDLINE")


def check_compare(flags: Iterable[str]) -> None:
    """Raise UsageError if ``flags`` hold any that a comparison does not heed."""
    for name in sorted(set(flags) - _OF_COMPARE):
        raise UsageError("is of no use with --compare", where=_flag(name))


def check_flags(
    flags: frozenset[str],
    *,
    is_spec: bool,
    arrivals: str,
    images: str | None,
    metrics: str | None,
    requests: str | None,
    has_slo: bool,
) -> None:
    """Refuse flags that would do nothing.

    Args:
        flags: Those that were given, by parameter.
        is_spec: Whether the target is a spec.
        arrivals: Of ``--arrivals``.
        images: Of ``--images``.
        metrics: Of ``--metrics``.
        requests: Of ``--requests``.
        has_slo: Whether anything is promised.

    Raises:
        UsageError: Names the flag and what it goes with.
    """
    generated = images is not None and images != "receipts"
    for names, works, needs in (
        (("burstiness",), arrivals == "gamma", "--arrivals gamma"),
        (("to_rate", "ramp_steps"), arrivals == "ramp", "--arrivals ramp"),
        (("min_rate", "max_rate", "precision"), "find_capacity" in flags, "--find-capacity"),
        (("images_per_request",), generated, "--images WIDTHxHEIGHT or a folder"),
        (("deployment", "url"), is_spec, "a spec"),
        (("fail_on", "find_capacity"), has_slo, "an SLO, such as --ttft-p99 500ms"),
    ):
        for name in names:
            if name in flags and not works:
                raise UsageError(f"is of use with {needs} only", where=_flag(name))
    for name, other, clash in (
        ("gpu_metrics", "--metrics none", metrics == "none"),
        ("cold_start", "--start, which times it", "start" in flags),
        ("prompt_tokens", "--trace, which has lengths of its own", "trace" in flags),
        ("completion_tokens", "--trace, which has lengths of its own", "trace" in flags),
        ("shared_prefix", "--images receipts", images == "receipts"),
        ("completion_tokens", "--images receipts", images == "receipts"),
    ):
        if name in flags and clash:
            raise UsageError(f"does not go with {other}", where=_flag(name))
    if requests is not None and _is_none(requests):
        raise UsageError("there is nothing to measure", where="--requests", hint="Try 400")


def _is_none(count: str) -> bool:
    try:
        return parse_count(count) == 0
    except UsageError:
        return False  # `prove_load` says what is wrong


def _flag(parameter: str) -> str:
    return "--json" if parameter == "as_json" else f"--{parameter.replace('_', '-')}"
