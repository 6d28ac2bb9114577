"""One real completion from an endpoint, and several of them as a smoke test."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

import httpx

from pilotage.errors import TargetError, UsageError
from pilotage.ship.lifecycle.progress import Note, Say
from pilotage.ship.lifecycle.waiting import Waiting
from pilotage.units import printable

PROMPT: Final = "Name three birds, in one short sentence."
_LATER: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
_NO_KEY: Final = "Put an API key of the deployment into PILOTAGE_API_KEY"


class UnreachableError(TargetError):
    """The endpoint's address does not answer from this machine."""


class BusyError(TargetError):
    """It did not answer, and may the next time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One completion.

    Attributes:
        text: What the model said.
        tokens: Completion tokens, as the endpoint counts them; None where it does not.
        seconds: From the request to the whole answer.
    """

    text: str
    tokens: int | None
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Smoke:
    """What a smoke test found.

    Attributes:
        address: That was asked.
        answers: Completions that came back.
        failures: Those that did not, in words.
        tokens: Completion tokens of all answers.
        seconds: Time that all answers took, one after the other.
        weights: What is known of the weights on the hosts.
    """

    address: str
    answers: int
    failures: tuple[str, ...]
    tokens: int
    seconds: float
    weights: tuple[str, ...] = ()

    @property
    def tokens_per_s(self) -> float | None:
        """Completion tokens a second of one request at a time."""
        return self.tokens / self.seconds if self.tokens and self.seconds > 0 else None

    def as_dict(self) -> dict[str, Any]:
        """As JSON-ready data."""
        return {**asdict(self), "tokens_per_s": self.tokens_per_s}


