"""What the function is told by its environment; everything else is in the spec."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, cast

from pilotage.errors import UsageError
from pilotage.units import parse_duration

Endpoint = Literal["chat", "moderate"]
HistoryPolicy = Literal["refuse", "trim"]
FailedVerdict = Literal["WARN", "BLOCK"]
AnswerFormat = Literal["schema", "none"]

_BASE_PATH: Final = re.compile(r"(/[A-Za-z0-9._~-]+)*")
_LARGEST_RULES: Final = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class HandlerConfig:
    """The function's configuration.

    Attributes:
        spec: ``PILOTAGE_SPEC``: the spec in the package; relative to its root.
        deployment: ``PILOTAGE_DEPLOYMENT``: which deployment, where the file has several.
        endpoints: ``PILOTAGE_ENDPOINTS``: which of chat and moderate answer; both if not given. A
            function that moderates is no open door to a chat model.
        history: ``PILOTAGE_HISTORY``: what becomes of a conversation with more messages than
            ``routing.max_history``: refuse (an error that says so) or trim (the oldest turns are
            left out, and the answer says how many messages that were).
        failed_verdict: ``PILOTAGE_MODERATION_FAILED``: the verdict on a text whose judgement cannot
            be used, WARN or BLOCK. It is never SAFE.
        rules: ``PILOTAGE_MODERATION_RULES``: a text file with the house's own rules, which are
            added to the moderator's instructions; read here.
        answer_format: ``PILOTAGE_MODERATION_FORMAT``: schema asks the model's backend to hold it to
            the judgement's JSON Schema; none is for those that refuse that, and a cascade then
            cannot tell a malformed judgement either. What comes is read as strictly.
        base_path: ``PILOTAGE_BASE_PATH``: what a custom domain puts before every path.
        api_timeout_s: ``PILOTAGE_API_TIMEOUT``: how long API Gateway waits for an answer, 29s if
            not given. Function URLs and direct callers wait as long as the function may run.
    """

    spec: Path
    deployment: str | None = None
    endpoints: frozenset[Endpoint] = frozenset({"chat", "moderate"})
    history: HistoryPolicy = "refuse"
    failed_verdict: FailedVerdict = "BLOCK"
    rules: str = ""
    answer_format: AnswerFormat = "schema"
    base_path: str = ""
    api_timeout_s: float = 29.0

    @staticmethod
    def read(environ: Mapping[str, str]) -> HandlerConfig:
        """The configuration in environment variables.

        Raises:
            UsageError: A variable is missing or wrong; ``where`` is its name.
        """
        spec = environ.get("PILOTAGE_SPEC", "")
        if not spec:
            raise UsageError(
                "no spec is named",
                where="PILOTAGE_SPEC",
                hint="Set it to the path of a spec with routing: in the function's package",
            )
        root = Path(environ.get("LAMBDA_TASK_ROOT", ""))
        rules = environ.get("PILOTAGE_MODERATION_RULES", "")
        return HandlerConfig(
            spec=root / spec,
            deployment=environ.get("PILOTAGE_DEPLOYMENT") or None,
            endpoints=_endpoints(environ.get("PILOTAGE_ENDPOINTS", "")),
            history=cast(
                HistoryPolicy, _one_of(environ, "PILOTAGE_HISTORY", ("refuse", "trim"), "refuse")
            ),
            failed_verdict=cast(
                FailedVerdict,
                _one_of(environ, "PILOTAGE_MODERATION_FAILED", ("WARN", "BLOCK"), "BLOCK"),
            ),
            rules=_read_rules(root / rules) if rules else "",
            answer_format=cast(
                AnswerFormat,
                _one_of(environ, "PILOTAGE_MODERATION_FORMAT", ("schema", "none"), "schema"),
            ),
            base_path=_base_path(environ.get("PILOTAGE_BASE_PATH", "")),
            api_timeout_s=_seconds(environ.get("PILOTAGE_API_TIMEOUT", "")),
        )


def _one_of(environ: Mapping[str, str], name: str, choices: tuple[str, ...], default: str) -> str:
    value = environ.get(name) or default
    if value not in choices:
        raise UsageError(
            f'there is no "{value[:64]}"', where=name, hint=f"Use {', '.join(choices)}"
        )
    return value


def _endpoints(text: str) -> frozenset[Endpoint]:
    known: frozenset[Endpoint] = frozenset({"chat", "moderate"})
    named = frozenset(part.strip() for part in text.split(",") if part.strip())
    if not named <= known:
        raise UsageError(
            f"there is no {', '.join(sorted(named - known))[:64]}",
            where="PILOTAGE_ENDPOINTS",
            hint="Use chat, moderate or both, with a comma between",
        )
    return frozenset(one for one in known if one in named) or known


def _base_path(text: str) -> str:
    path = text.rstrip("/")
    if not _BASE_PATH.fullmatch(path):
        raise UsageError(
            "should be a path",
            where="PILOTAGE_BASE_PATH",
            hint='Such as "/models", or leave it out',
        )
    return path


def _seconds(text: str) -> float:
    if not text:
        return 29.0
    try:
        seconds = parse_duration(text)
    except ValueError as error:
        raise UsageError(str(error), where="PILOTAGE_API_TIMEOUT", hint='Such as "29s"') from None
    if not 1 <= seconds <= 900:
        raise UsageError("should be from 1s to 15m", where="PILOTAGE_API_TIMEOUT")
    return seconds


def _read_rules(path: Path) -> str:
    try:
        text = path.read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise UsageError(f"cannot be read: {reason}", where=str(path)) from None
    if len(text) > _LARGEST_RULES:
        raise UsageError(
            f"longer than {_LARGEST_RULES} characters",
            where=str(path),
            hint="Every request pays for them: keep to the rules that decide cases",
        )
    return text
