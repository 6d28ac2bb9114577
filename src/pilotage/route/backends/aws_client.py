"""Clients of AWS's runtimes, made of boto3: an extra, imported when a tier needs it."""

from __future__ import annotations

import logging
import os
from typing import Any, Final

from pilotage.errors import UsageError
from pilotage.route.backends.aws_region import aws_region
from pilotage.units import printable

_CONNECT_S: Final = 10.0
_INSTALL: Final = "Install it with: pip install 'pilotage[aws]'"
_LOG_IN: Final = (
    "Set AWS_PROFILE or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, log in (aws sso login), or "
    "give the machine a role"
)
_BEARER: Final = "AWS_BEARER_TOKEN_BEDROCK"
"""Bedrock's API keys go into this variable, in place of AWS credentials."""


def open_client(
    service: str, *, where: str, region: str | None, silence_s: float, connections: int
) -> Any:
    """A client that makes each call once: the only loop that tries again is the tier's.

    Args:
        service: boto3's name: "bedrock-runtime" or "sagemaker-runtime".
        where: The backend, for errors.
        region: That of the AWS environment if None.
        silence_s: Longest wait for the provider's next byte, in seconds.
        connections: Most at once.

    Raises:
        UsageError: boto3, the region or any credentials are missing, or the AWS configuration is
            malformed.
    """
    try:
        import boto3  # noqa: PLC0415 - an extra
        from botocore.config import Config  # noqa: PLC0415
        from botocore.exceptions import BotoCoreError  # noqa: PLC0415
    except ImportError:
        raise UsageError(
            "needs boto3, which is not installed", where=where, hint=_INSTALL
        ) from None
    # At DEBUG, botocore writes session tokens and prompts.
    log = logging.getLogger("botocore")
    if log.level < logging.INFO:
        log.setLevel(logging.INFO)
    config = Config(
        retries={"total_max_attempts": 1, "mode": "standard"},
        connect_timeout=min(_CONNECT_S, silence_s),
        read_timeout=silence_s,
        max_pool_connections=connections,
        tcp_keepalive=True,
        user_agent_extra="pilotage",
    )
    try:
        session = boto3.session.Session()
        keyed = service == "bedrock-runtime" and os.environ.get(_BEARER)
        if not keyed and session.get_credentials() is None:
            raise UsageError("there are no AWS credentials", where=where, hint=_LOG_IN)
        return session.client(service, region_name=region or aws_region(), config=config)
    except BotoCoreError as error:
        raise _unusable(error, where) from None
    except ValueError:
        # botocore's word for an endpoint or a region that is no host name.
        raise UsageError(
            "the AWS region or endpoint is malformed",
            where=where,
            hint="Check region:, AWS_REGION and AWS_ENDPOINT_URL",
        ) from None


def _unusable(error: Exception, where: str) -> UsageError:
    kind = type(error).__name__
    if kind == "NoRegionError":
        return UsageError(
            "there is no AWS region", where=where, hint="Write region: into the backend, or set "
            "AWS_REGION"
        )  # fmt: skip
    if kind == "ProfileNotFound":
        profile = printable(os.environ.get("AWS_PROFILE", "")[:60])
        return UsageError(
            f'there is no AWS profile "{profile}"',
            where=where,
            hint="aws configure list-profiles names them",
        )
    return UsageError(f"the AWS configuration cannot be used ({kind})", where=where, hint=_LOG_IN)
