"""The verbs of ``pilotage``, each imported when it is asked for.

A command that starts is a second of somebody's life, and of every process that a server consists
of: `pilotage keys` need not read what `pilotage plan` is made of.
"""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup

VERBS = {
    "fetch": "fetch.fetch",
    "compile": "compile.compile_model",
    "serve": "serve.serve",
    "prove": "prove.prove",
    "tracker": "tracker.tracker",
    "chat": "chat.chat",
    "top": "top.top",
    "devices": "devices.devices",
    "plan": "plan.app",
    "route": "route.app",
    "ship": "ship.app",
    "cache": "cache.app",
    "spec": "spec.app",
    "keys": "keys.app",
    "models": "models.app",
    "catalog": "catalog.app",
}
"""Every verb in the order of ``--help``: a module of `pilotage.cli` and what it is called there."""


class _Commands(MutableMapping[str, Any]):
    """Commands by name. Names are known from the start, a command when it is looked up."""

    def __init__(self) -> None:
        self._names = dict.fromkeys(VERBS)
        self._made: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name in self._names and name not in self._made:
            self._made[name] = _command(name)
        return self._made[name]

    def __setitem__(self, name: str, command: Any) -> None:
        self._names[name] = None
        self._made[name] = command

    def __delitem__(self, name: str) -> None:
        del self._names[name]
        self._made.pop(name, None)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


class VerbGroup(TyperGroup):
    """The group of all `VERBS`."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands = _Commands()


def _command(name: str) -> Any:
    module, _, attribute = VERBS[name].partition(".")
    verb = getattr(import_module(f"pilotage.cli.{module}"), attribute)
    alone = typer.Typer(rich_markup_mode=None)
    if isinstance(verb, typer.Typer):
        alone.add_typer(verb)
    else:
        alone.command(name)(verb)
    return typer.main.get_group(alone).commands[name]
