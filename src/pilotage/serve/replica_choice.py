"""Which replica of a model runs a request: the emptiest, or one that knows the prompt."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

from pilotage.serve.active import ActiveGeneration
from pilotage.serve.admission import CompletionLengths
from pilotage.serve.models.affinity import PrefixAffinity, block_hashes
from pilotage.serve.models.replica import Replica

_QUIET_S: Final = 3.0
_BUSIER: Final = 0.25
"""Share of its slots by which a replica may be fuller than the emptiest one and still get the
prompts whose beginning it knows."""


class ReplicaChoice:
    """Chooses replicas, and remembers which prompts each has begun.

    Args:
        lengths: How long completions are.
    """

    def __init__(self, lengths: CompletionLengths) -> None:
        self._lengths = lengths
        self._affinity: PrefixAffinity[tuple[int, int]] = PrefixAffinity()

    def forget(self, replica: Replica) -> None:
        """Its cache is gone."""
        self._affinity.forget(replica_key(replica))

    def best(
        self,
        generation: ActiveGeneration,
        replicas: Sequence[Replica],
        now: float,
        closed: Collection[int],
    ) -> Replica | None:
        """The replica with most free slots, quiet ones last; None when no one has room.

        One that has the beginning of the prompt in its cache comes first, unless it is clearly
        busier.

        Args:
            generation: What is to be run.
            replicas: Where it could run.
            now: On the event loop's clock.
            closed: Workers that are others' turn.
        """
        asked = generation.request.worker
        best: Replica | None = None
        for replica in replicas:
            if (
                not replica.free_slots
                or not replica.takes(generation)
                or (asked is not None and asked != replica.worker)
                or replica.worker in closed
                or not replica.has_room(generation, self._lengths)
            ):
                continue
            if best is None or _rank(replica, now) < _rank(best, now):
                best = replica
        if best is None or len(replicas) == 1 or not best.info:
            return best
        if best.info.task != "generate":
            return best
        if generation.blocks is None:
            generation.blocks = block_hashes(generation.request.prompt_ids)
        best = self._with_prefix(generation, replicas, best, now, closed)
        self._affinity.given(generation.blocks, replica_key(best))
        return best

    def _with_prefix(
        self,
        generation: ActiveGeneration,
        replicas: Sequence[Replica],
        best: Replica,
        now: float,
        closed: Collection[int],
    ) -> Replica:
        """The replica that has the prompt's beginning, if it may be taken instead of `best`."""
        known = self._affinity.find(generation.blocks or ())
        if known is None or known == replica_key(best) or generation.request.worker is not None:
            return best
        for replica in replicas:
            if replica_key(replica) != known or not replica.free_slots or replica.worker in closed:
                continue
            quiet, load = _rank(replica, now)
            if (
                not quiet
                and load <= _rank(best, now)[1] + _BUSIER
                and replica.takes(generation)
                and replica.has_room(generation, self._lengths)
            ):
                return replica
        return best


def replica_key(replica: Replica) -> tuple[int, int]:
    """What tells the replicas of a model apart."""
    return replica.worker, replica.number


def _rank(replica: Replica, now: float) -> tuple[bool, float]:
    assert replica.info is not None
    return now - replica.last_sign > _QUIET_S, len(replica.held) / replica.info.max_num_seqs
