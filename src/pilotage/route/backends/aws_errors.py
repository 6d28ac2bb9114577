"""What boto3 raises, as faults.

AWS's own words are passed on for a refused request only: the client may read what quotes its own
request. Of anything else they quote addresses and accounts.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from pilotage.route.backends.backend import BackendError, Fault

_MOST_DETAIL: Final = 500

_BY_CODE: Final[Mapping[str, Fault]] = MappingProxyType(
    {
        "accessdenied": Fault.DENIED,
        "expiredtoken": Fault.DENIED,
        "incompletesignature": Fault.DENIED,
        "invalidclienttokenid": Fault.DENIED,
        "invalidsignature": Fault.DENIED,
        "missingauthenticationtoken": Fault.DENIED,
        "notauthorized": Fault.DENIED,
        "optinrequired": Fault.DENIED,
        "requestexpired": Fault.DENIED,
        "resourcenotfound": Fault.DENIED,
        "signaturedoesnotmatch": Fault.DENIED,
        "unrecognizedclient": Fault.DENIED,
        "requestlimitexceeded": Fault.RATE_LIMITED,
        "servicequotaexceeded": Fault.RATE_LIMITED,
        "throttling": Fault.RATE_LIMITED,
        "toomanyrequests": Fault.RATE_LIMITED,
        "modelnotready": Fault.OVERLOADED,
        "serviceunavailable": Fault.OVERLOADED,
        "modeltimeout": Fault.TIMEOUT,
        "internalfailure": Fault.FAILED,
        "internalserver": Fault.FAILED,
        "internalstreamfailure": Fault.FAILED,
        "modelstream": Fault.FAILED,
        "validation": Fault.REFUSED,
    }
)
"""By AWS's code in lower case, without "Exception" and "Error" at its end."""

_BY_STATUS: Final[Mapping[int, Fault]] = MappingProxyType(
    {
        401: Fault.DENIED,
        403: Fault.DENIED,
        404: Fault.DENIED,
        408: Fault.TIMEOUT,
        429: Fault.RATE_LIMITED,
        503: Fault.OVERLOADED,
        504: Fault.TIMEOUT,
    }
)

_BY_CLASS: Final[Mapping[str, tuple[Fault, str]]] = MappingProxyType(
    {
        "CredentialRetrievalError": (Fault.DENIED, "the AWS credentials could not be had"),
        "NoAuthTokenError": (Fault.DENIED, "there are no AWS credentials"),
        "NoCredentialsError": (Fault.DENIED, "there are no AWS credentials"),
        "PartialCredentialsError": (Fault.DENIED, "the AWS credentials are incomplete"),
        "SSOTokenLoadError": (Fault.DENIED, "the AWS login has expired"),
        "TokenRetrievalError": (Fault.DENIED, "the AWS login has expired"),
        "UnauthorizedSSOTokenError": (Fault.DENIED, "the AWS login has expired"),
        "ParamValidationError": (Fault.REFUSED, "the request does not fit AWS's API"),
        "ConnectTimeoutError": (Fault.UNREACHABLE, "AWS cannot be reached: no answer to connect"),
        "EndpointConnectionError": (Fault.UNREACHABLE, "AWS cannot be reached"),
        "ProxyConnectionError": (Fault.UNREACHABLE, "the proxy cannot be reached"),
        "SSLError": (Fault.UNREACHABLE, "no trusted connection to AWS"),
        "ReadTimeoutError": (Fault.TIMEOUT, "AWS fell silent"),
    }
)
"""Of botocore's exceptions, and urllib3's, which come through while a stream is read."""

_MISSET: Final = (
    ("identifier is invalid", "there is no such model in this region"),
    ("on-demand throughput", "the model needs an inference profile, such as us.MODEL-ID"),
    ("end of its life", "the model is no longer offered"),
    ("marked by provider as legacy", "the model is no longer offered to this account"),
    ("not found", "there is no such endpoint in this region"),
)
"""Validation errors that are about the backend, not about the request."""


