"""A conversation: its turns, kept within the model's context, and the answers to them."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

from pilotage.cli.chat_client import ChatClient, Done, Text
from pilotage.cli.chat_errors import BusyError, ChatError, ContextExceededError

SHORT_WAIT_S = 30.0


@dataclass(frozen=True, slots=True)
class Notice:
    """Something the user should know while an answer is being had."""

    text: str


class ChatSession:
    """One conversation with one model.

    Args:
        client: The server.
        model: The model; ``None`` takes the first that the server lists.
        system: The system prompt, if any; may be changed between turns.
        parameters: Further fields of each request (``max_tokens``, ``temperature``, ...).

    Attributes:
        turns: What was said, as ``{"role": ..., "content": ...}``, without the system prompt.
    """

    def __init__(
        self,
        client: ChatClient,
        *,
        model: str | None = None,
        system: str | None = None,
        parameters: dict[str, Any] | None = None,
    ) -> None:
        self.system = system
        self.turns: list[dict[str, str]] = []
        self._client = client
        self._model = model
        self._parameters = parameters or {}

    @property
    def model(self) -> str:
        """The model; asks the server if none was named.

        Raises:
            ChatError: The server does not answer, or has no model.
        """
        if self._model is None:
            models = self._client.models()
            if not models:
                raise ChatError("the server has no model", where=self._client.base)
            self._model = models[0]
        return self._model

    def messages(self) -> list[dict[str, str]]:
        """The conversation as the server is sent it, the system prompt first."""
        system = [{"role": "system", "content": self.system}] if self.system else []
        return [*system, *self.turns]

    def ask(self, text: str) -> Generator[Text | Notice | Done, None, None]:
        """Say something, and stream the answer.

        Closing the iterator stops the answer; what arrived until then stays in the conversation.
        When the conversation has outgrown the model's context, its oldest exchanges are dropped
        until it fits. A busy server that asks for a wait of 30 s or less is waited for once.

        Raises:
            ChatError: No answer, or not all of one. Without any text of an answer, this turn is
                taken back.
        """
        model = self.model
        self.turns.append({"role": "user", "content": text})
        pieces: list[str] = []
        try:
            with contextlib.closing(self._answer(model)) as events:
                for event in events:
                    if isinstance(event, Text):
                        pieces.append(event.text)
                    yield event
        finally:
            if pieces:
                self.turns.append({"role": "assistant", "content": "".join(pieces)})
            else:
                self.turns.pop()

    def _answer(self, model: str) -> Generator[Text | Notice | Done, None, None]:
        may_wait = True
        while True:
            request = {"model": model, "messages": self.messages(), **self._parameters}
            try:
                with contextlib.closing(self._client.answer(request)) as events:
                    yield from events
            except BusyError as busy:
                if not may_wait or busy.retry_after_s is None or busy.retry_after_s > SHORT_WAIT_S:
                    raise
                may_wait = False
                yield Notice(f"The server is busy; asking again in {busy.retry_after_s:.3g} s.")
                time.sleep(busy.retry_after_s)
            except ContextExceededError:
                if len(self.turns) == 1:
                    raise
                dropped = self._drop_oldest_exchange()
                yield Notice(
                    "The conversation has outgrown the model's context: forgot the oldest "
                    f"{dropped} messages."
                )
            else:
                return

    def _drop_oldest_exchange(self) -> int:
        """Drop messages up to the second of the user's; how many they were."""
        count = 1 + [turn["role"] for turn in self.turns[1:]].index("user")
        del self.turns[:count]
        return count
