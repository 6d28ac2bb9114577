"""Aliases: static names in front of models, moved and weighted while requests run."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Collection, Mapping
from fractions import Fraction

from pilotage.errors import UsageError
from pilotage.serve.control import AliasTarget

MAX_NAME_CHARS = 128
_PART = r"[A-Za-z0-9][A-Za-z0-9._:@+-]*"
_NAME = re.compile(rf"{_PART}(/{_PART})*")


class AliasTable:
    """The aliases of one server, for one thread: the event loop's.

    Setting an alias replaces it in one assignment: a request sees what was there before or what
    is there now, never a part of either.

    Args:
        targets: The aliases to begin with.
        models: The names of the models there are, now.

    Raises:
        UsageError: One of the aliases cannot be; see `set`.
    """

    def __init__(
        self,
        targets: Mapping[str, tuple[AliasTarget, ...]],
        models: Callable[[], Collection[str]],
    ) -> None:
        self._models = models
        self._rotations: dict[str, _Rotation] = {}
        for name, behind in targets.items():
            self.set(name, behind)

    def resolve(self, name: str) -> str | None:
        """The model that the next request for an alias goes to; None for no alias.

        Every call is a request: targets take turns by weight. With weights that sum to W in
        lowest terms, any W calls in a row hit each target exactly as often as its weight says,
        and at every moment a target is less than one call away from its share.
        """
        rotation = self._rotations.get(name)
        return None if rotation is None else rotation.turn()

    def peek(self, name: str) -> str | None:
        """What `resolve` would give; no target's turn is taken."""
        rotation = self._rotations.get(name)
        return None if rotation is None else rotation.targets[rotation.next()].model

    def set(self, name: str, targets: tuple[AliasTarget, ...]) -> None:
        """Make an alias, or move it; its targets' turns begin anew.

        Args:
            name: 1 to 128 letters, digits and ``._:@+-``, in parts between slashes that begin
                with a letter or digit.
            targets: At least one; each a model, none twice.

        Raises:
            UsageError: The name is ill-formed or a model's; a target is no model or an alias; a
                weight is no positive, finite number.
        """
        models = self._models()
        if len(name) > MAX_NAME_CHARS or not _NAME.fullmatch(name):
            raise UsageError(
                f"{name[:MAX_NAME_CHARS]!r} is no name for an alias",
                where="name",
                hint=f"It has 1 to {MAX_NAME_CHARS} letters, digits and ._:@+- between slashes.",
            )
        if name in models:
            raise UsageError(
                f"{name!r} is the name of a model, so no alias can have it", where="name"
            )
        if not targets:
            raise UsageError(
                f"the alias {name!r} has no target", where="targets", hint="Name a model."
            )
        for position, target in enumerate(targets):
            self._check(target, models, where=f"targets[{position}]")
            if any(target.model == before.model for before in targets[:position]):
                raise UsageError(
                    f"the model {target.model!r} is named twice",
                    where=f"targets[{position}].model",
                    hint="Give it once, with the sum of the weights.",
                )
        self._rotations = {**self._rotations, name: _Rotation(targets)}

    def remove(self, name: str) -> None:
        """Take an alias away.

        Raises:
            UsageError: There is none of that name.
        """
        if name not in self._rotations:
            raise UsageError(
                f"there is no alias {name[:MAX_NAME_CHARS]!r}",
                where="name",
                hint=_advice(name, self._rotations, "Aliases"),
            )
        self._rotations = {one: kept for one, kept in self._rotations.items() if one != name}

    def all(self) -> dict[str, tuple[AliasTarget, ...]]:
        """Every alias and what is behind it, in the order in which they were made."""
        return {name: rotation.targets for name, rotation in self._rotations.items()}

    def _check(self, target: AliasTarget, models: Collection[str], *, where: str) -> None:
        if target.model not in models:
            shown = target.model[:MAX_NAME_CHARS]
            if target.model in self._rotations:
                raise UsageError(
                    f"{shown!r} is an alias, and aliases point to models",
                    where=f"{where}.model",
                    hint=_advice("", models, "Models"),
                )
            raise UsageError(
                f"there is no model {shown!r}",
                where=f"{where}.model",
                hint=_advice(target.model, models, "Models"),
            )
        if not (math.isfinite(target.weight) and target.weight > 0):
            raise UsageError(
                f"the weight {target.weight:g} is no positive, finite number",
                where=f"{where}.weight",
            )


class _Rotation:
    """Targets that take turns by weight, exactly and as evenly as can be.

    Target i with the share w_i of W turns gets its j-th turn (from 0) in the window of turns
    from ⌊j·W/w_i⌋ to before ⌈(j+1)·W/w_i⌉; of all whose window is open, the one whose window
    closes first has the turn. This is Pfair scheduling on one processor, where serving the
    earliest deadline meets all of them (Baruah, Cohen, Plaxton and Varvel, "Proportionate
    progress", 1996). Whole numbers throughout, so nothing drifts.
    """

    def __init__(self, targets: tuple[AliasTarget, ...]) -> None:
        self.targets = targets
        # By way of the decimal digits, so that 0.9 and 0.1 are nine to one and not nearly so.
        weights = [Fraction(str(target.weight)) for target in targets]
        scale = math.lcm(*(weight.denominator for weight in weights))
        scaled = [int(weight * scale) for weight in weights]
        divisor = math.gcd(*scaled)
        self._shares = [share // divisor for share in scaled]
        self._period = sum(self._shares)
        self._had = [0] * len(targets)
        self._now = 0

    def next(self) -> int:
        """The place of the target whose turn it is."""
        period = self._period
        chosen, earliest = 0, -1
        for index, (had, share) in enumerate(zip(self._had, self._shares, strict=True)):
            if had * period // share <= self._now:
                closes = -(-(had + 1) * period // share)
                if earliest < 0 or closes < earliest:
                    chosen, earliest = index, closes
        return chosen

    def turn(self) -> str:
        """The model whose turn it is, which it takes."""
        chosen = self.next()
        self._had[chosen] += 1
        self._now += 1
        if self._now == self._period:  # all have had their share: the same from here on
            self._now = 0
            self._had = [0] * len(self._had)
        return self.targets[chosen].model


def _advice(name: str, known: Collection[str], kind: str) -> str:
    names = sorted(known)
    near = difflib.get_close_matches(name[:MAX_NAME_CHARS], names, n=1)
    meant = f"Did you mean {near[0]!r}? " if near else ""
    return f"{meant}{kind}: {', '.join(names) or 'none'}."
