"""The command line as a report may show it: reports are handed on, so nothing secret is in it."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Sequence
from typing import Any, Final

HIDDEN: Final = "***"

_USER_INFO: Final = re.compile(r"(//)[^/?#\s@]*@")
_QUERY: Final = re.compile(r"(\w://[^?#\s]*)[?#]\S*")
_SECRET: Final = re.compile(r"key|token|secret|password|passwd|auth|credential|bearer", re.I)


def shown_command(arguments: Sequence[str]) -> str:
    """``pilotage`` with ``arguments``, quoted for a shell, without what may be secret.

    That is user and query of addresses, and in ``--extra`` texts whose field sounds like a secret.
    """
    shown = []
    before = ""
    for argument in arguments:
        name, equals, value = argument.partition("=")
        if before == "--extra":
            shown.append(_extra(argument))
        elif name == "--extra" and equals:
            shown.append(f"--extra={_extra(value)}")
        else:
            shown.append(_QUERY.sub(rf"\1?{HIDDEN}", _USER_INFO.sub(rf"\1{HIDDEN}@", argument)))
        before = argument
    return shlex.join(["pilotage", *shown])


def _extra(text: str) -> str:
    try:
        return json.dumps(_without_secrets(json.loads(text)))
    except (ValueError, RecursionError):
        return HIDDEN


def _without_secrets(value: Any, name: str = "") -> Any:
    if isinstance(value, dict):
        return {key: _without_secrets(each, key) for key, each in value.items()}
    if isinstance(value, list):
        return [_without_secrets(each, name) for each in value]
    return HIDDEN if isinstance(value, str) and _SECRET.search(name) else value
