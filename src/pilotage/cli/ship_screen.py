"""How differences, progress and states look on a terminal, and as JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import typer
from rich.console import Console
from rich.status import Status
from rich.text import Text

from pilotage.errors import UsageError

if TYPE_CHECKING:
    from pilotage.ship.lifecycle import Destroyed, Difference, Note
    from pilotage.ship.lifecycle import Status as ShipStatus
    from pilotage.ship.target import Rendered

_MARKS: Final = {
    "add": ("+", "green"),
    "change": ("~", "yellow"),
    "replace": ("±", "bold red"),
    "maybe-replace": ("±", "red"),
    "remove": ("-", "bold red"),
}
_WORDS: Final = {
    "add": "",
    "change": "changes in place",
    "replace": "IS REPLACED: made anew, the old one deleted",
    "maybe-replace": "MAY BE REPLACED: only the platform will know",
    "remove": "IS REMOVED",
}


def output() -> Console:
    """Where results go."""
    return Console(highlight=False, soft_wrap=True)


def errors() -> Console:
    """Where progress, questions and warnings go."""
    return Console(stderr=True, highlight=False, soft_wrap=True)


def print_json(value: Any) -> None:
    """JSON on the standard output."""
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False, default=str))


def show_difference(console: Console, difference: Difference) -> None:
    """One line a change; what is lost is red, and counted at the end."""
    if difference.empty:
        console.print(f"{difference.where}: nothing changes")
    else:
        console.print(f"{difference.where}{' (new)' if difference.new else ''}:")
    for one in difference.changes:
        mark, style = _MARKS[one.action]
        line = Text(f"  {mark} {one.name}", style=style)
        line.append(f"  {one.type}", style="dim")
        words = "; ".join(part for part in (_WORDS[one.action], ", ".join(one.fields)) if part)
        if words:
            line.append(f"  {words}", style=style)
        console.print(line)
    for note in difference.notes:
        console.print(Text(f"  {note}", style="yellow"))
    if difference.replaced:
        count = len(difference.replaced)
        console.print(
            Text(f"{count} of {len(difference.changes)} lose what they hold.", style="bold red")
        )


def show_remarks(console: Console, rendered: Rendered) -> None:
    """What the reviewer should know, and what is dangerous."""
    for warning in rendered.warnings:
        console.print(Text("warning: ", style="bold yellow") + Text(warning))
    for note in rendered.notes:
        console.print(Text(f"note: {note}", style="dim"))


def show_status(console: Console, status: ShipStatus) -> None:
    """What is there, in a few lines."""
    bad = "FAILED" in status.state or "ROLLBACK" in status.state
    console.print(Text(f"{status.name}: ") + Text(status.state, style="bold red" if bad else ""))
    if status.address:
        console.print(f"  address: {status.address}")
    if (replicas := status.replicas) is not None:
        healthy = "" if replicas.healthy is None else f", {replicas.healthy} healthy"
        console.print(f"  replicas: {replicas.running} of {replicas.desired} run{healthy}")
    if status.since is not None:
        console.print(f"  since: {status.since:%Y-%m-%d %H:%M %Z}")
    for name, value in status.outputs.items():
        console.print(f"  {name}: {value}")
    for detail in status.details:
        console.print(Text(f"  {detail}", style="yellow"))


def show_destroyed(console: Console, done: Destroyed, usd: float | None) -> None:
    """What is left, and what it cost."""
    console.print(
        f"{done.name} is gone." if done.existed else f"{done.name}: there is nothing to destroy."
    )
    if done.hours is not None:
        cost = "" if usd is None else f", about {usd:,.2f} USD at list prices"
        console.print(f"It was there for {done.hours:.1f} h{cost}.")
    if done.leftovers:
        console.print("Left, since it holds what may be wanted:")
    for one in done.leftovers:
        cost = "" if one.usd_per_month is None else f", {one.usd_per_month:.2f} USD/month"
        size = "" if one.size_bytes is None else f", {one.size_bytes:,} bytes"
        console.print(f"  {one.type} {one.id}{size}{cost}")
        if one.remove:
            console.print(Text(f"    {one.remove}", style="dim"))


class Progress:
    """Says notes on the standard error: JSON lines, or lines below which a spinner turns."""

    def __init__(self, spinner: Status | None, console: Console) -> None:
        self._spinner = spinner
        self._console = console

    def __call__(self, note: Note) -> None:
        """Say a note."""
        if self._spinner is None:
            typer.echo(json.dumps(note.as_dict()), err=True)
            return
        words = " ".join(part for part in (note.what, note.state, note.text) if part)
        style = "red" if note.bad else ""
        self._console.print(Text(f"{note.step:>10}  ", style="dim") + Text(words, style=style))
        self._spinner.update(Text(words[: max(20, self._console.width - 4)]))

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Without the spinner, while a question is asked."""
        if self._spinner is not None:
            self._spinner.stop()
        try:
            yield
        finally:
            if self._spinner is not None:
                self._spinner.start()


@contextmanager
def progress(*, as_json: bool) -> Iterator[Progress]:
    """Progress for as long as the work goes on."""
    console = errors()
    if as_json:
        yield Progress(None, console)
        return
    with console.status("…") as spinner:
        yield Progress(spinner, console)


def agreed(question: str, *, yes: bool) -> bool:
    """Whether it may be done.

    Raises:
        UsageError: Nobody is there to ask.
    """
    if yes:
        return True
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UsageError("nobody is there to ask", where="--yes", hint="Pass --yes to do it")
    return typer.confirm(question, err=True)
