"""SageMaker's endpoints, asked for a completion: at once, or through objects in S3."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from typing import Any, Final

from pilotage.errors import TargetError
from pilotage.ship.lifecycle.asking import BusyError
from pilotage.ship.lifecycle.aws import Aws
from pilotage.ship.lifecycle.waiting import Waiting
from pilotage.units import printable

_JSON: Final = "application/json"
_SHOWN: Final = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class SageMakerEndpoint:
    """A real-time endpoint of SageMaker.

    Attributes:
        aws: Where it is.
        name: Its name.
        component: The inference component to ask, if it has some.
    """

    aws: Aws
    name: str
    component: str | None = None

    @property
    def address(self) -> str:
        """See `Endpoint.address`."""
        return f"sagemaker://{self.name}"

    def post(self, body: dict[str, Any]) -> dict[str, Any]:
        """See `Endpoint.post`."""
        more = {"InferenceComponentName": self.component} if self.component else {}
        answer = self.aws.try_call(
            "sagemaker-runtime",
            "invoke_endpoint",
            "ModelNotReadyException",
            "ServiceUnavailable",
            EndpointName=self.name,
            ContentType="application/json",
            Body=json.dumps(body).encode(),
            **more,
        )
        if answer is None:
            raise BusyError("is not ready", where=self.address)
        return _completion(answer["Body"].read(), self.address)


@dataclass(frozen=True, slots=True, kw_only=True)
class AsyncEndpoint:
    """An asynchronous endpoint: a request is an object, and its answer is another one.

    Both are removed once the answer is read. A request to an endpoint without an instance is kept,
    and starts one, so the wait may be as long as a start.

    Attributes:
        aws: Where it is.
        name: Its name.
        bucket: That it reads requests from.
        waiting: For the answer.
    """

    aws: Aws
    name: str
    bucket: str
    waiting: Waiting

    @property
    def address(self) -> str:
        """See `Endpoint.address`."""
        return f"sagemaker-async://{self.name}"

    def post(self, body: dict[str, Any]) -> dict[str, Any]:
        """See `Endpoint.post`.

        Raises:
            TooLongError: No answer came.
        """
        key = f"requests/pilotage-{secrets.token_hex(8)}.json"
        self.aws.call(
            "s3",
            "put_object",
            Bucket=self.bucket,
            Key=key,
            Body=json.dumps(body).encode(),
            ContentType=_JSON,
        )
        told = self.aws.call(
            "sagemaker-runtime",
            "invoke_endpoint_async",
            EndpointName=self.name,
            ContentType=_JSON,
            Accept=_JSON,
            InputLocation=f"s3://{self.bucket}/{key}",
        )
        # What fails is written elsewhere, if the endpoint has a place for it.
        places = [told["OutputLocation"], told.get("FailureLocation") or ""]
        try:
            for _ in self.waiting.rounds(f"the answer of {self.name}"):
                for place, failed in zip(places, (False, True), strict=True):
                    content = self._read(place)
                    if content is not None and failed:
                        said = printable(" ".join(content.decode("utf-8", "replace").split()))
                        raise TargetError(f"failed: {said[:_SHOWN]}", where=self.address)
                    if content is not None:
                        return _completion(content, self.address)
        finally:
            for bucket, name in ((self.bucket, key), *map(_parts, filter(None, places))):
                # The bucket forgets it in a week, too.
                self.aws.try_call("s3", "delete_object", "AccessDenied", Bucket=bucket, Key=name)
        raise AssertionError("rounds end with an error")

    def _read(self, place: str) -> bytes | None:
        if not place:
            return None
        bucket, key = _parts(place)
        found = self.aws.try_call("s3", "get_object", "NoSuchKey", Bucket=bucket, Key=key)
        return None if found is None else bytes(found["Body"].read())


def _parts(place: str) -> tuple[str, str]:
    """Bucket and key of an s3:// address."""
    bucket, _, key = place.removeprefix("s3://").partition("/")
    return bucket, key


def _completion(content: bytes, where: str) -> dict[str, Any]:
    try:
        found: Any = json.loads(content)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise TargetError("answers with something that is no completion", where=where)
    return found
