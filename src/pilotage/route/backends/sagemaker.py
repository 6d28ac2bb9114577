"""A SageMaker endpoint as a backend: its container speaks OpenAI's chat form."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator, Mapping
from typing import Any, Final

import msgspec

from pilotage.route.answer import Chunk
from pilotage.route.backends.aws_errors import aws_failures, backend_error, refused_streaming
from pilotage.route.backends.aws_runtime import AwsRuntime
from pilotage.route.backends.aws_threads import OpenAnswer
from pilotage.route.backends.backend import BackendError, Fault
from pilotage.route.backends.sagemaker_events import PayloadReading
from pilotage.route.call import Call

MOST_BYTES: Final = 6_291_456
"""Of a request's body (the API reference, ``InvokeEndpoint``)."""

_AFTER_FINISH_S: Final = 2.0
"""How long usage is waited for after the finish reason; containers send it at once or never."""
_LEFT_OVER: Final = 64
"""Events after the answer's end that are read, so that the connection can be used again."""


class SageMakerBackend:
    """A SageMaker endpoint whose container takes OpenAI's chat requests.

    vLLM, LMI and TGI's Messages containers do. It streams (InvokeEndpointWithResponseStream);
    where SageMaker says that the endpoint does not, answers come whole (InvokeEndpoint) from then
    on.

    Args:
        name: Unique in the router: "tier/0".
        endpoint: Its name.
        model: What the container calls the model; not sent if None.
        region: That of the AWS environment if None.
        timeout_s: Longest time for an answer. SageMaker itself ends those that give no byte for
            60 seconds.
        first_token_timeout_s: Longest wait for its first token.
        max_concurrency: Most answers at once.
        client: A boto3 client of "sagemaker-runtime" that makes each call once, instead of one of
            the AWS environment.

    Raises:
        UsageError: boto3, the region or the credentials are missing.
    """

    def __init__(
        self,
        name: str,
        *,
        endpoint: str,
        model: str | None,
        region: str | None,
        timeout_s: float,
        first_token_timeout_s: float,
        max_concurrency: int,
        client: Any = None,
    ) -> None:
        self.name = name
        self._endpoint = endpoint
        self._model = {} if model is None else {"model": model}
        self._runtime = AwsRuntime(
            name,
            "sagemaker-runtime",
            region=region,
            timeout_s=timeout_s,
            first_token_timeout_s=first_token_timeout_s,
            max_concurrency=max_concurrency,
            client=client,
        )
        self._whole = False

    async def complete(self, call: Call) -> AsyncGenerator[Chunk, None]:
        """One attempt: see `Backend.complete`."""
        body = {name: value for name, value in call.body.items() if name != "stream_options"}
        asked = call.body.get("stream_options")
        # The larger of the two forms, checked before a thread is taken.
        streamed = self._request(
            {
                **body,
                "stream": True,
                "stream_options": {
                    **(asked if isinstance(asked, Mapping) else {}),
                    "include_usage": True,
                },
            }
        )

        def read(answer: OpenAnswer) -> Generator[Chunk, None, None]:
            return self._read(streamed, body, answer)

        chunks = self._runtime.chunks(read, deadline=call.deadline)
        try:
            async for chunk in chunks:
                yield chunk
        finally:
            await chunks.aclose()

    async def close(self) -> None:
        """Let go of connections; answers that are being read end."""
        self._runtime.close()

    def _request(self, body: Mapping[str, Any]) -> dict[str, Any]:
        try:
            data = msgspec.json.encode({**body, **self._model})
        except (ValueError, OverflowError, RecursionError):
            # Half a surrogate pair, a number of a thousand digits, lists in lists in lists.
            raise BackendError(Fault.REFUSED, "the request cannot be sent as JSON") from None
        if len(data) > MOST_BYTES:
            raise BackendError(
                Fault.REFUSED,
                f"the request has {len(data)} bytes, and SageMaker takes {MOST_BYTES}",
                status=413,
            )
        return {
            "EndpointName": self._endpoint,
            "Body": data,
            "ContentType": "application/json",
        }

    def _read(
        self, streamed: dict[str, Any], body: Mapping[str, Any], answer: OpenAnswer
    ) -> Generator[Chunk, None, None]:
        """In a thread: ask, and read the answer."""
        reading = PayloadReading()
        try:
            stream = None if self._whole else self._stream(streamed)
            if stream is None:
                client = self._runtime.whole(answer)
                response = client.invoke_endpoint(**self._request({**body, "stream": False}))
                yield from reading.part(response["Body"].read())
            else:
                self._runtime.hold(answer, stream)
                try:
                    yield from self._parts(stream, reading, answer)
                finally:
                    stream.close()
        except aws_failures() as error:
            # What breaks after the end has come takes at most the usage along.
            if not reading.finished:
                raise backend_error(error, begun=reading.begun) from None
        if not reading.told:
            yield from reading.end()

    def _parts(
        self, stream: Any, reading: PayloadReading, answer: OpenAnswer
    ) -> Generator[Chunk, None, None]:
        waiting, left = False, _LEFT_OVER
        for event in stream:
            if reading.told:
                left -= 1
                if not left:
                    return
                continue
            yield from reading.part(event.get("PayloadPart", {}).get("Bytes", b""))
            if reading.finished and not waiting:
                waiting = True
                self._runtime.hold(answer, stream, silence_s=_AFTER_FINISH_S)
            if reading.done:
                yield from reading.end()

    def _stream(self, request: dict[str, Any]) -> Any:
        """The stream of an answer; None if the endpoint has none, which is remembered."""
        client = self._runtime.client
        try:
            return client.invoke_endpoint_with_response_stream(**request)["Body"]
        except client.exceptions.ClientError as error:
            if not refused_streaming(error):
                raise
            self._whole = True
            return None
