"""What boto3 raises, as errors that say how to go on.

Every one of them leaves what AWS has as it is: the same command goes on from there.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from pilotage.errors import PilotageError, TargetError, UsageError
from pilotage.units import printable

AGAIN: Final = "nothing is lost, and the same command goes on from what AWS has"

_LOG_IN: Final = (
    "Set AWS_PROFILE or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or log in (aws sso login)"
)
_EXPIRED: Final = frozenset(
    {"ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired"}
)
_UNKNOWN_KEY: Final = frozenset(
    {
        "AuthFailure",
        "InvalidAccessKeyId",
        "InvalidClientTokenId",
        "InvalidToken",
        "SignatureDoesNotMatch",
        "UnrecognizedClientException",
    }
)
_DENIED: Final = frozenset(
    {
        "AccessDenied",
        "AccessDeniedException",
        "AuthorizationError",
        "UnauthorizedOperation",
        "NotAuthorized",
    }
)
_NO_LOGIN: Final = frozenset(
    {"NoAuthTokenError", "SSOTokenLoadError", "TokenRetrievalError", "UnauthorizedSSOTokenError"}
)


class CredentialsError(UsageError):
    """There are no AWS credentials, or they are not, or no longer, good."""


class DeniedError(PilotageError):
    """The credentials do not allow a call."""


def code_of(error: Exception) -> str:
    """AWS's code of an error, "" where it has none."""
    told: Any = getattr(error, "response", {})
    return str(told.get("Error", {}).get("Code", "")).rpartition("#")[2]


def text_of(error: Exception) -> str:
    """AWS's words, on one printable line."""
    told: Any = getattr(error, "response", {})
    text = str(told.get("Error", {}).get("Message", "") or error)
    return printable(" ".join(text.split()))[:600]


@contextmanager
def explained(region: str) -> Iterator[None]:
    """Turn what boto3 raises inside into a `PilotageError`.

    Args:
        region: That is asked, for messages.
    """
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - an extra

    try:
        yield
    except ClientError as error:
        raise _answered(error, region) from None
    except BotoCoreError as error:
        raise _unanswered(error, region) from None


def _answered(error: Any, region: str) -> PilotageError:
    code, action = code_of(error), str(getattr(error, "operation_name", "a call"))
    if code in _EXPIRED:
        return CredentialsError(
            f"the AWS session token has expired (at {action})",
            hint=f"Log in again (aws sso login) or renew AWS_SESSION_TOKEN; {AGAIN}",
        )
    if code in _UNKNOWN_KEY:
        return CredentialsError(
            f"AWS in {region} does not accept the credentials ({code})",
            where="shipping.region",
            hint="Check AWS_PROFILE and the keys; a region that is off by default must be switched "
            "on for the account",
        )
    if code == "OptInRequired":
        return UsageError(
            f"the account has not switched on {region}",
            where="shipping.region",
            hint=f"aws account enable-region --region-name {region}, or another region",
        )
    if code in _DENIED:
        return DeniedError(
            f"AWS does not allow {action}: {text_of(error)}",
            hint=f"Give the role or user that action; {AGAIN}",
        )
    return TargetError(
        f"{action} failed: {code or 'error'}: {text_of(error)}",
        hint=AGAIN[0].upper() + AGAIN[1:],
    )


def _unanswered(error: Exception, region: str) -> PilotageError:
    kind = type(error).__name__
    if kind in {"NoCredentialsError", "PartialCredentialsError", "CredentialRetrievalError"}:
        return CredentialsError("there are no AWS credentials", hint=_LOG_IN)
    if kind == "ProfileNotFound":
        return CredentialsError(
            "AWS_PROFILE names no profile", hint="aws configure list-profiles names them"
        )
    if kind in _NO_LOGIN:
        return CredentialsError(
            "the AWS login has expired", hint=f"Log in again (aws sso login); {AGAIN}"
        )
    if kind in {"EndpointConnectionError", "ConnectTimeoutError"}:
        return TargetError(
            f"AWS cannot be reached in {region}",
            where="shipping.region",
            hint="Check that there is such a region, the network, and AWS_ENDPOINT_URL; " + AGAIN,
        )
    if kind == "ParamValidationError":
        return UsageError(f"a call does not fit AWS's API: {printable(str(error))[:600]}")
    return TargetError(f"AWS could not be asked ({kind})", hint=AGAIN[0].upper() + AGAIN[1:])
