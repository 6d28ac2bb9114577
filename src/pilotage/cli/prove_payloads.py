"""From the flags of ``pilotage prove`` to what is sent."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pilotage.errors import UsageError
from pilotage.spec import TokensSpec, WorkloadSpec
from pilotage.units import parse_count

if TYPE_CHECKING:
    from pilotage.prove.payload import PayloadSource
    from pilotage.prove.payloads import ImageSource, RequestFormat, SharedPrefix
    from pilotage.prove.target.preflight import Preflight
    from pilotage.tokens import Tokenizer

_SIZE = re.compile(r"(\d{1,5})x(\d{1,5})")
_COUNTS = re.compile(r"([^:x]+)(?:[:x](.+))?")
RECEIPTS = "receipts"


@dataclass(frozen=True)
class PayloadFlags:
    """Flags about what requests hold, as they were typed.

    Attributes:
        prompts: JSONL file of the user's prompts.
        prompt_tokens: "p50:p99", or one length.
        completion_tokens: Likewise.
        shared_prefix: "tokens" or "tokens x variants".
        images: "WIDTHxHEIGHT", a folder, or "receipts".
        images_per_request: How many.
        extra: JSON object of further request fields.
        stop_early: Let answers end where the model ends them.
    """

    prompts: Path | None = None
    prompt_tokens: str | None = None
    completion_tokens: str | None = None
    shared_prefix: str | None = None
    images: str | None = None
    images_per_request: int = 1
    extra: str | None = None
    stop_early: bool = False


def plan_payloads(
    flags: PayloadFlags, workload: WorkloadSpec, flight: Preflight, tokenizer: Tokenizer | None
) -> PayloadSource:
    """What is sent: as ``flags`` say, and as ``workload`` says where they do not.

    Args:
        flags: Of the command.
        workload: Of the spec.
        flight: What was found out about the endpoint.
        tokenizer: The model's, if there is one.

    Raises:
        UsageError: Flags contradict one another, or a value or a file cannot be used.
    """
    from pilotage.prove import payloads  # noqa: PLC0415

    form = _format(flags, flight)
    overhead = flight.overhead_tokens
    if flags.images == RECEIPTS:
        _refuse(flags.prompts, "--prompts", "the receipts bring their own prompts")
        _refuse(flags.prompt_tokens, "--prompt-tokens", "the receipts bring their own prompts")
        size = workload.images
        return payloads.receipts(
            form,
            width=size.width if size else 512,
            height=size.height if size else 512,
            tokenizer=tokenizer,
            overhead_tokens=overhead,
        )
    if flags.prompts is not None:
        for name, given in (
            ("--prompt-tokens", flags.prompt_tokens),
            ("--shared-prefix", flags.shared_prefix),
            ("--images", flags.images),
        ):
            _refuse(given, name, "a file of prompts says itself what is sent")
        lengths = _lengths(flags.completion_tokens, "--completion-tokens")
        return payloads.PromptFile(
            flags.prompts,
            form,
            tokenizer=tokenizer,
            overhead_tokens=overhead,
            completion_tokens=lengths.p50 if lengths else workload.completion_tokens.p50,
        )
    changes = {
        "prompt_tokens": _lengths(flags.prompt_tokens, "--prompt-tokens"),
        "completion_tokens": _lengths(flags.completion_tokens, "--completion-tokens"),
    }
    return payloads.for_workload(
        workload.model_copy(update={name: value for name, value in changes.items() if value}),
        form,
        tokenizer=tokenizer,
        overhead_tokens=overhead,
        max_prompt_tokens=_room(workload, flags, flight),
        prefix=_prefix(flags.shared_prefix),
        images=_images(flags),
    )


def _room(workload: WorkloadSpec, flags: PayloadFlags, flight: Preflight) -> int | None:
    """The longest prompt that leaves room for the longest answer."""
    if flight.max_model_len is None:
        return None
    lengths = _lengths(flags.completion_tokens, "--completion-tokens") or workload.completion_tokens
    # Sampled answers are at most four times the p99; they should not take all of the context.
    return max(16, flight.max_model_len - min(lengths.p99 * 4, flight.max_model_len // 2))


def _format(flags: PayloadFlags, flight: Preflight) -> RequestFormat:
    from pilotage.prove.payloads import RequestFormat  # noqa: PLC0415

    field = flight.dialect.max_tokens
    return RequestFormat(
        api=flight.endpoint.api,
        model=flight.endpoint.model or "",
        stream=flight.stream,
        ignore_eos=flight.dialect.ignore_eos and not flags.stop_early,
        include_usage=flight.dialect.include_usage,
        extra=_extra(flags.extra),
        limit_field="max_completion_tokens" if field == "max_completion_tokens" else "max_tokens",
    )


def _extra(text: str | None) -> dict[str, Any]:
    if text is None:
        return {}
    try:
        fields = json.loads(text)
    except ValueError as error:
        raise UsageError(
            f"is not JSON: {error}", where="--extra", hint="""Try '{"temperature": 0}'"""
        ) from None
    if not isinstance(fields, dict):
        raise UsageError("should be a JSON object", where="--extra")
    return fields


def _lengths(text: str | None, flag: str) -> TokensSpec | None:
    if text is None:
        return None
    p50, p99 = _counts(text, flag, "a length such as 200, or p50:p99 such as 200:900")
    if p99 is not None and p99 < p50:
        raise UsageError(f"the p99, {p99}, is below the median, {p50}", where=flag)
    return TokensSpec(p50=p50, p99=p50 if p99 is None else p99)


def _prefix(text: str | None) -> SharedPrefix | None:
    from pilotage.prove.payloads import SharedPrefix  # noqa: PLC0415

    if text is None:
        return None
    flag = "--shared-prefix"
    tokens, variants = _counts(text, flag, "tokens such as 512, or 512x8 for eight different ones")
    return SharedPrefix(tokens, 1 if variants is None else variants)


def _counts(text: str, flag: str, wanted: str) -> tuple[int, int | None]:
    match = _COUNTS.fullmatch(text)
    try:
        if match is not None:
            first = parse_count(match[1].strip())
            second = None if match[2] is None else parse_count(match[2].strip())
            if first > 0 and (second is None or second > 0):
                return first, second
    except UsageError:
        pass
    raise UsageError(f'"{text}" is no {wanted.split(" ", 1)[0]} here', where=flag,
                     hint=f"Give {wanted}")  # fmt: skip


def _images(flags: PayloadFlags) -> ImageSource | None:
    from pilotage.prove.payloads import GeneratedImages, ImageFolder  # noqa: PLC0415

    if flags.images is None:
        return None
    size = _SIZE.fullmatch(flags.images)
    count = flags.images_per_request
    if size is not None:
        return GeneratedImages(int(size[1]), int(size[2]), per_request=count)
    return ImageFolder(Path(flags.images), per_request=count)


def _refuse(given: object, flag: str, why: str) -> None:
    if given is not None:
        raise UsageError(f"is of no use here: {why}", where=flag)
