"""``pilotage chat``: a conversation in the terminal with any OpenAI-compatible server."""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from pilotage.cli.chat_client import ChatClient, Done, Text
from pilotage.cli.chat_errors import ChatError, printable
from pilotage.cli.chat_session import ChatSession
from pilotage.errors import PilotageError, UsageError

app = typer.Typer()

HELP = """\
/help           this list
/clear          forget the conversation
/system [TEXT]  set the system prompt; without TEXT, show it
/save FILE      write the conversation to FILE (.json, or Markdown)
/exit           leave, as Ctrl-D does
A \\ at the end of a line goes on in the next; // at the start says a / itself.
Ctrl-C stops an answer."""


@app.command()
def chat(
    *,
    url: Annotated[str, typer.Argument(help="The server.")] = "http://127.0.0.1:8000",
    model: Annotated[
        str | None, typer.Option(help="The model.", show_default="the first the server lists")
    ] = None,
    system: Annotated[str | None, typer.Option(help="The system prompt.")] = None,
    max_tokens: Annotated[
        int | None, typer.Option(min=1, help="The most tokens of one answer.")
    ] = None,
    temperature: Annotated[
        float | None, typer.Option(min=0, max=2, help="0 is always the likeliest token.")
    ] = None,
    key_env: Annotated[
        str, typer.Option(help="The environment variable that holds the API key.")
    ] = "PILOTAGE_API_KEY",
) -> None:
    """Talk to a model: in the terminal, or with one prompt on standard input."""
    key = os.environ.get(key_env, "").strip() or None
    parameters = {"max_tokens": max_tokens, "temperature": temperature}
    with contextlib.closing(ChatClient(url, key=key, key_name=key_env)) as client:
        session = ChatSession(
            client,
            model=model,
            system=system,
            parameters={name: value for name, value in parameters.items() if value is not None},
        )
        screen = Screen()
        if sys.stdin.isatty():
            Conversation(session, screen).run(client.base)
        else:
            _answer_standard_input(session, screen)


def _answer_standard_input(session: ChatSession, screen: Screen) -> None:
    try:
        prompt = sys.stdin.read().strip()
    except UnicodeDecodeError as error:
        raise UsageError(f"standard input is not {error.encoding} text") from None
    if not prompt:
        raise UsageError(
            "there is no prompt on standard input",
            hint="Pipe one in, or run `pilotage chat` in a terminal.",
        )
    try:
        screen.show_answer(session, prompt)
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


class Screen:
    """Where answers go: plain text to a pipe, a little colour to a terminal.

    In a pipe, standard output holds the answer and nothing else.
    """

    def __init__(self) -> None:
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="replace")  # an emoji is no reason to fail
        self._terminal = sys.stdout.isatty()
        self._aside = Console(stderr=not self._terminal, soft_wrap=True)

    def show_answer(self, session: ChatSession, prompt: str) -> None:
        """Ask, and write the answer as it arrives.

        Raises:
            ChatError: No answer, or not all of one; what arrived is on the screen.
        """
        line_open = False
        try:
            with contextlib.closing(session.ask(prompt)) as events:
                for event in events:
                    if isinstance(event, Text):
                        self._write(event.text)
                        line_open = not event.text.endswith("\n")
                    elif isinstance(event, Done):
                        self._write("\n" if line_open else "")
                        line_open = False
                        if self._terminal:
                            self.note(_footer(event))
                    else:
                        self.note(event.text)
        finally:
            if line_open:
                self._write("\n")

    def say(self, text: str) -> None:
        """Write a line of the program's own."""
        self._aside.print(printable(text), markup=False, highlight=False)

    def note(self, text: str) -> None:
        """Write a line of the program's own, in the background."""
        self._aside.print(printable(text), style="dim", markup=False, highlight=False)

    def complain(self, error: PilotageError) -> None:
        """Write an error, in one line."""
        self._aside.print(printable(str(error)), style="red", markup=False, highlight=False)

    def ask(self) -> str:
        """What the user types, lines that end in a backslash joined.

        Raises:
            EOFError: The user wants to leave (Ctrl-D).
        """
        line = self._line("> ")
        lines = [line]
        while line.endswith("\\"):
            line = self._line(". ")
            lines.append(line)
        return "\n".join(line.removesuffix("\\") for line in lines).strip()

    def _line(self, prompt: str) -> str:
        if not self._terminal:
            self._aside.print(prompt, end="", markup=False, highlight=False)
        try:
            return input(prompt if self._terminal else "")
        except UnicodeDecodeError as error:
            raise UsageError(f"that is not {error.encoding} text") from None

    def _write(self, text: str) -> None:
        if self._terminal:
            text = printable(text)
        sys.stdout.write(text)
        sys.stdout.flush()


class Conversation:
    """The loop at the keyboard: messages, commands, and errors that do not end it."""

    def __init__(self, session: ChatSession, screen: Screen) -> None:
        self._session = session
        self._screen = screen

    def run(self, where: str) -> None:
        """Talk until the user leaves.

        Raises:
            ChatError: At the start, the server does not answer.
        """
        with contextlib.suppress(ImportError):
            import readline  # noqa: F401, PLC0415 - gives input() its line editing and history
        self._screen.say(f"{self._session.model} at {where}. /help lists the commands.")
        while True:
            try:
                said = self._screen.ask()
                if said == "/exit":
                    return
                if said.startswith("/") and not said.startswith("//"):
                    self._command(*said.partition(" ")[::2])
                elif said:
                    self._screen.show_answer(self._session, said.removeprefix("/"))
            except EOFError:
                self._screen.say("")
                return
            except KeyboardInterrupt:
                self._screen.say("")
            except (ChatError, UsageError) as error:
                self._screen.complain(error)

    def _command(self, name: str, argument: str) -> None:
        argument = argument.strip()
        if name == "/help":
            self._screen.say(HELP)
        elif name == "/clear":
            self._session.turns.clear()
            self._screen.note("Forgotten.")
        elif name == "/system":
            self._session.system = argument or self._session.system
            self._screen.note(f"System prompt: {self._session.system or 'none'}")
        elif name == "/save":
            self._save(argument)
        else:
            raise UsageError(f"there is no command {name}", hint="/help lists them.")

    def _save(self, file: str) -> None:
        if not file:
            raise UsageError("/save needs a file's name")
        messages = self._session.messages()
        if file.endswith(".json"):
            content = json.dumps(messages, indent=2, ensure_ascii=False) + "\n"
        else:
            content = "\n".join(f"**{m['role']}**\n\n{m['content']}\n" for m in messages)
        try:
            path = Path(file).expanduser()
        except RuntimeError as error:  # "~nobody"
            raise UsageError("there is no such user's home folder", where=file) from error
        try:
            with path.open("x", encoding="utf-8", errors="replace") as opened:
                opened.write(content)
        except FileExistsError:
            raise UsageError("this file is there already", where=file) from None
        except OSError as error:
            raise UsageError(f"cannot be written ({error.strerror})", where=file) from None
        self._screen.note(f"{len(messages)} messages are in {path}.")


def _footer(done: Done) -> str:
    parts = []
    if done.prompt_tokens is not None and done.completion_tokens is not None:
        parts.append(f"{done.prompt_tokens} + {done.completion_tokens} tokens")
    parts.append(f"first after {done.ttft_s * 1000:.0f} ms")
    if done.tokens_per_second is not None:
        parts.append(f"{done.tokens_per_second:.0f} tokens/s")
    if done.finish_reason == "length":
        parts.append("cut off at the token limit")
    return f"[{', '.join(parts)}]"
