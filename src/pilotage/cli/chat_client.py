"""The client's side of the chat API: one streamed answer at a time, and errors in plain words."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import Any

import httpx

from pilotage.cli import chat_errors
from pilotage.cli.chat_errors import ChatError
from pilotage.cli.sse import event_data
from pilotage.errors import UsageError

_TIMEOUT = httpx.Timeout(300.0, connect=5.0)  # a queue may take minutes, a connection does not
_LOOPBACK = {"127.0.0.1", "::1", "localhost"}


@dataclass(frozen=True, slots=True)
class Text:
    """The next piece of an answer."""

    text: str


@dataclass(frozen=True, slots=True)
class Done:
    """The end of an answer.

    Attributes:
        finish_reason: Why it ended, in the server's word: ``stop``, ``length``, ...
        prompt_tokens: Tokens of the whole conversation; ``None`` if the server does not count.
        completion_tokens: Tokens of the answer; ``None`` if the server does not count.
        ttft_s: Seconds from sending the request to the first text.
        decode_s: Seconds from the first text to the last.
    """

    finish_reason: str | None
    prompt_tokens: int | None
    completion_tokens: int | None
    ttft_s: float
    decode_s: float

    @property
    def tokens_per_second(self) -> float | None:
        """The decode rate: the tokens after the first, by the time they took."""
        if self.completion_tokens is None or self.completion_tokens < 2 or self.decode_s <= 0:
            return None
        return (self.completion_tokens - 1) / self.decode_s


class ChatClient:
    """A client of one OpenAI-compatible server.

    Args:
        url: The server, with or without ``/v1`` at its end.
        key: The API key to present, if any.
        key_name: Where the key comes from (an environment variable), for messages.

    Raises:
        UsageError: The address or the key cannot be used.
    """

    def __init__(self, url: str, *, key: str | None, key_name: str) -> None:
        self.base = base_url(url)
        self._key_name = key_name
        self._has_key = bool(key)
        if key and not (key.isascii() and key.isprintable()):
            raise UsageError("the API key holds characters that no key has", where=key_name)
        self._http = httpx.Client(
            timeout=_TIMEOUT,
            headers={"authorization": f"Bearer {key}"} if key else {},
            # A proxy from the environment is not asked for this very machine.
            trust_env=not is_this_machine(self.base),
        )

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def models(self) -> list[str]:
        """The models the server lists.

        Raises:
            ChatError: It does not answer, or not with a list of models.
        """
        with self._reaching():
            response = self._http.get(f"{self.base}/v1/models")
        if response.status_code == 404:
            raise chat_errors.not_a_server(self.base)
        if response.status_code != 200:
            raise self._refusal(response, model=None)
        try:
            return [chat_errors.printable(str(model["id"])) for model in response.json()["data"]]
        except (ValueError, KeyError, TypeError):
            raise chat_errors.not_a_server(self.base) from None

    def answer(self, request: dict[str, Any]) -> Generator[Text | Done, None, None]:
        """The streamed answer to a chat request; closing the iterator stops it at the server.

        Raises:
            ChatError: No answer, or not all of one.
        """
        body = {**request, "stream": True, "stream_options": {"include_usage": True}}
        sent = time.perf_counter()
        with contextlib.ExitStack() as opened:
            with self._reaching():
                response = opened.enter_context(
                    self._http.stream(
                        "POST",
                        f"{self.base}/v1/chat/completions",
                        # ASCII, so that half a surrogate pair in a broken argument is no error
                        content=json.dumps(body),
                        headers={"content-type": "application/json"},
                    )
                )
                if response.status_code != 200:
                    response.read()
            if response.status_code != 200:
                raise self._refusal(response, model=request["model"])
            if "text/event-stream" not in response.headers.get("content-type", ""):
                raise chat_errors.not_a_server(self.base)
            yield from self._read(response, sent)

    def _read(self, response: httpx.Response, sent: float) -> Generator[Text | Done, None, None]:
        first = last = 0.0
        finish_reason: str | None = None
        usage: dict[str, Any] = {}
        try:
            for data in event_data(response.iter_bytes()):
                if data == "[DONE]":
                    break
                chunk = self._chunk(data)
                usage = chunk.get("usage") or usage
                for choice in (chunk.get("choices") or [])[:1]:
                    finish_reason = choice.get("finish_reason") or finish_reason
                    if text := (choice.get("delta") or {}).get("content"):
                        last = time.perf_counter()
                        first = first or last
                        yield Text(text)
            else:
                # Not every server says [DONE]; one that gave a reason to stop has finished.
                if finish_reason is None:
                    raise self._broken_off(anything=first > 0)
        except httpx.TransportError:
            raise self._broken_off(anything=first > 0) from None
        first = first or time.perf_counter()
        yield Done(
            finish_reason,
            usage.get("prompt_tokens"),
            usage.get("completion_tokens"),
            ttft_s=first - sent,
            decode_s=max(0.0, last - first),
        )

    def _chunk(self, data: str) -> dict[str, Any]:
        try:
            chunk = json.loads(data)
        except ValueError:
            chunk = None
        if not isinstance(chunk, dict):
            raise chat_errors.not_a_server(self.base)
        if "error" in chunk:
            raise ChatError(f"the server gave up ({chat_errors.said(chunk)})", where=self.base)
        return chunk

    @contextlib.contextmanager
    def _reaching(self) -> Iterator[None]:
        try:
            yield
        except (httpx.ConnectError, httpx.ConnectTimeout):
            raise ChatError(
                "no server answers there",
                where=self.base,
                hint="Start one with `pilotage serve`, or give the address of another.",
            ) from None
        except httpx.TimeoutException:
            raise ChatError("the server took too long to answer", where=self.base) from None
        except (httpx.TransportError, httpx.DecodingError):
            raise ChatError(
                "the connection broke before an answer",
                where=self.base,
                hint="Is this the address of an OpenAI-compatible server?",
            ) from None

    def _refusal(self, response: httpx.Response, *, model: str | None) -> ChatError:
        status = response.status_code
        if status in {401, 403}:
            return chat_errors.unauthorized(
                status, self.base, key_name=self._key_name, has_key=self._has_key
            )
        if status == 404 and model is not None:
            models = self.models()
            if model not in models:
                return chat_errors.no_such_model(model, models, self.base)
        return chat_errors.refused(response, self.base)

    def _broken_off(self, *, anything: bool) -> ChatError:
        return ChatError(
            "the connection broke off before the answer was complete",
            where=self.base,
            hint="What arrived is part of the conversation." if anything else "Ask again.",
        )


def is_this_machine(base: str) -> bool:
    """Whether a server's address is a loopback one."""
    return httpx.URL(base).host in _LOOPBACK


def base_url(url: str) -> str:
    """A server's address without ``/v1``, from what a user wrote.

    Raises:
        UsageError: It is no server's address.
    """
    try:
        parsed = httpx.URL(url if "://" in url else f"http://{url}")
    except httpx.InvalidURL:
        parsed = httpx.URL("")
    if parsed.scheme not in {"http", "https"} or not parsed.host:
        raise UsageError(
            "this is no server's address", where=url, hint="One looks like http://127.0.0.1:8000."
        )
    if parsed.userinfo:
        raise UsageError("an address with a password in it is not used; give the key apart from it")
    path = parsed.path.rstrip("/").removesuffix("/v1").rstrip("/")
    return str(parsed.copy_with(path=path or "/", query=None, fragment=None)).rstrip("/")
