"""A process between the keeper and the engine's server, so that no engine outlives its keeper.

``python -m pilotage.serve.external.leash PROGRAM ARGUMENT...`` runs a program in its own process
group and ends with its exit code. When its standard input closes, which the death of whoever
started it does, however it died, the whole group is killed. It imports next to nothing: it stays
for as long as the engine runs.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import subprocess
import sys
from typing import Final

_PR_SET_PDEATHSIG: Final = 1
_NOT_STARTED: Final = 127


def _die_with_parent() -> None:
    """Runs in the child before the program does: the kernel kills it when the leash dies."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def main(argv: list[str]) -> int:
    """Run `argv`; the caller made this process the leader of its group."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # meant for the engine, which gets it too
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    ended, tell = os.pipe()
    os.set_blocking(tell, False)
    signal.set_wakeup_fd(tell)
    signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
    try:
        process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            preexec_fn=_before_the_program,  # noqa: PLW1509  this process has one thread
        )
    except OSError as error:
        sys.stderr.write(f"cannot run {argv[0]}: {error.strerror}\n")
        return _NOT_STARTED
    while process.poll() is None:
        ready, _, _ = select.select([0, ended], [], [], 1.0)
        if 0 in ready:  # nobody ever writes there: readable means closed
            os.killpg(0, signal.SIGKILL)
        if ended in ready:
            os.read(ended, 4096)
    code = process.returncode
    return code if code >= 0 else 128 - code


def _before_the_program() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    if sys.platform == "linux":
        _die_with_parent()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
