"""What boto3 raises, as Pilotage's errors: which may go well next time, and what to do otherwise.

boto3's own words are not passed on: they quote addresses, bodies of answers and, where a
credential process fails, whatever that printed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import urllib3

from pilotage.errors import PilotageError, SourceError
from pilotage.fetch.http import Url, retry_after_s
from pilotage.fetch.http.failures import changed, html_instead, of_network
from pilotage.fetch.origin import TransientError

NO_SIGN: Final = "AWS_NO_SIGN_REQUEST"
"""Set to 1, true or yes: requests are not signed, as public buckets allow."""

_TRANSIENT_STATUS: Final = frozenset({408, 425, 429})
_PERMANENT_5XX: Final = frozenset({501, 505, 511})
# S3's names for "later" (API reference, "Error responses"); RequestTimeout comes as a 400.
_TRANSIENT_CODES: Final = frozenset(
    {
        "BandwidthLimitExceeded",
        "InternalError",
        "OperationAborted",
        "RequestLimitExceeded",
        "RequestTimeout",
        "RequestTimeoutException",
        "ServiceUnavailable",
        "SlowDown",
        "Throttling",
        "ThrottlingException",
        "TooManyRequests",
    }
)
_KEYS: Final = {
    "ExpiredToken": (
        "the AWS session token has expired",
        "Log in again (aws sso login) or renew AWS_SESSION_TOKEN",
    ),
    "TokenRefreshRequired": ("the AWS session token has expired", "Log in again (aws sso login)"),
    "InvalidToken": (
        "the AWS session token is not accepted",
        "AWS_SESSION_TOKEN belongs to other keys, or to another endpoint",
    ),
    "InvalidAccessKeyId": (
        "the endpoint does not know the AWS access key",
        "Check AWS_ACCESS_KEY_ID or AWS_PROFILE, and AWS_ENDPOINT_URL",
    ),
    "SignatureDoesNotMatch": (
        "the AWS secret key does not belong to the access key",
        "Check AWS_SECRET_ACCESS_KEY; a proxy that changes requests also does this",
    ),
    "RequestTimeTooSkewed": (
        "this machine's clock differs too much from S3's",
        "Set the clock (NTP)",
    ),
}
_REGION: Final = frozenset(
    {"PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException"}
)


class MissingError(SourceError):
    """There is no such key, or no such version of it."""


class DeniedError(SourceError):
    """The credentials, or the lack of them, do not allow this call."""


@dataclass(frozen=True, slots=True)
class Call:
    """What was asked, for messages.

    Attributes:
        where: ``s3://bucket/key``.
        bucket: Its name.
        url: The address asked.
        action: The IAM action that it needs, such as ``s3:GetObject``.
        anonymous: Whether it was not signed.
    """

    where: str
    bucket: str
    url: Url
    action: str
    anonymous: bool

    def explained(self, error: Exception) -> PilotageError | None:
        """The error for what boto3 raised; None if it is not one of boto3's."""
        from botocore import exceptions as aws  # noqa: PLC0415 - an extra
        from botocore.parsers import ResponseParserError  # noqa: PLC0415

        if isinstance(error, (aws.HTTPClientError, aws.ConnectionError)):
            cause = error.kwargs.get("error")
            return of_network(cause if isinstance(cause, Exception) else error, self.url)
        if isinstance(error, (urllib3.exceptions.HTTPError, OSError)):
            return of_network(error, self.url)
        if isinstance(error, (aws.IncompleteReadError, aws.FlexibleChecksumError)):
            return TransientError("the answer arrived damaged", where=self.where)
        if isinstance(error, aws.ClientError):
            return self._refused(error.response)
        if isinstance(error, ResponseParserError):
            return self._unreadable(str(error))
        return self._unsent(error) if isinstance(error, aws.BotoCoreError) else None

    def _refused(self, response: dict[str, Any]) -> PilotageError:  # noqa: PLR0911
        """The error for an answer that is no success."""
        told, meta = response.get("Error") or {}, response.get("ResponseMetadata") or {}
        code, status = str(told.get("Code", "")), int(meta.get("HTTPStatusCode") or 0)
        fields = urllib3.HTTPHeaderDict(meta.get("HTTPHeaders") or {})
        later = 500 <= status <= 599 and status not in _PERMANENT_5XX
        if later or status in _TRANSIENT_STATUS or code in _TRANSIENT_CODES:
            named = f", {code}" if code.isascii() and code.isalpha() and len(code) < 60 else ""
            return TransientError(
                f"S3 answers {status}{named}", where=self.where, retry_after_s=retry_after_s(fields)
            )
        if status == 412 or code == "PreconditionFailed":
            return changed(self.url)
        if code in _KEYS:
            message, hint = _KEYS[code]
            return SourceError(message, where=self.where, hint=hint)
        if status in {301, 302, 307} or code in _REGION:
            return self._elsewhere(fields.get("x-amz-bucket-region") or told.get("Region"))
        if code == "NoSuchBucket":
            return SourceError(
                f"there is no bucket {self.bucket!r} at {self.url.origin}",
                where=self.where,
                hint="Check its name; AWS_ENDPOINT_URL names a store that is not Amazon's",
            )
        if code == "InvalidObjectState":
            return archived(self.where)
        if status in {404, 405} or code in {"NoSuchKey", "NoSuchVersion"}:
            # 405: the version is a delete marker.
            what = "version of it" if code == "NoSuchVersion" else "key"
            return MissingError(
                f"there is no such {what}", where=self.where, hint="Check the bucket and the key"
            )
        if code.startswith("KMS."):
            return DeniedError(
                "the key that it is encrypted with cannot be used",
                where=self.where,
                hint="The credentials need kms:Decrypt, and the key must be enabled",
            )
        if status in {401, 403}:
            return self._denied()
        return SourceError(
            f"S3 answers {status}",
            where=self.where,
            hint="Check the source, and AWS_ENDPOINT_URL and AWS_REGION",
        )

    def _denied(self) -> DeniedError:
        if self.anonymous:
            return DeniedError(
                "access is denied to the public",
                where=self.where,
                hint=f"Unset {NO_SIGN} and give credentials that allow {self.action}",
            )
        hint = f"The credentials need {self.action}"
        if self.action != "s3:ListBucket":
            hint += "; without s3:ListBucket, S3 says this of keys that do not exist, too"
        return DeniedError("access is denied", where=self.where, hint=hint)

    def _elsewhere(self, region: object) -> SourceError:
        text = str(region or "")
        plain = text.isascii() and text.replace("-", "").isalnum() and len(text) < 40
        if not plain:
            return SourceError(
                "the bucket is in another region",
                where=self.where,
                hint="Set AWS_REGION to the bucket's region",
            )
        return SourceError(
            f"the bucket is in another region, {text}",
            where=self.where,
            hint=f"Set AWS_REGION={text}",
        )

    def _unreadable(self, text: str) -> PilotageError:
        """The error for an answer that is no XML: a portal's page, or one that was cut short."""
        if "<html" in text.lower() or "<!doctype html" in text.lower():
            return html_instead(self.url, of="S3's answer")
        return TransientError("S3's answer is cut short or malformed", where=self.where)

    def _unsent(self, error: Exception) -> PilotageError:
        """The error for a call that boto3 could not even make."""
        from botocore import exceptions as aws  # noqa: PLC0415

        if isinstance(error, aws.NoCredentialsError):
            return SourceError(
                "there are no AWS credentials",
                where=self.where,
                hint="Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or give the "
                f"machine a role; for a public bucket set {NO_SIGN}=1",
            )
        kind = type(error).__name__
        if isinstance(error, aws.MetadataRetrievalError):
            return TransientError(
                "the machine's role cannot be had from its metadata service", where=self.where
            )
        if isinstance(error, aws.ParamValidationError):
            return SourceError("S3 cannot be asked for this name", where=self.where)
        return SourceError(
            f"the AWS settings cannot be used ({kind})",
            where=self.where,
            hint="Check AWS_PROFILE, AWS_REGION and ~/.aws; see `aws sts get-caller-identity`",
        )


def archived(where: str) -> SourceError:
    """The error for an object in a storage class that must be restored first."""
    return SourceError(
        "it is archived (Glacier) and cannot be read now",
        where=where,
        hint="Restore it first: aws s3api restore-object",
    )
