"""Sessions and clients of AWS, and what boto3 raises as one clear line.

boto3's own words are not passed on: they quote addresses and answers.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any, Final

from pilotage.errors import PilotageError, UsageError
from pilotage.units import printable

_PERMISSIONS: Final = (
    "The refresh needs pricing:GetProducts, ec2:DescribeInstanceTypes and "
    "ec2:DescribeSpotPriceHistory"
)
_LOG_IN: Final = "Log in (aws sso login, aws configure), or pass --profile NAME"
_DENIED: Final = frozenset(
    {"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "NotAuthorized"}
)
_KEYS: Final = frozenset(
    {
        "AuthFailure",
        "ExpiredToken",
        "ExpiredTokenException",
        "InvalidClientTokenId",
        "InvalidSignatureException",
        "RequestExpired",
        "SignatureDoesNotMatch",
        "UnrecognizedClientException",
    }
)
_BY_CLASS: Final = MappingProxyType(
    {
        "NoCredentialsError": "no AWS credentials were found",
        "PartialCredentialsError": "the AWS credentials are incomplete",
        "CredentialRetrievalError": "the AWS credentials could not be had",
        "TokenRetrievalError": "the AWS login has expired",
        "UnauthorizedSSOTokenError": "the AWS login has expired",
        "SSOTokenLoadError": "the AWS login has expired",
        "NoAuthTokenError": "no AWS credentials were found",
    }
)


def open_session(profile: str | None) -> Any:
    """A boto3 session.

    Raises:
        UsageError: boto3 is not installed, or there is no such profile.
    """
    try:
        import boto3  # noqa: PLC0415 - an extra
        from botocore.exceptions import BotoCoreError  # noqa: PLC0415
    except ImportError:
        raise UsageError(
            "prices from AWS need boto3, which is not installed",
            hint="Install it with: pip install 'pilotage[aws]'",
        ) from None
    try:
        return boto3.session.Session(profile_name=profile)
    except BotoCoreError as error:
        if type(error).__name__ == "ProfileNotFound":
            raise UsageError(
                f'there is no AWS profile "{printable((profile or "")[:60])}"',
                hint="aws configure list-profiles names them",
            ) from None
        raise UsageError("the AWS configuration cannot be read", hint=_LOG_IN) from None


def open_client(session: Any, service: str, region: str) -> Any:
    """A client with few retries and short waits: a person stands before the screen."""
    from botocore.config import Config  # noqa: PLC0415

    config = Config(connect_timeout=10, read_timeout=30, retries={"total_max_attempts": 4})
    with aws_errors(service):
        return session.client(service, region_name=region, config=config)


@contextmanager
def aws_errors(service: str) -> Iterator[None]:
    """Raise what boto3 raises as errors of ours.

    Raises:
        UsageError: Credentials are missing, refused or not enough.
        PilotageError: AWS does not answer, or not as documented.
    """
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415

    where = f"AWS {service}"
    try:
        yield
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", ""))
        if code in _KEYS:
            raise UsageError(
                "AWS does not accept the credentials", where=where, hint=_LOG_IN
            ) from None
        if code in _DENIED:
            raise UsageError(
                "the credentials may not ask for prices", where=where, hint=_PERMISSIONS
            ) from None
        raise PilotageError(
            f'refused the request ("{printable(code[:60])}")',
            where=where,
            hint="Try again later; the book on the disk is unchanged",
        ) from None
    except BotoCoreError as error:
        known = _BY_CLASS.get(type(error).__name__)
        if known is not None:
            raise UsageError(known, where=where, hint=_LOG_IN) from None
        raise PilotageError(
            f"does not answer ({type(error).__name__})",
            where=where,
            hint="Check the network, the region and AWS_ENDPOINT_URL; the book on the disk is "
            "unchanged",
        ) from None
