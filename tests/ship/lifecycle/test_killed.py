"""Apply and destroy are killed (SIGKILL) at every step; run again, they end in the same state."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from aws_front import Front, quota
from life import state

RUNNER = Path(__file__).parent / "kill_runner.py"
CHANGES = {
    "CreateChangeSet",
    "ExecuteChangeSet",
    "DeleteChangeSet",
    "DeleteStack",
}
"""Requests that change something: the child is killed after each of them."""

Run = Callable[..., int]


@pytest.fixture(scope="module")
def run(whole_session: Front) -> Iterator[Run]:
    """Does a verb in a process, which is killed at a request if one is named."""
    _empty(whole_session)
    with subprocess.Popen(
        [sys.executable, str(RUNNER)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **whole_session.environment},
    ) as runner:
        assert runner.stdin is not None
        assert runner.stdout is not None
        assert runner.stdout.readline() == "ready\n"

        def job(verb: str, topic: str = "one", *, at: int = 0, when: str = "before") -> int:
            asked = {"verb": verb, "topic": topic, "at": at, "when": when}
            runner.stdin.write(json.dumps(asked) + "\n")
            runner.stdin.flush()
            return int(json.loads(runner.stdout.readline()))

        yield job
        runner.stdin.close()
        runner.wait(10)


def _empty(front: Front) -> None:
    front.reset()
    front.answers["GetServiceQuota"] = quota(256)


@pytest.mark.parametrize("verb", ["create", "update", "destroy"])
def test_killed_at_every_step_and_run_again(front: Front, run: Run, verb: str) -> None:
    def begin() -> None:
        _empty(front)
        if verb != "create":
            assert run("apply", "one") == 0
        front.asked.clear()

    topic = "two" if verb == "update" else "one"
    action = "destroy" if verb == "destroy" else "apply"
    begin()
    assert run(action, topic) == 0
    steps = front.actions()
    wanted = state()
    changing = [number for number, one in enumerate(steps, 1) if one in CHANGES]
    assert changing, steps
    # Right after each change (before the answer is read), before the first, and while it looks at
    # what came of the last.
    points = [(changing[0], "before"), *((number, "after") for number in changing)]
    points.append((len(steps), "before"))
    for at, when in points:
        begin()
        assert run(action, topic, at=at, when=when) == -9, (at, when)
        assert run(action, topic) == 0, (at, when, steps[at - 1])
        assert state() == wanted, (at, when, steps[at - 1])
