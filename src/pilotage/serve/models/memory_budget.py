"""Which models leave a worker so that another has room: those that were used least recently."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def choose_victims(
    *, budget: int, held: Mapping[str, int], needed: int, idle: Sequence[str]
) -> tuple[str, ...] | None:
    """The models to unload.

    They are taken from the least recently used on until there is room, and then those of them
    are spared whose memory is not needed after all (a small one before a big one).

    Args:
        budget: Bytes that all models of the worker may take.
        held: Bytes of each model there.
        needed: Bytes of the newcomer.
        idle: The models of `held` that nobody uses now, the least recently used first.

    Returns:
        The models, in the order in which to unload them; None when there is no room even without
        all idle ones.
    """
    short = sum(held.values()) + needed - budget
    victims: list[str] = []
    for model in idle:
        if short <= 0:
            break
        victims.append(model)
        short -= held[model]
    if short > 0:
        return None
    for model in tuple(reversed(victims)):
        if short + held[model] <= 0:
            victims.remove(model)
            short += held[model]
    return tuple(victims)
