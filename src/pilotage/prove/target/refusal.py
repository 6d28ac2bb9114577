"""What a server's answer means to the person who wants to test it, where it is not an answer."""

from __future__ import annotations

import httpx

from pilotage.errors import TargetError
from pilotage.prove.client.answer import Answer, printable
from pilotage.prove.target.endpoint import Endpoint
from pilotage.prove.target.exchange import Reply

_CHECK_LOG = "See the server's log."


class RefusedError(TargetError):
    """The server answered with another status than 200; ``status`` says which."""

    def __init__(self, status: int, message: str, *, where: str, hint: str) -> None:
        super().__init__(message, where=where, hint=hint)
        self.status = status


def said(reply: Reply) -> str:
    """What a reply says of itself, such as "404: no such model": one printable line."""
    if reply.is_web_page:
        return f"{reply.status}: a web page"
    return reply.why or str(reply.status)


def refused(reply: Reply, endpoint: Endpoint) -> RefusedError:
    """The error for any other status than 200."""
    status = reply.status
    if 300 <= status < 400:
        message, hint = _redirected(reply)
    elif status in {401, 403}:
        message, hint = _locked(status, endpoint)
    elif status == 404:
        model = f"the model {printable(endpoint.model)!r} or " if endpoint.model else ""
        message = f"the server does not have {model}this path ({said(reply)})"
        hint = "Check the address, the API and the model's name."
    elif status in {429, 503}:
        message = f"the server has no room for a single request ({said(reply)})"
        hint = "Is its model still loading, is it under another load, or is a quota spent?"
    elif status >= 500:
        message, hint = f"the server failed ({said(reply)})", _CHECK_LOG
    else:
        message = f"the server refused a small request ({said(reply)})"
        hint = "Does this model take requests of this API?"
    return RefusedError(status, message, where=reply.url, hint=hint)


def not_an_answer(reply: Reply) -> TargetError | None:
    """The error for a status 200 with something else than an answer to a request; None if it is."""
    outcome, why = reply.outcome, reply.why
    if reply.is_web_page:
        return not_the_api(reply, "it sent a web page")
    if outcome == "error_event":
        return TargetError(f"the server gave up ({why})", where=reply.url, hint=_CHECK_LOG)
    if outcome == "broken":
        message = f"the server broke off its answer ({why})"
        return TargetError(message, where=reply.url, hint=_CHECK_LOG)
    if outcome != "complete" or not _says_something(reply.answer):
        return not_the_api(reply, why or "there is no answer in what it sent")
    if reply.expects_stream and not reply.is_stream:
        return TargetError(
            "the server does not stream: it sent one answer where a stream was asked for",
            where=reply.url,
            hint="Test it without streaming; then there is no time to first token.",
        )
    return None


def not_the_api(reply: Reply, why: str) -> TargetError:
    """The error for what no OpenAI-compatible server sends."""
    return TargetError(
        f"what answers there does not speak this API ({why})",
        where=reply.url,
        hint="Is this the address of an OpenAI-compatible server?",
    )


def _says_something(answer: Answer) -> bool:
    """Whether there is any of what an answer has; a model may well answer with no text."""
    counted = answer.finish_reason is not None or answer.completion_tokens is not None
    return counted or answer.chunks > 0 or bool(answer.text)


def _locked(status: int, endpoint: Endpoint) -> tuple[str, str]:
    if endpoint.key:
        message = f"the server refused the API key in {endpoint.key_name} ({status})"
        return message, "Is it revoked, or for another server?"
    message = f"the server wants an API key ({status})"
    return message, f"Put yours into the environment variable {endpoint.key_name}."


def _redirected(reply: Reply) -> tuple[str, str]:
    location = reply.headers.get("location")
    to = _absolute(location, reply.url) if location else "nowhere"
    return (
        f"the server redirects to {to} ({reply.status})",
        "Redirects are not followed, as every request would pay for one: give that server's "
        "address if it is the one you mean.",
    )


def _absolute(location: str, base: str) -> str:
    """Where a redirect points to, without what may be a secret."""
    try:
        url = httpx.URL(base).join(location)
        return printable(str(url.copy_with(userinfo=b"", query=None, fragment=None)))
    except httpx.InvalidURL:
        return printable(location)
