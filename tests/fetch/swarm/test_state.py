from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from pilotage.fetch.swarm import state as state_module
from pilotage.fetch.swarm.messages import Report
from pilotage.fetch.swarm.metainfo import ChunkRecord
from pilotage.fetch.swarm.state import NODE_S, FullError, SwarmState

CHUNKS = 5
SWARM = "ab" * 32


def report(node: int, sequence: int, **fields) -> Report:
    return Report(
        swarm=SWARM,
        node=f"{node:08x}",
        chunks=CHUNKS,
        sequence=sequence,
        port=1000 + node,
        **fields,
    )


def record(chunk: int) -> ChunkRecord:
    return ChunkRecord(chunk, bytes([chunk]) * 20)


class Fleet(RuleBasedStateMachine):
    """Nodes that come, pull, pass on, and die; the tracker forgets everything now and then."""

    @initialize(quota=st.integers(1, 3))
    def begin(self, quota: int) -> None:
        self.quota = quota
        self.state = SwarmState(CHUNKS, quota=quota)
        self.now = 0.0
        self.sequence = 0
        self.have: dict[int, set[int]] = {}
        self.pulls = 0

    def _say(self, node: int, **fields):
        self.sequence += 1
        have = sorted(self.have.get(node, ()))
        sent = report(
            node, self.sequence, have=have, known=have, wants=len(have) < CHUNKS, **fields
        )
        self.state.take(sent, "10.0.0.1", self.now)
        return self.state.view(sent)

    @rule(node=st.integers(0, 4))
    def speak(self, node: int) -> None:
        self.have.setdefault(node, set())
        view = self._say(node)
        for lacking in view.lacks:
            self._say(node, announce=[record(lacking)])

    @rule(node=st.integers(0, 4))
    def pull(self, node: int) -> None:
        if node in self.have and (view := self._say(node)).grant is not None:
            self.have[node].add(view.grant)
            self.pulls += 1
            self._say(node, announce=[record(view.grant)])

    @rule(node=st.integers(0, 4), other=st.integers(0, 4))
    def pass_on(self, node: int, other: int) -> None:
        if node in self.have and other in self.have:
            self.have[other] |= {c for c in self.have[node] if c in self.state._records}

    @rule(node=st.integers(0, 4))
    def die(self, node: int) -> None:
        self.have.pop(node, None)
        self.now += NODE_S / 2

    @rule()
    def restart(self) -> None:
        self.state = SwarmState(CHUNKS, quota=self.quota)

    @invariant()
    def no_more_than_the_quota_pull(self) -> None:
        if hasattr(self, "state"):
            assert len(self.state.leases) <= self.quota
            assert len(set(self.state.leases.values())) == len(self.state.leases)

    def teardown(self) -> None:
        """Whatever happened, those who are left end up with everything."""
        if not getattr(self, "have", None):
            return
        for _ in range(6 * CHUNKS):
            self.now += 1
            for node in list(self.have):
                self.speak(node)
                self.pull(node)
                self.pass_on(node, next(iter(self.have)))
                self.pass_on(next(iter(self.have)), node)
        assert all(len(have) == CHUNKS for have in self.have.values())


Fleet.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestFleet = Fleet.TestCase


def test_the_lease_goes_round():
    state = SwarmState(CHUNKS)
    for node in range(3):
        state.take(report(node, 0, wants=True), "10.0.0.1", 0.0)
    order: list[str] = []
    have: dict[str, list[int]] = {}
    for turn in range(CHUNKS):
        ((chunk, holder),) = state.leases.items()
        order.append(holder)
        have.setdefault(holder, []).append(chunk)
        state.take(
            report(
                int(holder, 16),
                turn + 1,
                wants=True,
                have=have[holder],
                announce=[record(chunk)],
            ),
            "10.0.0.1",
            0.0,
        )
    assert len(set(order)) == 3
    assert max(map(order.count, order)) == 2
    assert not state.leases


def test_a_dead_holders_lease_goes_to_another():
    state = SwarmState(CHUNKS)
    state.take(report(1, 0, wants=True), "10.0.0.1", 0.0)
    state.take(report(2, 0, wants=True), "10.0.0.2", 1.0)
    assert state.leases == {0: "00000001"}
    state.take(report(2, 1, wants=True), "10.0.0.2", NODE_S + 0.5)
    assert state.leases == {0: "00000002"}


def test_who_cannot_pull_is_not_asked_again_for_that_chunk():
    state = SwarmState(CHUNKS)
    state.take(report(1, 0, wants=True), "10.0.0.1", 0.0)
    state.take(report(1, 1, wants=True, failed=0), "10.0.0.1", 0.0)
    assert state.leases == {1: "00000001"}


def test_a_report_that_was_overtaken_changes_nothing():
    state = SwarmState(CHUNKS)
    state.take(report(1, 5, wants=True, have=[0, 1]), "10.0.0.1", 0.0)
    state.take(report(1, 4, wants=True, have=[]), "10.0.0.1", 0.0)
    assert state.leases == {2: "00000001"}


def test_room_is_bounded(monkeypatch):
    monkeypatch.setattr(state_module, "MAX_NODES", 2)
    monkeypatch.setattr(state_module, "MAX_HASHES", 30)
    state = SwarmState(CHUNKS)
    state.take(report(1, 0), "10.0.0.1", 0.0)
    state.take(report(2, 0), "10.0.0.1", 0.0)
    with pytest.raises(FullError):
        state.take(report(3, 0), "10.0.0.1", 0.0)
    with pytest.raises(FullError):
        state.take(report(1, 1, announce=[record(0), record(1)]), "10.0.0.1", 0.0)
