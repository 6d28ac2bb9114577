"""``pilotage plan`` is a verb with an argument, and a group: ``plan SPEC`` and ``plan check``."""

from __future__ import annotations

from typing import Any

from typer.core import TyperGroup

DEFAULT = "spec"
"""The command that everything which names none is for."""


class PlanGroup(TyperGroup):
    """Gives arguments that begin with no command's name to `DEFAULT`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """As ever, with the default command in front where none is named."""
        if not args or args[0] not in self.commands:
            args = [DEFAULT, *args]
        return super().parse_args(ctx, args)
