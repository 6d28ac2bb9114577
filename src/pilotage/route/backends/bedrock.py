"""Amazon Bedrock as a backend: any model of it, through Converse."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from functools import partial
from typing import Any

from pilotage.route.answer import Chunk
from pilotage.route.backends.aws_client import MOST_THREADS, open_client
from pilotage.route.backends.aws_errors import aws_failures, backend_error, refused_streaming
from pilotage.route.backends.aws_threads import AnswerThreads, OpenAnswer
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
        max_concurrency: Most answers at once; more than `MOST_THREADS` wait for one another.
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
        self._timeout_s = timeout_s
        threads = min(max_concurrency, MOST_THREADS)
        self._open = partial(
            open_client, "bedrock-runtime", where=name, region=region, connections=threads
        )
        self._client = client or self._open(silence_s=min(first_token_timeout_s, timeout_s))
        # An answer that comes whole is silent until its end.
        self._patient = client
        self._threads = AnswerThreads(
            name, limit=threads, timeout_s=timeout_s, first_token_timeout_s=first_token_timeout_s
        )
        # Whether answers come whole: with tools, and without.
        self._whole = {True: not self._family.streams_tools, False: False}

    async def complete(self, call: Call) -> AsyncGenerator[Chunk, None]:
        """One attempt: see `Backend.complete`."""
        request = converse_request(call.body, model_id=self._model_id, family=self._family)
        images = call.images

        def read(answer: OpenAnswer) -> Generator[Chunk, None, None]:
            return self._read(request, images, answer)

        chunks = self._threads.chunks(read, deadline=call.deadline)
        try:
            async for chunk in chunks:
                yield chunk
        finally:
            await chunks.aclose()

    async def close(self) -> None:
        """Let go of connections; answers that are being read end."""
        self._threads.close()
        for client in {self._client, self._patient} - {None}:
            client.close()

    def _read(
        self, request: dict[str, Any], images: int, answer: OpenAnswer
    ) -> Generator[Chunk, None, None]:
        """In a thread: ask, and read the answer."""
        reading = ConverseReading(images=images, cache_within=self._family.cache_within)
        failures = aws_failures()
        try:
            stream = None if self._whole["toolConfig" in request] else self._stream(request)
            if stream is None:
                answer.whole = True
                self._patient = self._patient or self._open(silence_s=self._timeout_s)
                yield from reading.whole(self._patient.converse(**request))
            else:
                answer.hold(stream, silence_s=self._timeout_s)
                try:
                    for event in stream:
                        if chunk := reading.event(event):
                            yield chunk
                finally:
                    stream.close()
        except failures as error:
            raise backend_error(error, begun=reading.begun) from None
        yield reading.end()

    def _stream(self, request: dict[str, Any]) -> Any:
        """The stream of an answer; None if the model has none, which is remembered."""
        from botocore.exceptions import ClientError  # noqa: PLC0415 - an extra

        try:
            return self._client.converse_stream(**request)["stream"]
        except ClientError as error:
            if not refused_streaming(error):
                raise
            self._whole["toolConfig" in request] = True
            return None
