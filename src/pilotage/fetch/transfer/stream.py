"""Reading the bytes of one task from the origin, watched."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, runtime_checkable

from pilotage.errors import PilotageError
from pilotage.fetch.origin import Body, Origin, TransientError
from pilotage.fetch.transfer.board import Board, StoppedError
from pilotage.fetch.transfer.job import Task


@runtime_checkable
class Cuttable(Protocol):
    """A `Body` that another thread can interrupt; bodies need not be one.

    A `readinto` that blocks in a system call is not woken by closing its descriptor, only by
    ``socket.shutdown`` (urllib3: ``HTTPResponse.shutdown``), so the body has to do it itself.
    A body without `cut` is left behind together with its thread, see `Receiver.watch`.
    """

    def cut(self) -> None:
        """Make a `readinto` that blocks in another thread raise or return 0, soon."""
        ...


def pump(
    board: Board, origin: Origin, task: Task, buffer: memoryview, sink: Callable[[memoryview], None]
) -> None:
    """Read what is missing of `task` and hand it to `sink`, a buffer at a time, in order.

    What arrived before a failure is handed over first.

    Raises:
        TransientError: The bytes stopped before the task's end.
        SourceError: It will not go well.
        StoppedError: The transfer ends, or the task was revoked.
    """
    task.stalled_s = 0.0
    task.hear()
    try:
        with origin.read(task.job.file, task.position, task.stop) as body:
            task.body = body
            _read(board, body, task, buffer, sink)
    except (PilotageError, _SinkError) as error:
        _ended(board, task)
        if isinstance(error, _SinkError):
            raise error.error from None
        if task.stalled_s:
            raise _silent(task, origin) from error
        raise
    except Exception as error:
        # A body that was cut from outside fails in its own way, and so may an origin's socket.
        _ended(board, task)
        if task.stalled_s:
            raise _silent(task, origin) from error
        if isinstance(error, (OSError, EOFError)):
            raise TransientError(
                f"{task.job.file.path}: the connection broke ({type(error).__name__})",
                where=origin.name,
            ) from error
        raise
    finally:
        task.body = None
        task.heard = None


def _read(
    board: Board, body: Body, task: Task, buffer: memoryview, sink: Callable[[memoryview], None]
) -> None:
    left = task.stop - task.position
    filled = 0
    while left > filled:
        room = min(len(buffer), left) - filled
        try:
            _ended(board, task)
            count = body.readinto(buffer[filled : filled + room])
        except BaseException:
            _hand_over(task, buffer[:filled], sink)
            raise
        if not 0 < count <= room:
            _hand_over(task, buffer[:filled], sink)
            raise TransientError(
                f"{task.job.file.path}: the origin ended after {task.position - task.start:,} of "
                f"{task.stop - task.start:,} bytes of a part"
            )
        task.hear()
        filled += count
        if filled in {len(buffer), left}:
            _hand_over(task, buffer[:filled], sink)
            left -= filled
            filled = 0


def _hand_over(task: Task, data: memoryview, sink: Callable[[memoryview], None]) -> None:
    if not data:
        return
    task.heard = None
    try:
        sink(data)
    except Exception as error:
        raise _SinkError(error) from error
    task.hear()


def _ended(board: Board, task: Task) -> None:
    board.going()
    if task.revoked:
        raise StoppedError


def _silent(task: Task, origin: Origin) -> TransientError:
    return TransientError(
        f"{task.job.file.path}: no byte came for {task.stalled_s:g} s", where=origin.name
    )


class _SinkError(Exception):
    """An error of this side, not to be taken for one of the origin."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error
