"""``pilotage chat`` against a stand-in: a small server that speaks the wire format.

The stand-in picks its behaviour by the model's name. Talking to the real server is the
integration suite's part.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import pty
import re
import select
import signal
import socket
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from pilotage.cli.chat import app
from pilotage.cli.chat_client import ChatClient, Done, Text
from pilotage.cli.chat_errors import BusyError, ChatError, ContextExceededError
from pilotage.cli.chat_session import ChatSession, Notice
from pilotage.cli.sse import event_data
from pilotage.errors import UsageError

KEY = "plt_aaaaaaaa_secretsecretsecret"
CONTEXT_WORDS = 12


class StandIn:
    """What the stand-in was asked, and what it noticed."""

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []
        self.authorizations: list[str | None] = []
        self.gone = threading.Event()
        self.url = ""

    @property
    def last(self) -> dict[str, Any]:
        return self.requests[-1]


def error(status: int, message: str, code: str | None = None, **headers: str) -> JSONResponse:
    content = {"error": {"message": message, "type": "error", "param": None, "code": code}}
    return JSONResponse(
        content, status, headers={k.replace("_", "-"): v for k, v in headers.items()}
    )


def event(value: Any) -> str:
    return f"data: {json.dumps(value, ensure_ascii=False)}\n\n"


def delta(text: str | None = None, finish_reason: str | None = None) -> str:
    part = {} if text is None else {"content": text}
    choice = {"index": 0, "delta": part, "finish_reason": finish_reason}
    return event({"object": "chat.completion.chunk", "choices": [choice]})


def stand_in_app(seen: StandIn) -> FastAPI:
    served = FastAPI()

    @served.get("/v1/models")
    async def models() -> dict[str, Any]:
        return {"object": "list", "data": [{"id": "echo"}, {"id": "other"}]}

    @served.get("/empty/v1/models")
    async def no_models() -> dict[str, Any]:
        return {"object": "list", "data": []}

    @served.get("/web/v1/models")
    @served.post("/web/v1/chat/completions")
    async def page() -> PlainTextResponse:
        return PlainTextResponse("<html>Welcome</html>", media_type="text/html")

    @served.post("/v1/chat/completions")
    async def complete(request: Request) -> Response:
        body = await request.json()
        seen.requests.append(body)
        seen.authorizations.append(request.headers.get("authorization"))
        refused = refusal(body, seen)
        return refused or StreamingResponse(answer(body, seen), media_type="text/event-stream")

    return served


ANSWERING = {"echo", "slow", "drop", "drop-at-once", "fail", "steer", "cut", "no-done", "garbage"}
REFUSALS = {
    "busy-long": error(429, "the queue is full", retry_after="120"),
    "busy-silent": error(503, "loading\x1b[31m the model"),
    "strict": error(400, "temperature must be below 3."),
}


def refusal(body: dict[str, Any], seen: StandIn) -> Response | None:
    words = count_words(body)
    match body["model"]:
        case model if model in ANSWERING:
            return None
        case "keyed" if seen.authorizations[-1] != f"Bearer {KEY}":
            return error(401, "no or wrong key", "invalid_api_key")
        case "busy" | "busy-once" as model if model == "busy" or len(seen.requests) == 1:
            return error(429, "the queue is full", retry_after="0.05")
        case "small" if words > CONTEXT_WORDS:
            return error(400, f"{words} tokens", "context_length_exceeded")
        case "keyed" | "busy-once" | "small":
            return None
        case model:
            missing = error(404, f"no model {model}", "model_not_found")
            return REFUSALS.get(model, missing)


def count_words(body: dict[str, Any]) -> int:
    return sum(len(message["content"].split()) for message in body["messages"])


async def answer(body: dict[str, Any], seen: StandIn) -> AsyncIterator[str]:
    try:
        async for part in answer_parts(body["model"], body["messages"][-1]["content"]):
            yield part
        if body.get("stream_options", {}).get("include_usage"):
            said = len(body["messages"][-1]["content"].split())
            usage = {"prompt_tokens": count_words(body), "completion_tokens": said}
            yield event({"choices": [], "usage": usage})
        if body["model"] != "no-done":
            yield "data: [DONE]\n\n"
    finally:
        seen.gone.set()


async def answer_parts(model: str, said: str) -> AsyncIterator[str]:
    """The prompt again, word by word, and whatever the model is to do wrong."""
    if model == "drop-at-once":
        raise ConnectionResetError
    yield ": a comment\n\n"
    yield delta("")
    for piece in ["a\x1b[2Jb\x07c\x9bd"] if model == "steer" else re.findall(r"\s*\S+", said):
        yield delta("") if model == "garbage" else delta(piece)
        await asyncio.sleep(0.002)
    if model == "drop":
        raise ConnectionResetError
    if model == "fail":
        yield event({"error": {"message": "the worker died", "code": "worker_lost"}})
    if model == "garbage":
        yield "data: {\n\n"
    if model == "slow":
        await asyncio.sleep(20)
    yield delta(None, "length" if model == "cut" else "stop")


@pytest.fixture(scope="module")
def running() -> Iterator[StandIn]:
    seen = StandIn()
    listener = socket.create_server(("127.0.0.1", 0))
    seen.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    config = uvicorn.Config(
        stand_in_app(seen), log_config=None, ws="none", lifespan="off", timeout_graceful_shutdown=1
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    yield seen
    server.should_exit = True
    thread.join()
    listener.close()


@pytest.fixture
def server(running: StandIn) -> StandIn:
    running.requests.clear()
    running.authorizations.clear()
    running.gone.clear()
    return running


@contextlib.contextmanager
def session(url: str, model: str | None = "echo", key: str | None = None, **options: Any):
    client = ChatClient(url, key=key, key_name="MY_KEY")
    with contextlib.closing(client):
        yield ChatSession(client, model=model, **options)


def text_of(events: list[Any]) -> str:
    return "".join(event.text for event in events if isinstance(event, Text))


# --- the stream -------------------------------------------------------------------------------


@given(
    data=st.lists(st.text(st.characters(exclude_categories=["Cs"])), max_size=8),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
    cut=st.randoms(use_true_random=False),
)
@settings(max_examples=80, deadline=None)
def test_events_survive_any_cutting(data: list[str], end: str, cut: Any) -> None:
    data = [re.sub(r"[\r\n]", " ", text) for text in data]
    blocks = [f": hi{end}event: x{end}data: {text}{end}{end}" for text in data]
    raw = "".join(blocks).encode()
    chunks = []
    while raw:
        size = cut.randint(1, len(raw))
        chunks.append(raw[:size])
        raw = raw[size:]
    assert list(event_data(chunks)) == data


def test_an_event_of_several_lines_is_one_and_an_unfinished_one_is_none() -> None:
    assert list(event_data([b"data: a\ndata:b\n\ndata: half"])) == ["a\nb"]
    assert list(event_data([b"data: a\r", b"\n\r", b"\ndata: b\r\r"])) == ["a", "b"]
    assert list(event_data([b"\xef\xbb\xbfdata: a\n\n"])) == ["a"]


# --- the conversation -------------------------------------------------------------------------


def test_an_answer_is_streamed_counted_and_remembered(server: StandIn) -> None:
    with session(
        server.url, system="Be brief.", parameters={"max_tokens": 9, "temperature": 0.0}
    ) as chat:
        events = list(chat.ask("one two three"))
        assert text_of(events) == "one two three"
        done = events[-1]
        assert isinstance(done, Done)
        assert (done.prompt_tokens, done.completion_tokens) == (5, 3)
        assert done.finish_reason == "stop"
        assert 0 < done.ttft_s < 5
        assert done.tokens_per_second == pytest.approx(2 / done.decode_s)
        list(chat.ask("four"))
        assert server.last["messages"] == [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "one two three"},
            {"role": "assistant", "content": "one two three"},
            {"role": "user", "content": "four"},
        ]
        assert server.last["max_tokens"] == 9
        assert server.last["temperature"] == 0.0


def test_the_first_listed_model_is_taken(server: StandIn) -> None:
    with session(server.url + "/v1/", model=None) as chat:
        assert chat.model == "echo"
    with (
        session(server.url + "/empty", model=None) as chat,
        pytest.raises(ChatError, match="has no model"),
    ):
        list(chat.ask("hello"))


def test_text_that_is_hard_to_carry_arrives_whole(server: StandIn) -> None:
    text = "naïve\u2028日本語\x85🙂 [bold]x[/]"
    with session(server.url) as chat:
        assert text_of(list(chat.ask(text))) == text


def test_a_server_that_never_says_done_has_finished_all_the_same(server: StandIn) -> None:
    with session(server.url, "no-done") as chat:
        assert isinstance(list(chat.ask("one two"))[-1], Done)


def test_stopping_an_answer_closes_it_at_the_server_and_keeps_what_arrived(
    server: StandIn,
) -> None:
    with session(server.url, "slow") as chat:
        events = chat.ask("one two")
        assert isinstance(next(events), Text)
        events.close()
        assert chat.turns[-1] == {"role": "assistant", "content": "one"}
        assert server.gone.wait(5)
        chat._model = "echo"
        assert text_of(list(chat.ask("on we go"))) == "on we go"


def test_a_conversation_too_long_forgets_its_oldest_exchanges(server: StandIn) -> None:
    with session(server.url, "small") as chat:
        for text in ("a b", "c d", "e f"):
            list(chat.ask(text))
        events = list(chat.ask("g h i j k"))
        notices = [event for event in events if isinstance(event, Notice)]
        assert len(notices) == 2
        assert "forgot the oldest 2 messages" in notices[0].text
        assert text_of(events) == "g h i j k"
        assert [turn["content"] for turn in chat.turns] == ["e f", "e f", "g h i j k", "g h i j k"]
        with pytest.raises(ContextExceededError, match="20 tokens"):
            list(chat.ask("x " * 20))
        assert all("x" not in turn["content"] for turn in chat.turns)


def test_a_short_wait_is_waited_for_once(server: StandIn) -> None:
    with session(server.url, "busy-once") as chat:
        events = list(chat.ask("hello"))
        assert isinstance(events[0], Notice)
        assert "asking again in 0.05 s" in events[0].text
        assert text_of(events) == "hello"
    server.requests.clear()
    with session(server.url, "busy") as chat, pytest.raises(BusyError):
        list(chat.ask("hello"))
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("model", "says"),
    [
        ("busy-long", "429: the queue is full). Try again in 120 s."),
        ("busy-silent", "503: loading[31m the model). Try again later."),
        ("keyed", "wants an API key (401). Put yours into the environment variable MY_KEY."),
        ("nope", "no model 'nope'. It has echo, other; choose one with --model."),
        ("strict", "refused (400: temperature must be below 3)"),
        ("drop-at-once", "broke off before the answer was complete. Ask again."),
        ("garbage", "does not speak the OpenAI API"),
    ],
)
def test_a_refusal_says_what_to_do_and_takes_the_turn_back(
    server: StandIn, model: str, says: str
) -> None:
    with session(server.url, model) as chat:
        with pytest.raises(ChatError) as caught:
            list(chat.ask("hello"))
        assert says in str(caught.value)
        assert chat.turns == []


@pytest.mark.parametrize(
    ("model", "says"),
    [("drop", "broke off before the answer was complete"), ("fail", "gave up (the worker died)")],
)
def test_an_answer_broken_off_is_kept_as_far_as_it_came(
    server: StandIn, model: str, says: str
) -> None:
    with session(server.url, model) as chat:
        events = []
        with pytest.raises(ChatError) as caught:
            for event in chat.ask("one two"):
                events.append(event)
        assert says in str(caught.value)
        assert text_of(events) == "one two"
        assert chat.turns[-1] == {"role": "assistant", "content": "one two"}


def test_a_key_is_presented_and_never_shown(server: StandIn) -> None:
    with session(server.url, "keyed", key=KEY) as chat:
        list(chat.ask("hello"))
    assert server.authorizations == [f"Bearer {KEY}"]
    with session(server.url, "keyed", key=KEY + "x") as chat, pytest.raises(ChatError) as caught:
        list(chat.ask("hello"))
    assert "refused the API key in MY_KEY" in str(caught.value)
    assert KEY not in str(caught.value)


def test_what_is_not_there_or_is_no_such_server_is_said(server: StandIn) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{unused.getsockname()[1]}"
        with session(address) as chat, pytest.raises(ChatError, match="`pilotage serve`"):
            list(chat.ask("hello"))
    for model in (None, "echo"):
        with (
            session(server.url + "/web", model) as chat,
            pytest.raises(ChatError, match="does not speak the OpenAI API"),
        ):
            list(chat.ask("hello"))
    with session(server.url + "/nowhere") as chat, pytest.raises(ChatError, match="not speak"):
        list(chat.ask("hello"))


@pytest.mark.parametrize("url", ["ftp://x", "http://", "http://[::1", "", "http://u:secret@h:1"])
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(UsageError) as caught:
        ChatClient(url, key=None, key_name="MY_KEY")
    assert "secret" not in str(caught.value)


# --- piped ------------------------------------------------------------------------------------


def test_piped_standard_output_is_the_answer_and_nothing_else(server: StandIn) -> None:
    result = CliRunner().invoke(app, [server.url, "--system", "S"], input="one\ntwo [b]\n")
    assert result.exit_code == 0, result.output
    assert result.stdout == "one\ntwo [b]\n"
    assert server.last["messages"][0] == {"role": "system", "content": "S"}


def test_piped_notices_go_to_standard_error(server: StandIn) -> None:
    result = CliRunner().invoke(app, [server.url, "--model", "busy-once"], input="hello")
    assert result.stdout == "hello\n"
    assert "asking again" in result.stderr


@pytest.mark.parametrize("model", ["drop", "busy-long", "keyed", "nope"])
def test_piped_failure_is_an_error_with_exit_code_1(server: StandIn, model: str) -> None:
    result = CliRunner().invoke(app, [server.url, "--model", model], input="one two")
    assert isinstance(result.exception, ChatError)
    assert result.exception.exit_code == 1
    assert result.stdout == ("one two\n" if model == "drop" else "")


def test_the_key_comes_from_the_named_variable(
    server: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_KEY", KEY)
    monkeypatch.setenv("PILOTAGE_API_KEY", "another")
    args = [server.url, "--model", "keyed", "--key-env", "MY_KEY"]
    assert CliRunner().invoke(app, args, input="hello").stdout == "hello\n"


@pytest.mark.parametrize("given_input", [b"", b"  \n", b"\xff\xfe\x00"])
def test_a_prompt_that_is_none_is_refused(server: StandIn, given_input: bytes) -> None:
    result = CliRunner().invoke(app, [server.url], input=given_input)
    assert isinstance(result.exception, UsageError)
    assert not server.requests


# --- in a terminal ----------------------------------------------------------------------------


class Terminal:
    """``pilotage chat`` in a real pseudo-terminal."""

    def __init__(self, *args: str, cwd: Path) -> None:
        program = (
            "import fcntl, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); "
            "from pilotage.cli.chat import app; app(sys.argv[1:])"
        )
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 200, 0, 0))
        environment = {**os.environ, "TERM": "dumb", "PYTHONUTF8": "1", "HOME": str(cwd)}
        self.process = subprocess.Popen(
            [sys.executable, "-c", program, *args],
            stdin=slave, stdout=slave, stderr=slave, start_new_session=True, cwd=cwd,
            env=environment,
        )  # fmt: skip
        os.close(slave)
        self._unread = ""

    def type(self, text: str) -> None:
        os.write(self._master, text.encode())

    def expect(self, pattern: str, timeout_s: float = 20) -> str:
        """Read until the pattern is there; what was read up to its end."""
        deadline = time.monotonic() + timeout_s
        while not (match := re.search(pattern, self._unread)):
            left = deadline - time.monotonic()
            assert left > 0, f"no {pattern!r} in {self._unread!r}"
            if select.select([self._master], [], [], left)[0]:
                try:
                    self._unread += os.read(self._master, 65536).decode()
                except OSError:
                    raise AssertionError(f"ended without {pattern!r}: {self._unread!r}") from None
        read, self._unread = self._unread[: match.end()], self._unread[match.end() :]
        return read

    def interrupt(self) -> None:
        """Press Ctrl-C until a prompt comes.

        A signal that arrives just before Python blocks in a system call waits for the next one.
        """
        for _ in range(20):
            self.type("\x03")
            with contextlib.suppress(AssertionError):
                self.expect(r"> $", timeout_s=1)
                return
        raise AssertionError("Ctrl-C brought no prompt")

    def end(self) -> int:
        return self.process.wait(20)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
        os.close(self._master)


@pytest.fixture
def terminal(tmp_path: Path):
    opened: list[Terminal] = []

    def start(*args: str) -> Terminal:
        opened.append(Terminal(*args, cwd=tmp_path))
        return opened[-1]

    yield start
    for one in opened:
        one.close()


def test_a_conversation_in_the_terminal(server: StandIn, terminal, tmp_path: Path) -> None:
    screen = terminal(server.url)
    assert "echo at http" in screen.expect(r"> $")
    screen.type("hello there\n")
    said = screen.expect(r"> $")
    assert re.search(r"hello there\r\n\[2 \+ 2 tokens, first after \d+ ms, \d+ tokens/s\]", said), (
        said
    )
    screen.type("two \\\nlines\n")
    screen.expect(r"tokens/s\].*\n> $")
    assert server.last["messages"][-1]["content"] == "two \nlines"
    screen.type("//etc/hosts is a path\n")
    screen.expect(r"tokens/s\].*\n> $")
    assert server.last["messages"][-1]["content"] == "/etc/hosts is a path"
    screen.type("/system Be kind.\n")
    screen.expect("System prompt: Be kind.")
    screen.type("/save talk.md\n")
    screen.expect("7 messages are in talk.md")
    assert "**assistant**\n\nhello there\n" in (tmp_path / "talk.md").read_text()
    screen.type("/save talk.md\n")
    screen.expect("talk.md: this file is there already")
    screen.type("/save nowhere/talk.json\n")
    screen.expect("cannot be written")
    screen.type("/clear\n")
    screen.expect("Forgotten")
    screen.type("/save talk.json\n")
    screen.expect("1 messages")
    assert json.loads((tmp_path / "talk.json").read_text()) == [
        {"role": "system", "content": "Be kind."}
    ]
    screen.type("/help\n")
    screen.expect("Ctrl-C stops an answer")
    screen.type("/wat\n")
    screen.expect("no command /wat")
    screen.type("/exit\n")
    assert screen.end() == 0


@pytest.mark.slow  # signals to a real terminal program race with everything on a busy machine
def test_ctrl_c_stops_the_answer_and_ctrl_d_leaves(server: StandIn, terminal) -> None:
    screen = terminal(server.url, "--model", "slow")
    screen.expect(r"> $")
    screen.interrupt()
    screen.type("going on\n")
    screen.expect(r"on\r\ngoing on")
    screen.interrupt()
    assert server.gone.wait(5)
    screen.type("/save said.json\n")
    screen.expect(r"2 messages(.|\n)*> $")
    screen.type("\x04")
    assert screen.end() == 0


def test_errors_do_not_end_a_conversation_and_control_characters_do_not_pass(
    server: StandIn, terminal
) -> None:
    screen = terminal(server.url, "--model", "fail")
    screen.expect(r"> $")
    screen.type("one\n")
    screen.expect(r"gave up \(the worker died\)(.|\n)*> $")
    screen.type("two\n")
    screen.expect(r"gave up(.|\n)*> $")
    screen.type("/exit\n")
    assert screen.end() == 0
    screen = terminal(server.url, "--model", "cut")
    screen.expect(r"> $")
    screen.type("one two\n")
    screen.expect(r"cut off at the token limit\]\r\n> $")
    screen.type("\x04")
    assert screen.end() == 0
    screen = terminal(server.url, "--model", "steer")
    screen.expect(r"> $")
    screen.type("x\n")
    assert "a[2Jbcd" in screen.expect(r"first after(.|\n)*> $")
    screen.type("\x04")
    assert screen.end() == 0
