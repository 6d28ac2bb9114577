"""What is found out about an endpoint before it gets any load.

A run of ten minutes against the wrong address is ten minutes lost, and numbers of a server that
counts tokens in another way are wrong without looking so. A few small requests tell.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Final

from pilotage.errors import TargetError
from pilotage.prove.client.answer import printable
from pilotage.prove.payload import Payload
from pilotage.prove.target.endpoint import Endpoint
from pilotage.prove.target.exchange import Reply, Session
from pilotage.prove.target.refusal import RefusedError, not_an_answer, refused, said
from pilotage.prove.target.served_models import ListedModel, chosen_model, listed_models
from pilotage.prove.target.small_request import Dialect, small_request
from pilotage.tokens import Tokenizer

_BUSY: Final = {429, 503}
_FIRST_PAUSE_S: Final = 0.25
_LONGEST_PAUSE_S: Final = 5.0

# Two prompts that begin and end alike, so that whatever a chat template does at the borders falls
# out of the difference. The longer one has what tokenizers differ in: rare words, digits, capitals,
# punctuation, accents, code. About 8 and 72 tokens in most vocabularies.
_SHORT: Final = "Read this note: it is over."
_LONG: Final = (
    "Read this note: on 17 March 2024, at 09:45, Ms. O'Donnell-Müller re-catalogued 1,386 "
    "pteridophyte specimens (≈ 4.7 kg) for the NATIONAL herbarium; her script, "
    "`for i in range(0x2F): print(i**2)`, misfiled Polypodium vulgare twice. Naïvely, she "
    "shrugged it off — nobody would notice: it is over."
)


@dataclass(frozen=True, slots=True)
class Preflight:
    """What the endpoint is like.

    Attributes:
        endpoint: The endpoint, its model chosen.
        stream: Whether answers are streamed.
        usage: Whether the server says how many tokens it counted.
        dialect: Which of the fields that not all servers take this one takes.
        overhead_tokens: Tokens that the server counts beyond those of the text: chat template and
            special tokens. None if it cannot be known.
        tokenizer_matches: Whether the server counts a text's tokens as the tokenizer does; None if
            it cannot be known.
        token_ratio: The server's tokens by the tokenizer's, for the same text.
        server: What the server calls itself, if it does.
        max_model_len: Longest context in tokens, where the server says so.
        waited_s: Seconds until the server had room for a first request.
        notes: What a reader of the report should know.
    """

    endpoint: Endpoint
    stream: bool
    usage: bool
    dialect: Dialect
    overhead_tokens: int | None = None
    tokenizer_matches: bool | None = None
    token_ratio: float | None = None
    server: str | None = None
    max_model_len: int | None = None
    waited_s: float = 0.0
    notes: tuple[str, ...] = ()


async def preflight(
    endpoint: Endpoint,
    *,
    stream: bool,
    timeout_s: float,
    wait_s: float = 0.0,
    tokenizer: Tokenizer | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> Preflight:
    """Find out whether ``endpoint`` answers, and how.

    Takes at most ``timeout_s + wait_s`` seconds and a few MiB, whatever the server does.

    Args:
        endpoint: Whom to ask. Without a model, the server's only one is chosen.
        stream: Whether the run will ask for streams.
        timeout_s: Seconds for all requests together.
        wait_s: Seconds to wait, beyond that, for a server that answers 429 or 503: one whose model
            is still loading.
        tokenizer: To compare the server's counts of tokens with.
        progress: Is told in a line what is being waited for.

    Raises:
        TargetError: It cannot be tested; says why and what to do.
    """
    session = Session(endpoint, timeout_s=timeout_s)
    return await _Inquiry(session, endpoint, stream, wait_s, progress).result(tokenizer)


class _Inquiry:
    """The questions to one endpoint, and what was learnt so far."""

    def __init__(
        self,
        session: Session,
        endpoint: Endpoint,
        stream: bool,
        wait_s: float,
        progress: Callable[[str], None],
    ) -> None:
        self._session = session
        self._endpoint = endpoint
        self._stream = stream
        self._wait_s = wait_s
        self._progress = progress
        self._dialect = Dialect()
        self._notes: list[str] = []

    async def result(self, tokenizer: Tokenizer | None) -> Preflight:
        model = None if self._endpoint.api == "infer" else await self._choose_model()
        if model is not None:
            self._endpoint = self._endpoint.with_model(model.name)
        reply = await self._agree()
        usage = reply.answer.prompt_tokens is not None
        if not usage:
            self._notes.append("the server does not say how many tokens it counted")
        found = Preflight(
            self._endpoint,
            self._stream,
            usage,
            self._dialect,
            server=_name(reply, model),
            max_model_len=model.max_model_len if model else None,
        )
        # How many tokens an image becomes is the model's secret: there is nothing to compare.
        if tokenizer is not None and usage and self._endpoint.api != "infer":
            found = await self._compare(found, reply, tokenizer)
        return replace(found, waited_s=self._session.paused_s, notes=tuple(self._notes))

    async def _choose_model(self) -> ListedModel | None:
        wanted, where = self._endpoint.model, self._endpoint.models_url
        reply = await self._patiently(self._session.models)
        if reply.status != 200:
            # A list is a courtesy, and some keys may not see it; the request itself will tell.
            if wanted is None or reply.status == 401 or 300 <= reply.status < 400:
                if reply.status not in {404, 405, 501}:
                    raise refused(reply, self._endpoint)
                raise RefusedError(
                    reply.status,
                    f"the server does not list its models ({said(reply)})",
                    where=where,
                    hint="Name the model; or is the address wrong?",
                )
            self._notes.append(f"the server does not list its models ({said(reply)})")
            return None
        return chosen_model(listed_models(reply), wanted, where=where)

    async def _agree(self) -> Reply:
        """The answer to a first request, with as many of the fields as the server takes."""
        while True:
            reply = await self._patiently(lambda: self._session.post(self._request(_SHORT)))
            if reply.status == 200:
                break
            if reply.status not in {400, 422} or not self._give_in(said(reply)):
                raise refused(reply, self._endpoint)
        if error := not_an_answer(reply):
            raise error
        return reply

    def _give_in(self, why: str) -> bool:
        """Leave out a field that the server may have refused; whether there was one left."""
        dialect = self._dialect
        if self._endpoint.api == "infer":
            return False
        if "max_completion_tokens" in why and dialect.max_tokens == "max_tokens":
            self._dialect = replace(dialect, max_tokens="max_completion_tokens")
        elif dialect.include_usage and self._stream and "stream_options" in why:
            self._dialect = replace(dialect, include_usage=False)
            self._notes.append(f"the server refuses stream_options ({why})")
        elif dialect.ignore_eos:
            self._dialect = replace(dialect, ignore_eos=False)
            self._notes.append(
                "the server refuses ignore_eos and min_tokens, so answers may be shorter than "
                f"asked for ({why})"
            )
        elif dialect.include_usage and self._stream:
            self._dialect = replace(dialect, include_usage=False)
            self._notes.append(f"the server refuses stream_options ({why})")
        else:
            return False
        return True

    async def _compare(self, found: Preflight, short: Reply, tokenizer: Tokenizer) -> Preflight:
        """``found`` with how the server's counts relate to the tokenizer's."""
        own_short, own_long = (
            len(tokenizer.encode(text, add_special_tokens=False)) for text in (_SHORT, _LONG)
        )
        first = short.answer.prompt_tokens
        try:
            reply = await self._patiently(lambda: self._session.post(self._request(_LONG)))
            if (
                error := refused(reply, self._endpoint)
                if reply.status != 200
                else not_an_answer(reply)
            ):
                raise error
        except TargetError as error:
            # The server did answer once: this is worth a note, not the run.
            self._notes.append(f"its tokens could not be compared with ours: {error.message}")
            return found
        second = reply.answer.prompt_tokens
        if first is None or second is None:
            return found
        ratio = (second - first) / (own_long - own_short)
        matches = second - first == own_long - own_short
        if not matches:
            self._notes.append(
                f"the server counts {ratio:.3g} tokens for each of the given tokenizer's: it is "
                "another model's, and prompt lengths are the server's"
            )
        return replace(
            found,
            overhead_tokens=max(0, round(first - ratio * own_short)),
            tokenizer_matches=matches,
            token_ratio=ratio,
        )

    def _request(self, text: str) -> Payload:
        return small_request(self._endpoint, text, stream=self._stream, dialect=self._dialect)

    async def _patiently(self, ask: Callable[[], Awaitable[Reply]]) -> Reply:
        """The reply to ``ask``, asked again while the server has no room and there is time."""
        pause = _FIRST_PAUSE_S
        while True:
            reply = await ask()
            if reply.status not in _BUSY:
                return reply
            left = self._wait_s - self._session.paused_s
            asked = reply.answer.retry_after_s
            wanted = pause if asked is None else max(asked, 0.05)
            pause = min(pause * 2, _LONGEST_PAUSE_S)
            if left <= 0 or wanted > left or reply.headers.get("x-should-retry") == "false":
                raise self._still_busy(reply)
            self._progress(f"the server has no room yet ({said(reply)}); waiting")
            await self._session.pause(wanted)

    def _still_busy(self, reply: Reply) -> RefusedError:
        error = refused(reply, self._endpoint)
        asked, waited_s = reply.answer.retry_after_s, self._session.paused_s
        waited = f"Waited {waited_s:.3g} s. " if waited_s > 0 else ""
        later = f" It says to come back in {asked:.3g} s." if asked is not None else ""
        hint = f"{waited}{error.hint}{later}".removesuffix(".")
        return RefusedError(reply.status, error.message, where=reply.url, hint=f"{hint}.")


def _name(reply: Reply, model: ListedModel | None) -> str | None:
    """What the server calls itself: who owns the model (``vllm``), and its ``Server`` header."""
    names = [model.owner if model else None, printable(reply.headers.get("server", ""))[:60]]
    return ", ".join(dict.fromkeys(name for name in names if name)) or None
