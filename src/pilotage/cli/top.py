"""``pilotage top``: what a running server does, slice by slice, live."""

from __future__ import annotations

import json
import os
import sys
import time
from collections import deque
from contextlib import closing
from datetime import UTC, datetime
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.live import Live

from pilotage.cli.terminal_keys import keys
from pilotage.cli.top_figures import Figures
from pilotage.cli.top_view import History, draw
from pilotage.cli.top_watch import Looking, Moment, Watch
from pilotage.errors import UsageError
from pilotage.units import format_duration, parse_duration

MIN_INTERVAL_S = 0.1
MAX_INTERVAL_S = 3600.0
_QUIT = frozenset("qQ\x03\x04")


def top(
    *,
    url: Annotated[str, typer.Option(help="The server.")] = "http://127.0.0.1:8000",
    interval: Annotated[str, typer.Option(help="Time between two looks.")] = "1s",
    once: Annotated[bool, typer.Option("--once", help="Look over one interval, then end.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print a JSON object a look instead of drawing.")
    ] = False,
    key_env: Annotated[
        str, typer.Option(help="The environment variable that holds the API key.")
    ] = "PILOTAGE_API_KEY",
) -> None:
    """Watch a running server: use, memory, queue, tokens and times, one block a device slice."""
    seconds = _interval(interval)
    key = os.environ.get(key_env, "").strip() or None
    with closing(Watch(url, key=key, key_name=key_env)) as watch:
        if once:
            _show_once(watch, url, seconds, as_json=as_json)
        elif as_json or not sys.stdout.isatty():
            _print_on(watch, url, seconds, as_json=as_json)
        else:
            _live(watch, url, seconds)


def _interval(text: str) -> float:
    try:
        seconds = parse_duration(text)
    except ValueError as error:
        raise UsageError(str(error), where="--interval") from None
    if not MIN_INTERVAL_S <= seconds <= MAX_INTERVAL_S:
        raise UsageError(
            f"{text} is not a time from 100ms to 1h", where="--interval", hint='Such as "1s"'
        )
    return seconds


def _show_once(watch: Watch, url: str, seconds: float, *, as_json: bool) -> None:
    history = History()
    moment = watch.look()
    for last in (False, True):
        if moment.error is not None:
            raise moment.error
        if not last:
            time.sleep(seconds)
            moment = watch.look()
    if moment.figures is not None:
        history.add(moment.figures)
    _print(moment, history, url, as_json=as_json)


def _print_on(watch: Watch, url: str, seconds: float, *, as_json: bool) -> None:
    """One view or JSON line a look; the first has no rates and is left out."""
    history = History()
    try:
        while True:
            began = time.monotonic()
            moment = watch.look()
            if moment.final and moment.error is not None:
                raise moment.error
            if moment.figures is None or moment.figures.interval_s is not None:
                if moment.figures is not None:
                    history.add(moment.figures)
                _print(moment, history, url, as_json=as_json)
            time.sleep(max(0.0, began + seconds - time.monotonic()))
    except KeyboardInterrupt:
        raise typer.Exit(0) from None
    except BrokenPipeError:  # the reader has left, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(0) from None


def _print(moment: Moment, history: History, url: str, *, as_json: bool) -> None:
    if as_json:
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        what = {"at": now, **_built(moment.figures)}
        if moment.error is not None:
            what["error"] = moment.error.as_dict()
        typer.echo(json.dumps(what))
        return
    console = Console(highlight=False)
    console.print(
        draw(
            moment.figures,
            history,
            url=url,
            width=console.width,
            trouble=None if moment.error is None else str(moment.error),
        )
    )


def _built(figures: Figures | None) -> dict[str, object]:
    return {} if figures is None else msgspec.to_builtins(figures, str_keys=True)


def _live(watch: Watch, url: str, seconds: float) -> None:
    """Redraw at each look and each change of the terminal's size, until a key ends it."""
    console = Console(highlight=False)
    history = History()
    arrived: deque[Moment] = deque()
    figures: Figures | None = None
    reached = time.monotonic()
    trouble: str | None = "waiting for the first look"
    with keys() as pressed:

        def tell(moment: Moment) -> None:
            arrived.append(moment)
            pressed.wake()

        looking = Looking(watch, seconds, tell)
        failed = None
        try:
            with Live(console=console, screen=True, auto_refresh=False) as live:
                looking.start()
                while True:
                    while arrived:
                        moment = arrived.popleft()
                        if moment.figures is not None:
                            figures, trouble, reached = moment.figures, None, moment.at
                            history.add(figures)
                        elif moment.error is not None and moment.final and figures is None:
                            failed = moment.error
                        elif moment.error is not None:
                            gone = format_duration(max(0.0, moment.at - reached), digits=2)
                            trouble = f"{moment.error.message}; since {gone}, asking again"
                    if failed is not None:
                        break
                    live.update(
                        draw(
                            figures,
                            history,
                            url=url,
                            width=console.width,
                            trouble=trouble,
                            keys=pressed.listening,
                        ),
                        refresh=True,
                    )
                    # A second is how late a new size of the terminal may be seen.
                    if _QUIT.intersection(pressed.wait(1.0)):
                        break
        finally:
            looking.stop()
            looking.join(0.1)
    if failed is not None:
        raise failed
