"""The calls to S3: list, head, read a small file, open a range. Retries are `Retry`'s alone."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final
from urllib.parse import quote

from pilotage.errors import PilotageError, SourceError, UsageError
from pilotage.fetch.http import Url, trust
from pilotage.fetch.origin import TransientError
from pilotage.fetch.retry import Retry
from pilotage.fetch.sources.network import Network
from pilotage.fetch.sources.s3_errors import NO_SIGN, Call
from pilotage.fetch.sources.s3_object import S3Object

MAX_FILES: Final = 20_000
"""A prefix with more keys than this is not one model."""

_AMAZON: Final = (
    ".amazonaws.com",
    ".amazonaws.com.cn",
    ".amazonaws.eu",
    ".api.aws",
    ".c2s.ic.gov",
    ".sc2s.sgov.gov",
)
_UNLIKE: Final = "the endpoint does not answer as S3 does"
_CHECK: Final = "Check AWS_ENDPOINT_URL"


class S3Api:
    """One bucket of one endpoint. Safe to use from many threads.

    Args:
        bucket: Its name.
        endpoint: None for Amazon's own.
        network: Time-outs, and how many connections are needed.
        retry: Makes the calls again; boto3 makes each one once.

    Raises:
        UsageError: boto3 is not installed, or the certificates are not there.
        SourceError: The AWS settings of this machine are malformed.
    """

    def __init__(
        self, bucket: str, endpoint: str | None, *, network: Network, retry: Retry
    ) -> None:
        self.bucket = bucket
        self._retry = retry
        self._anonymous = os.environ.get(NO_SIGN, "").strip().lower() in {"1", "true", "yes"}
        self.endpoint = Url.parse(endpoint or "https://s3.amazonaws.com")
        self._client = self._connected(endpoint, network)
        self.endpoint = Url.parse(self._client.meta.endpoint_url)
        if endpoint is None and not self.endpoint.host.endswith(_AMAZON):
            self.close()
            raise SourceError(
                "the S3 endpoint is set in a file, where the cache cannot tell it from Amazon's",
                where=f"s3://{bucket}",
                hint=f"Set AWS_ENDPOINT_URL={self.endpoint.origin}",
            )

    def close(self) -> None:
        """Close all connections."""
        self._client.close()

    def list(self, prefix: str) -> Iterator[tuple[str, int]]:
        """The keys below a prefix with their sizes, without the markers of folders.

        Raises:
            SourceError: There is no such bucket, it may not be listed, or the answer is odd.
        """
        call = self.call(prefix, "s3:ListBucket")
        token: str | None = None
        seen: set[str] = set()
        while True:
            page = self._page(call, prefix, token)
            for entry in page.get("Contents") or ():
                key, size = str(entry.get("Key", "")), entry.get("Size")
                if key.endswith("/") and not size:
                    continue
                if not key.startswith(prefix) or type(size) is not int or key in seen:
                    raise self._hostile(call, "its listing names what was not asked for")
                seen.add(key)
                if len(seen) > MAX_FILES:
                    raise SourceError(
                        f"more than {MAX_FILES:,} files are no model",
                        where=call.where,
                        hint="Name the model's own prefix",
                    )
                yield key, size
            if not page["IsTruncated"]:
                return
            following = page.get("NextContinuationToken")
            if not following or following == token:
                raise self._hostile(call, "its listing does not end")
            token = following

    def head(self, key: str, version: str | None = None) -> S3Object:
        """What S3 knows of an object.

        Raises:
            MissingError: There is no such object.
            DeniedError: It may not be read; or not be known to be missing.
            SourceError: It cannot be had.
        """
        call = self.call(key, _get(version))
        pinned = {"VersionId": version} if version else {}
        return self._retry.call(
            lambda: self._object(call, key, self._head(call, key, pinned)), origin=self.name
        )

    def small(self, key: str, limit: int) -> bytes:
        """A whole small object.

        Raises:
            MissingError: There is no such object.
            SourceError: It cannot be had, or is larger than `limit`.
        """
        call = self.call(key, _get(None))

        def get() -> bytes:
            with self.explained(call):
                answer = self._client.get_object(Bucket=self.bucket, Key=key)
                body = answer["Body"]
                try:
                    if answer.get("ContentLength", 0) > limit:
                        raise SourceError(f"it is larger than {limit:,} bytes", where=call.where)
                    return bytes(body.read())
                finally:
                    body.close()

        return self._retry.call(get, origin=self.name)

    def open(self, found: S3Object, start: int, stop: int, *, versioned: bool) -> dict[str, Any]:
        """Ask once for a range of an object, of exactly that ETag; the caller closes the body.

        Raises:
            TransientError: It may go well next time.
            ChangedError: It is another object now.
            SourceError: It will not go well.
        """
        version = found.version if versioned else None
        more = {"VersionId": version} if version else {}
        if stop > start:
            more["Range"] = f"bytes={start}-{stop - 1}"
        with self.explained(self.call(found.key, _get(version))):
            answer: dict[str, Any] = self._client.get_object(
                Bucket=self.bucket, Key=found.key, IfMatch=found.etag, **more
            )
            return answer

    @property
    def name(self) -> str:
        """Who answers: what a circuit counts by."""
        return self.endpoint.origin

    def call(self, key: str, action: str) -> Call:
        """What is asked, for messages."""
        return Call(
            where=f"s3://{self.bucket}/{_shown(key)}",
            bucket=self.bucket,
            url=Url.parse(f"{self.endpoint.origin}/{self.bucket}/{quote(key[:1024])}"),
            action=action,
            anonymous=self._anonymous,
        )

    @contextmanager
    def explained(self, call: Call) -> Iterator[None]:
        """Say what boto3 raises in Pilotage's errors."""
        try:
            yield
        except PilotageError:
            raise
        except Exception as error:
            said = call.explained(error)
            if said is None:
                raise
            raise said from None

    def _connected(self, endpoint: str | None, network: Network) -> Any:
        try:
            import boto3  # noqa: PLC0415 - an extra
            from botocore import UNSIGNED  # noqa: PLC0415 - an extra
            from botocore.config import Config  # noqa: PLC0415 - an extra
        except ImportError as error:
            raise UsageError(
                "s3:// needs boto3, which is not installed",
                where=f"s3://{self.bucket}",
                hint="pip install 'pilotage[aws]'",
            ) from error
        # At DEBUG, boto3 writes session tokens and signatures.
        log = logging.getLogger("botocore")
        if log.level < logging.INFO:
            log.setLevel(logging.INFO)
        config = Config(
            retries={"total_max_attempts": 1},
            connect_timeout=network.timeouts.connect_s,
            read_timeout=network.timeouts.idle_s,
            max_pool_connections=network.transfer.threads + 2,
            signature_version=UNSIGNED if self._anonymous else None,
            user_agent_extra="pilotage",
        )
        given = any(os.environ.get(name) for name in ("AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE"))
        verify = None if given else os.environ.get("SSL_CERT_FILE") or None
        if verify is not None:
            trust()  # boto3 takes a file that is not there for a broken network
        with self.explained(self.call("", "s3:ListBucket")):
            try:
                session = boto3.session.Session()
                # S3 answers a request to the wrong region with the right one; any will do.
                region = session.region_name or "us-east-1"
                return session.client(
                    "s3", region_name=region, endpoint_url=endpoint, config=config, verify=verify
                )
            except ValueError:
                raise SourceError(
                    "the S3 endpoint or region is malformed",
                    where=f"s3://{self.bucket}",
                    hint="Check AWS_ENDPOINT_URL and AWS_REGION",
                ) from None

    def _page(self, call: Call, prefix: str, token: str | None) -> dict[str, Any]:
        more = {"ContinuationToken": token} if token else {}

        def get() -> dict[str, Any]:
            with self.explained(call):
                page: dict[str, Any] = self._client.list_objects_v2(
                    Bucket=self.bucket, Prefix=prefix, **more
                )
            if type(page.get("IsTruncated")) is not bool:  # an empty body passes for a listing
                raise self._odd(call, "its listing is cut short")
            return page

        return self._retry.call(get, origin=self.name)

    def _head(self, call: Call, key: str, pinned: dict[str, str]) -> dict[str, Any]:
        named = {"Bucket": self.bucket, "Key": key, **pinned}
        with self.explained(call):
            try:
                head: dict[str, Any] = self._client.head_object(ChecksumMode="ENABLED", **named)
            except self._client.exceptions.ClientError as error:
                if error.response["ResponseMetadata"]["HTTPStatusCode"] in {400, 403}:
                    # An answer to HEAD has no body, and so does not say why. This one's does.
                    self._client.get_object(Range="bytes=0-0", **named)["Body"].close()
                raise
            return head

    def _object(self, call: Call, key: str, head: dict[str, Any]) -> S3Object:
        found = S3Object.of_head(key, head)
        if found is None:
            raise self._odd(call, "it says neither how large an object is nor its ETag")
        return found

    def _odd(self, call: Call, why: str) -> TransientError:
        return TransientError(f"{_UNLIKE}: {why}", where=call.where, hint=_CHECK)

    def _hostile(self, call: Call, why: str) -> SourceError:
        return SourceError(f"{_UNLIKE}: {why}", where=call.where, hint=_CHECK)


def _get(version: str | None) -> str:
    return "s3:GetObjectVersion" if version else "s3:GetObject"


def _shown(key: str) -> str:
    return "".join(c if c.isprintable() else "�" for c in key[:200])
