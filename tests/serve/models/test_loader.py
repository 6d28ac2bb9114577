"""The thread that opens and closes engines."""

import os
import select
import weakref

import pytest

from pilotage.devices import DeviceSlice
from pilotage.engines.config import EngineConfig
from pilotage.serve.models.loader import Closed, Failed, Loader, Opened

CPU = DeviceSlice(worker=0, kind="cpu", cores=(0,), memory_bytes=1 << 30)
CONFIG = EngineConfig(model="m", engine="openvino", path="/m", cache="/c", memory_bytes=1)


class StandInEngine:
    """An engine that holds nothing of its own."""


class ClosableEngine(StandInEngine):
    closed = 0

    def close(self) -> None:
        type(self).closed += 1


class StuckEngine(ClosableEngine):
    def close(self) -> None:
        super().close()
        raise RuntimeError("the device is gone")


@pytest.mark.parametrize("kind", [StandInEngine, ClosableEngine, StuckEngine])
def test_an_engine_is_closed_and_let_go_of(kind):
    kind.closed = 0
    woken, waker = os.pipe2(os.O_NONBLOCK)
    loader = Loader(lambda config, device: kind(), CPU, waker)

    def news():
        assert select.select([woken], [], [], 10)[0]
        os.read(woken, 64)
        (only,) = loader.news()
        return only

    try:
        loader.open(3, CONFIG)
        assert loader.coming() == [(3, "m")]
        opened = news()
        assert isinstance(opened, Opened)
        engine = weakref.ref(opened.engine)
        loader.close(3, opened.engine)
        del opened
        assert news() == Closed(3)
        if kind is not StuckEngine:  # whose failure stands in the captured log
            assert engine() is None
        assert kind.closed == (0 if kind is StandInEngine else 1)
    finally:
        os.close(woken)
        os.close(waker)


def test_whatever_a_library_raises_is_a_failure_to_load():
    woken, waker = os.pipe2(os.O_NONBLOCK)

    def open_engine(config, device):
        raise KeyError("weight")

    loader = Loader(open_engine, CPU, waker)
    try:
        loader.open(1, CONFIG)
        assert select.select([woken], [], [], 10)[0]
        (failed,) = loader.news()
        assert isinstance(failed, Failed)
        assert "could not open it: 'weight'" in str(failed.error)
        assert loader.coming() == []
    finally:
        os.close(woken)
        os.close(waker)
