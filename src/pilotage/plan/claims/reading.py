"""Claims with numbers out of a sentence of a simple, documented form.

::

    MODEL [in DTYPE] [, WIDTHxHEIGHT image] [, N prompt tokens] [, N tokens] [, p99 TIME]
          [, N tokens/s] [, $N a month] on [a|N x] DEVICE

Such as "Llama 3.2 11B Vision, 512x512 image + 128 tokens, p99 387 ms on a T4".
"""

from __future__ import annotations

import re
from typing import Final

from pilotage.catalog.accelerators import ACCELERATORS, Accelerator, find_accelerator
from pilotage.catalog.anatomies import known_anatomy, known_models, nearest_known
from pilotage.catalog.anatomy import Anatomy
from pilotage.errors import UsageError
from pilotage.plan.claims.claim import Claim
from pilotage.plan.claims.statements import STATEMENTS
from pilotage.units import parse_duration, printable

FORMS: Final = (
    "MODEL [in DTYPE], [WxH image], [N tokens], [p99 TIME], [N tokens/s], [$N a month] on [N x] "
    "DEVICE",
    *(one.form for one in STATEMENTS),
)
"""The forms that are understood, for people."""

_DEVICES: Final = "|".join(
    sorted(
        {re.escape(name) for name in (*ACCELERATORS, "a100", "h100", "inf2", "trn1")},
        key=len,
        reverse=True,
    )
)
_ON: Final = re.compile(
    rf"\bon\s+(?:an?\s+|one\s+|(?P<count>\d+)\s*(?:x|×)?\s*)?(?:nvidia\s+|aws\s+)?"  # noqa: RUF001
    rf"(?P<device>{_DEVICES})s?\b",
    re.I,
)
_IMAGE: Final = re.compile(r"(?P<width>\d+)\s*[x×]\s*(?P<height>\d+)", re.I)  # noqa: RUF001
_PROMPT: Final = re.compile(r"(?P<n>[\d,]+)\s+(?:prompt|input)\s+tokens", re.I)
_RATE: Final = re.compile(r"(?P<n>[\d,.]+)\s*(?:output\s+)?tokens?\s*(?:/|per|a)\s*s", re.I)
_TOKENS: Final = re.compile(
    r"(?P<n>[\d,]+)\s+(?:output\s+|completion\s+)?tokens\b(?!\s*(?:/|per|a)\s*s)", re.I
)
_P99: Final = re.compile(r"p99\D{0,12}?(?P<time>[\d.]+\s*(?:us|ms|s|m)\b)", re.I)
_DTYPE: Final = re.compile(r"\bin\s+(?P<dtype>fp32|bf16|fp16|fp8|int8|int4|awq)\b", re.I)
_USD: Final = re.compile(r"\$\s*(?P<n>[\d,.]+)\s*(?P<k>k)?", re.I)
_NAME_END: Final = re.compile(r",|\+|\bin\s+(?:fp|bf|int|awq)|\bon\s|\d+\s*[x×]\s*\d+|\bp99\b|\$")  # noqa: RUF001


def read_claim(text: str) -> Claim:
    """The claim that a sentence makes.

    Raises:
        UsageError: It has no form that is understood; the hint shows the forms and the flags.
    """
    where = _ON.search(text)
    name = _NAME_END.split(text, maxsplit=1)[0].strip(" .\"'")
    anatomy = find_model(name) if name else None
    if anatomy is None:
        near = nearest_known(name) if name else None
        raise UsageError(
            f'"{printable(text[:80])}" names no model of the catalog',
            where="claim",
            hint=(f"Did you mean {near}? " if near else "")
            + "Use the flags: --model hf://owner/name --device T4 --completion 128 --latency "
            "400ms; or write it like: " + "; ".join(FORMS),
        )
    image = _IMAGE.search(text)
    prompt, tokens, rate = _PROMPT.search(text), _completion(text), _RATE.search(text)
    latency, dtype, usd = _P99.search(text), _DTYPE.search(text), _USD.search(text)
    return Claim(
        model=anatomy,
        device=device_named(where["device"]) if where else None,
        count=int(where["count"] or 1) if where else 1,
        dtype=dtype["dtype"].lower() if dtype else None,
        latency_p99_s=parse_duration(latency["time"].replace(" ", "")) if latency else None,
        tokens_per_s=_figure(rate["n"]) if rate else None,
        usd_per_month=_figure(usd["n"]) * (1000 if usd["k"] else 1) if usd else None,
        prompt=round(_figure(prompt["n"])) if prompt else 1,
        completion=tokens,
        images=1 if image else 0,
        image_width=int(image["width"]) if image else 0,
        image_height=int(image["height"]) if image else 0,
    )


def device_named(name: str) -> Accelerator:
    """The accelerator of a name.

    Raises:
        UsageError: There is none in the catalog.
    """
    found = find_accelerator(name)
    if found is None:
        raise UsageError(
            f'"{printable(name[:40])}" is no accelerator of the catalog',
            where="--device",
            hint=f"Known are {', '.join(ACCELERATORS)}",
        )
    return found


def find_model(words: str) -> Anatomy | None:
    """The catalog's model whose name has all these words: "Llama 3.2 11B Vision"."""
    if (exact := known_anatomy(words.strip())) is not None:
        return exact
    wanted = re.findall(r"[a-z]+|\d+(?:\.\d+)?[a-z]*", words.lower())
    if not wanted:
        return None
    matching = [
        name
        for name in known_models()
        if all(word in re.findall(r"[a-z]+|\d+(?:\.\d+)?[a-z]*", name.lower()) for word in wanted)
    ]
    return known_anatomy(min(matching, key=len)) if matching else None


def _completion(text: str) -> int:
    rest = _PROMPT.sub("", text)
    found = _TOKENS.search(rest)
    return max(1, round(_figure(found["n"]))) if found else 1


def _figure(text: str) -> float:
    try:
        return float(text.replace(",", "").rstrip("."))
    except ValueError:
        raise UsageError(f'"{printable(text[:20])}" is no number', where="claim") from None
