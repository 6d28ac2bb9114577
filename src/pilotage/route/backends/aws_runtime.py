"""What the backends on AWS have in common: clients, and threads in which they are read."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from functools import partial
from typing import Any, Final

from pilotage.route.answer import Chunk
from pilotage.route.backends.aws_client import open_client
from pilotage.route.backends.aws_threads import AnswerThreads, OpenAnswer, Reader

MOST_THREADS: Final = 256
"""boto3 waits where it is called: an answer takes a thread as long as it lasts. More answers than
this at once wait for one another; a gateway that needs more has more processes."""


class AwsRuntime:
    """One of AWS's runtime services, asked for answers.

    Args:
        name: The backend's.
        service: boto3's name: "bedrock-runtime" or "sagemaker-runtime".
        region: That of the AWS environment if None.
        timeout_s: Longest time for an answer.
        first_token_timeout_s: Longest wait for its first token.
        max_concurrency: Most answers at once; more than `MOST_THREADS` wait for one another.
        client: A boto3 client that makes each call once, instead of one of the AWS environment.

    Attributes:
        client: For answers that stream.

    Raises:
        UsageError: boto3, the region or the credentials are missing.
    """

    def __init__(
        self,
        name: str,
        service: str,
        *,
        region: str | None,
        timeout_s: float,
        first_token_timeout_s: float,
        max_concurrency: int,
        client: Any = None,
    ) -> None:
        limit = min(max_concurrency, MOST_THREADS)
        self._timeout_s = timeout_s
        self._open = partial(open_client, service, where=name, region=region, connections=limit)
        self.client = client or self._open(silence_s=min(first_token_timeout_s, timeout_s))
        self._patient = client
        self._threads = AnswerThreads(
            name, limit=limit, timeout_s=timeout_s, first_token_timeout_s=first_token_timeout_s
        )

    def chunks(self, read: Reader, *, deadline: float) -> AsyncGenerator[Chunk, None]:
        """See `AnswerThreads.chunks`."""
        return self._threads.chunks(read, deadline=deadline)

    def hold(self, answer: OpenAnswer, stream: Any, *, silence_s: float | None = None) -> None:
        """In the thread, as soon as there is a stream: see `OpenAnswer.hold`.

        Args:
            answer: As the reader was given it.
            stream: As boto3 gave it.
            silence_s: Longest wait for the next bytes; as long as an answer may take if None.

        Raises:
            Abandoned: Nobody wants it any more.
        """
        answer.hold(stream, silence_s=silence_s or self._timeout_s)

    def whole(self, answer: OpenAnswer) -> Any:
        """In the thread: the client for an answer that comes at once, silent until its end."""
        answer.whole = True
        # Two threads may each open one; the later one stays.
        self._patient = self._patient or self._open(silence_s=self._timeout_s)
        return self._patient

    def close(self) -> None:
        """Let go of connections; answers that are being read end."""
        self._threads.close()
        self.client.close()
        if self._patient not in (None, self.client):
            self._patient.close()
