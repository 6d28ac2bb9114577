"""The timer fires once for every time that is set, never early."""

import asyncio
import sys
import time

import pytest
import uvloop

from pilotage.prove.client.clock import Timer, sleep_until


async def _fire(offsets: list[float]) -> list[float]:
    """How late (seconds) the timer fired for each of ``offsets`` from now, set one by one."""
    late: list[float] = []
    fired = asyncio.Event()
    timer = Timer(asyncio.get_running_loop(), fired.set)
    for offset in offsets:
        at = time.monotonic() + offset
        timer.arm(at)
        await asyncio.wait_for(fired.wait(), 5)
        late.append(time.monotonic() - at)
        fired.clear()
    timer.close()
    return late


@pytest.mark.parametrize("runner", [asyncio.run, uvloop.run])
def test_it_never_fires_early(runner) -> None:
    late = runner(_fire([0.0203, 0.0007, 0.0, -1.0, 0.0111]))
    assert min(late) >= 0


@pytest.mark.parametrize("runner", [asyncio.run, uvloop.run])
def test_a_sleep_never_ends_early(runner) -> None:
    async def sleeps() -> list[float]:
        late = []
        for offset in (-1.0, 0.0, *[0.0123] * 40):
            at = time.monotonic() + offset
            await sleep_until(at)
            late.append(time.monotonic() - at)
        return late

    assert min(runner(sleeps())) >= 0


def test_where_there_is_no_timer_file_the_loop_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert len(asyncio.run(_fire([0.01, -1.0, 0.002]))) == 3


def test_setting_it_anew_replaces_the_time() -> None:
    async def twice() -> int:
        fired = 0

        def count() -> None:
            nonlocal fired
            fired += 1

        timer = Timer(asyncio.get_running_loop(), count)
        timer.arm(time.monotonic() + 60)
        timer.arm(time.monotonic() + 0.01)
        await asyncio.sleep(0.1)
        timer.arm(time.monotonic() + 0.01)
        timer.close()
        await asyncio.sleep(0.05)
        return fired

    assert asyncio.run(twice()) == 1
