"""An engine's own metrics: a few numbers out of them, and all of them under our labels."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

PREFIXES: Final = ("vllm:", "llamacpp:")
"""Names that are the engine's own; those of its Python and its web framework are left out."""

_MAX_LINES: Final = 20_000
_SAMPLE: Final = re.compile(
    r"([a-zA-Z_:][a-zA-Z0-9_:]*)"
    r'(?:\{((?:[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\.)*",?)*)\})?'
    r"\s+([+-]?(?:\d[\d.]*(?:[eE][+-]?\d+)?|Inf|NaN))"
)
_KIND: Final = re.compile(
    r"# TYPE ([a-zA-Z_:][a-zA-Z0-9_:]*) (counter|gauge|histogram|summary|untyped)"
)
_HELP: Final = re.compile(r"# HELP ([a-zA-Z_:][a-zA-Z0-9_:]*) ([^\n]*)")

_RUNNING: Final = ("vllm:num_requests_running", "llamacpp:requests_processing")
_WAITING: Final = ("vllm:num_requests_waiting", "llamacpp:requests_deferred")
_GENERATED: Final = ("vllm:generation_tokens_total", "llamacpp:tokens_predicted_total")
_PROMPT: Final = ("vllm:prompt_tokens_total", "llamacpp:prompt_tokens_total")
_CACHE: Final = ("vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc")


@dataclass(frozen=True, slots=True)
class EngineCounts:
    """What an engine says of itself.

    Attributes:
        running: Requests that it runs.
        waiting: Requests that wait in it.
        generated_tokens: Tokens generated since its start.
        prompt_tokens: Prompt tokens processed since its start.
        kv_cache_usage: Share of its KV cache in use, 0 to 1; 0 where it does not tell.
    """

    running: int
    waiting: int
    generated_tokens: int
    prompt_tokens: int
    kv_cache_usage: float


def counts_of(text: str) -> EngineCounts | None:
    """The numbers that keeper and gateway steer by; None when the text has none of them."""
    sums: dict[str, float] = {}
    seen = False
    for match in _samples(text):
        name = match[1]
        if name in _WANTED:
            seen = True
            sums[name] = sums.get(name, 0.0) + float(match[3])
    if not seen:
        return None

    def value(names: tuple[str, ...]) -> float:
        found = next((sums[name] for name in names if name in sums), 0.0)
        return found if found == found and abs(found) < 1e18 else 0.0  # noqa: PLR0124  NaN

    return EngineCounts(
        running=int(value(_RUNNING)),
        waiting=int(value(_WAITING)),
        generated_tokens=int(value(_GENERATED)),
        prompt_tokens=int(value(_PROMPT)),
        kv_cache_usage=value(_CACHE),
    )


_WANTED: Final = frozenset(_RUNNING + _WAITING + _GENERATED + _PROMPT + _CACHE)


@dataclass
class _Family:
    kind: str = "untyped"
    help: str = ""
    samples: list[str] = field(default_factory=list)


def merged_exposition(texts: Iterable[tuple[str, Mapping[str, str]]]) -> bytes:
    """Several engines' metrics as one exposition in Prometheus text format.

    Each name appears once, with the samples of all engines under it; a sample keeps its labels
    and gets those of its engine (a label of ours wins over the engine's own of that name). What
    is no sample, or not the engine's own, is left out, so that whatever an engine says, the
    result is well-formed and can follow another exposition that has no name in common with it.

    Args:
        texts: Each engine's text, and the labels to add.
    """
    families: dict[str, _Family] = {}
    for text, labels in texts:
        _collect(text, labels, families)
    lines: list[str] = []
    for name, family in families.items():
        if not family.samples:
            continue
        if family.help:
            lines.append(f"# HELP {name} {family.help}")
        lines.append(f"# TYPE {name} {family.kind}")
        lines += dict.fromkeys(family.samples)
    return ("\n".join(lines) + "\n").encode() if lines else b""


def _collect(text: str, labels: Mapping[str, str], families: dict[str, _Family]) -> None:
    added = ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items())
    ours = re.compile(
        r"(?:^|(?<=,))(?:" + "|".join(map(re.escape, labels)) + r')="(?:[^"\\\n]|\\.)*",?'
    )
    kinds: dict[str, str] = {}
    for line in text.splitlines()[:_MAX_LINES]:
        if found := _KIND.fullmatch(line):
            kinds[found[1]] = found[2]
            if found[1].startswith(PREFIXES):
                families.setdefault(found[1], _Family()).kind = found[2]
            continue
        if found := _HELP.fullmatch(line):
            if found[1].startswith(PREFIXES):
                families.setdefault(found[1], _Family()).help = found[2]
            continue
        match = _SAMPLE.match(line)
        if match is None or not match[1].startswith(PREFIXES) or match[1].endswith("_created"):
            continue
        own = ours.sub("", match[2] or "").rstrip(",")
        joined = f"{added},{own}" if own else added
        family = _family_of(match[1], kinds)
        families.setdefault(family, _Family()).samples.append(f"{match[1]}{{{joined}}} {match[3]}")


def _family_of(sample: str, kinds: Mapping[str, str]) -> str:
    """The family that a sample belongs to: a histogram's samples have suffixes."""
    if sample in kinds:
        return sample
    for suffix in ("_bucket", "_sum", "_count"):
        base = sample.removesuffix(suffix)
        if base != sample and kinds.get(base) in ("histogram", "summary"):
            return base
    return sample


def _samples(text: str) -> Iterable[re.Match[str]]:
    for line in text.splitlines()[:_MAX_LINES]:
        if line.startswith(PREFIXES) and (match := _SAMPLE.match(line)) is not None:
            yield match


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
