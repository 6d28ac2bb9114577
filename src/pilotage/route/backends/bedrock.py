"""Amazon Bedrock as a backend: any model of it, through Converse."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from typing import Any

from pilotage.route.answer import Chunk
from pilotage.route.backends.aws_errors import aws_failures, backend_error, refused_streaming
from pilotage.route.backends.aws_runtime import AwsRuntime
from pilotage.route.backends.aws_threads import OpenAnswer
from pilotage.route.backends.backend import BackendError
from pilotage.route.backends.bedrock_content import refused
from pilotage.route.backends.bedrock_events import ConverseReading
from pilotage.route.backends.bedrock_families import family_of
from pilotage.route.backends.bedrock_request import converse_request
from pilotage.route.call import Call


class BedrockBackend:
    """A model on Amazon Bedrock.

    It streams (ConverseStream). Where Bedrock says that the model does not, with tools or at all,
    answers come whole (Converse) from then on.

    Args:
        name: Unique in the router: "tier/0".
        model_id: A model id, an inference profile (``us.``, ``eu.``, ``global.`` …), or the ARN
            of one's own profile or provisioned throughput.
        region: That of the AWS environment if None.
        timeout_s: Longest time for an answer.
        first_token_timeout_s: Longest wait for its first token.
        max_concurrency: Most answers at once.
        client: A boto3 client of "bedrock-runtime" that makes each call once, instead of one of
            the AWS environment.

    Raises:
        UsageError: boto3, the region or the credentials are missing.
    """

    def __init__(
        self,
        name: str,
        *,
        model_id: str,
        region: str | None,
        timeout_s: float,
        first_token_timeout_s: float,
        max_concurrency: int,
        client: Any = None,
    ) -> None:
        self.name = name
        self._model_id = model_id
        self._family = family_of(model_id)
        self._runtime = AwsRuntime(
            name,
            "bedrock-runtime",
            region=region,
            timeout_s=timeout_s,
            first_token_timeout_s=first_token_timeout_s,
            max_concurrency=max_concurrency,
            client=client,
        )
        # Whether answers come whole: with tools, and without.
        self._whole = {True: not self._family.streams_tools, False: False}

    async def complete(self, call: Call) -> AsyncGenerator[Chunk, None]:
        """One attempt: see `Backend.complete`."""
        try:
            request = converse_request(call.body, model_id=self._model_id, family=self._family)
        except RecursionError:
            raise _too_deep() from None
        images = call.images

        def read(answer: OpenAnswer) -> Generator[Chunk, None, None]:
            return self._read(request, images, answer)

        chunks = self._runtime.chunks(read, deadline=call.deadline)
        try:
            async for chunk in chunks:
                yield chunk
        finally:
            await chunks.aclose()

    async def close(self) -> None:
        """Let go of connections; answers that are being read end."""
        self._runtime.close()

    def _read(
        self, request: dict[str, Any], images: int, answer: OpenAnswer
    ) -> Generator[Chunk, None, None]:
        """In a thread: ask, and read the answer."""
        reading = ConverseReading(images=images, cache_within=self._family.cache_within)
        try:
            stream = None if self._whole["toolConfig" in request] else self._stream(request)
            if stream is None:
                yield from reading.whole(self._runtime.whole(answer).converse(**request))
            else:
                self._runtime.hold(answer, stream)
                try:
                    for event in stream:
                        if chunk := reading.event(event):
                            yield chunk
                finally:
                    stream.close()
        except aws_failures() as error:
            # What breaks after the end has come takes at most the usage along.
            if not reading.finished:
                raise backend_error(error, begun=reading.begun) from None
        except RecursionError:
            raise _too_deep() from None
        yield reading.end()

    def _stream(self, request: dict[str, Any]) -> Any:
        """The stream of an answer; None if the model has none, which is remembered."""
        try:
            return self._runtime.client.converse_stream(**request)["stream"]
        except self._runtime.client.exceptions.ValidationException as error:
            if not refused_streaming(error):
                raise
            self._whole["toolConfig" in request] = True
            return None


def _too_deep() -> BackendError:
    return refused("the request is nested too deeply")