def aws_failures() -> tuple[type[Exception], ...]:
    """What a call of boto3, or reading its answer, may raise."""
    from botocore.eventstream import ParserError  # noqa: PLC0415 - an extra
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415
    from botocore.parsers import ResponseParserError  # noqa: PLC0415
    from urllib3.exceptions import HTTPError  # noqa: PLC0415

    return (BotoCoreError, ClientError, HTTPError, ParserError, ResponseParserError, OSError)


def backend_error(error: Exception, *, begun: bool) -> BackendError:
    """The fault for one of `aws_failures`.

    Args:
        error: As boto3 raised it.
        begun: Whether part of the answer has come: what then breaks is cut.
    """
    from botocore.exceptions import ClientError  # noqa: PLC0415 - an extra

    if isinstance(error, ClientError):
        return _answered(error, begun=begun)
    kind = type(error).__name__
    fault, message = _BY_CLASS.get(kind, (Fault.FAILED, f"the connection to AWS broke ({kind})"))
    if kind in {
        "ChecksumMismatch",
        "DuplicateHeader",
        "InvalidHeadersLength",
        "InvalidPayloadLength",
        "ResponseParserError",
    }:
        fault, message = Fault.GARBAGE, f"AWS's answer cannot be read ({kind})"
    if begun and fault is not Fault.TIMEOUT:
        fault, message = Fault.CUT, f"the answer broke off ({kind})"
    return BackendError(fault, message)


def refused_streaming(error: Exception) -> bool:
    """Whether this error says that the model answers as a whole only (here: with these tools)."""
    told = getattr(error, "response", {}).get("Error", {})
    code, text = _code(told), str(told.get("Message", "")).lower()
    return code == "validation" and "stream" in text and ("support" in text)


def _answered(error: Any, *, begun: bool) -> BackendError:
    told: Mapping[str, Any] = error.response.get("Error") or {}
    meta: Mapping[str, Any] = error.response.get("ResponseMetadata") or {}
    code, text = _code(told), str(told.get("Message", "")).lower()
    status = int(meta.get("HTTPStatusCode") or 0)
    if code == "model":
        # The model's server said no: its status counts, not AWS's 424.
        told_by = (
            error.response.get(name) for name in ("OriginalStatusCode", "originalStatusCode")
        )
        status = next((one for one in told_by if isinstance(one, int) and one >= 400), 500)
        fault = Fault.TIMEOUT if "timed out" in text else _of_status(status)
    else:
        fault = _BY_CODE.get(code) or _of_status(status)
    message = _shown(told.get("Code"))
    found = next((said for words, said in _MISSET if words in text), None)
    if fault is Fault.REFUSED and found is not None:
        fault, message = Fault.DENIED, f"{message}: {found}"
    if begun and fault not in {Fault.TIMEOUT, Fault.DENIED}:
        fault = Fault.CUT
    headers: Mapping[str, str] = meta.get("HTTPHeaders") or {}
    return BackendError(
        fault,
        message,
        # In a stream the status was 200, and is not the failure's.
        status=status if status >= 400 else None,
        retry_after_s=_seconds(headers.get("retry-after")),
        detail=_line(str(told.get("Message", ""))) if fault is Fault.REFUSED else None,
    )


def _code(told: Mapping[str, Any]) -> str:
    code = str(told.get("Code", "")).rpartition("#")[2].lower()
    return code.removesuffix("exception").removesuffix("error")


def _of_status(status: int) -> Fault:
    return _BY_STATUS.get(status) or (Fault.REFUSED if 400 <= status < 500 else Fault.FAILED)


def _shown(code: object) -> str:
    text = str(code or "")
    known = text.isascii() and text.isalnum() and len(text) <= 60
    return f"AWS answers {text}" if known else "AWS answers with an error"


def _line(text: str) -> str | None:
    """One line of it, printable."""
    line = " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())
    return line[:_MOST_DETAIL] or None


def _seconds(text: str | None) -> float | None:
    """Of a Retry-After header; a date in it is as good as none."""
    return float(text) if text and text.isdecimal() and len(text) < 8 else None