class Endpoint(Protocol):
    """Something that completes."""

    @property
    def address(self) -> str:
        """For people."""
        ...

    def post(self, body: dict[str, Any]) -> dict[str, Any]:
        """One chat completion in OpenAI's form.

        Raises:
            PilotageError: It cannot be had.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpEndpoint:
    """An OpenAI-compatible address.

    Attributes:
        address: With its scheme, with or without ``/v1``.
        key: API key, if one is needed.
        host: The name in the certificate, where it is not the address's own.
        region: For function URLs, whose requests are signed.
        timeout_s: Longest wait for an answer.
    """

    address: str
    key: str | None = field(default=None, repr=False)
    host: str | None = None
    region: str | None = None
    timeout_s: float = 120.0

    def post(self, body: dict[str, Any]) -> dict[str, Any]:
        """See `Endpoint.post`."""
        url = self.address.rstrip("/").removesuffix("/v1") + "/v1/chat/completions"
        content = json.dumps(body).encode()
        headers = {"content-type": "application/json"}
        if self.host:
            headers["host"] = self.host
        if ".lambda-url." in url:
            headers.update(signed(url, content, self.region))
        elif self.key:
            headers["authorization"] = f"Bearer {self.key}"
        loopback = urlsplit(url).hostname in {"127.0.0.1", "::1", "localhost"}
        try:
            with httpx.Client(
                timeout=httpx.Timeout(self.timeout_s, connect=5.0), trust_env=not loopback
            ) as client:
                # The certificate is checked against the domain it is for.
                named = {"sni_hostname": self.host} if self.host else {}
                reply = client.post(url, content=content, headers=headers, extensions=named)
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise UnreachableError(
                f"cannot be reached from here ({type(error).__name__})", where=self.address
            ) from None
        except httpx.HTTPError as error:
            raise BusyError(f"broke off ({type(error).__name__})", where=self.address) from None
        return self._read(reply)

    def _read(self, reply: httpx.Response) -> dict[str, Any]:
        if reply.status_code in _LATER:
            raise BusyError(f"answers {reply.status_code}", where=self.address)
        if reply.status_code in (401, 403):
            raise UsageError(
                f"answers {reply.status_code}: it "
                + ("does not accept the API key" if self.key else "asks for an API key"),
                where=self.address,
                hint=_NO_KEY,
            )
        if reply.status_code != 200:
            said = printable(" ".join(reply.text.split()))[:300]
            raise TargetError(f"answers {reply.status_code}: {said}", where=self.address)
        try:
            found = reply.json()
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise TargetError("answers with something that is no completion", where=self.address)
        return found


def ask(endpoint: Endpoint, model: str, *, max_tokens: int = 16) -> Answer:
    """One completion.

    Raises:
        PilotageError: It cannot be had; `BusyError` where it may be the next time.
    """
    body = {
        "model": model,
        "messages": [{"role": "user", "content": PROMPT}],
        "max_tokens": max_tokens,
    }
    began = time.monotonic()
    found = endpoint.post(body)
    seconds = time.monotonic() - began
    usage = found.get("usage")
    tokens = usage.get("completion_tokens") if isinstance(usage, Mapping) else None
    tokens = tokens if isinstance(tokens, int) else None
    try:
        message = found["choices"][0]["message"]
        # A model that reasons may spend so few tokens before its first word.
        text = message.get("content") or message.get("reasoning_content") or ""
    except (KeyError, IndexError, TypeError, AttributeError):
        raise TargetError(
            "answers with something that is no completion", where=endpoint.address
        ) from None
    if not isinstance(text, str) or not (text.strip() or tokens):
        raise TargetError("answers without a word of text", where=endpoint.address)
    return Answer(text=text, tokens=tokens, seconds=seconds)


def await_answer(endpoint: Endpoint, model: str, *, say: Say, waiting: Waiting) -> Answer:
    """Ask until a completion comes back. What time does not mend is raised at once.

    Raises:
        UnreachableError: The address cannot be connected to, six times in a row.
        PilotageError: It answers, and with something else than a completion.
    """
    lost = 0
    last = ""
    for _ in waiting.rounds("a first completion"):
        try:
            answer = ask(endpoint, model)
        except BusyError as error:
            lost, said = 0, error.message
        except UnreachableError as error:
            lost, said = lost + 1, error.message
            # A new balancer's name takes a minute to be known everywhere.
            if lost * waiting.poll_s > 90 or lost > 24:
                raise
        else:
            rate = f", {answer.tokens} tokens" if answer.tokens else ""
            text = f"the model answered in {answer.seconds:.2f} s{rate}"
            say(Note(step="completion", text=text, what=endpoint.address))
            return answer
        if said != last:
            say(Note(step="completion", text=said, what=endpoint.address))
            last = said
    raise AssertionError("rounds end with an error")


def smoke(
    endpoint: Endpoint,
    model: str,
    *,
    count: int,
    max_tokens: int,
    weights: tuple[str, ...] = (),
) -> Smoke:
    """``count`` completions one after the other."""
    failures: list[str] = []
    answers: list[Answer] = []
    for _ in range(count):
        try:
            answers.append(ask(endpoint, model, max_tokens=max_tokens))
        except TargetError as error:
            failures.append(str(error))
    return Smoke(
        address=endpoint.address,
        answers=len(answers),
        failures=tuple(failures),
        tokens=sum(one.tokens or 0 for one in answers),
        seconds=sum(one.seconds for one in answers),
        weights=weights,
    )


def signed(url: str, content: bytes, region: str | None) -> dict[str, str]:
    """Headers of a function URL's request: its access is IAM's.

    Raises:
        UsageError: There are no credentials.
    """
    import boto3  # noqa: PLC0415 - an extra
    from botocore.auth import SigV4Auth  # noqa: PLC0415
    from botocore.awsrequest import AWSRequest  # noqa: PLC0415

    found = urlsplit(url).hostname or ""
    where = region or found.split(".lambda-url.")[1].partition(".")[0]
    credentials = boto3.session.Session(region_name=where).get_credentials()
    if credentials is None:
        raise UsageError("there are no AWS credentials to sign the request with")
    request = AWSRequest(
        method="POST", url=url, data=content, headers={"content-type": "application/json"}
    )
    SigV4Auth(credentials.get_frozen_credentials(), "lambda", where).add_auth(request)
    return {key: value for key, value in request.headers.items() if key.lower() != "content-type"}
