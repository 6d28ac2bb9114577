"""`apply` in a process of its own that is killed at one step: for the tests of interruption.

``python interrupted_apply.py FOLDER PORT WHAT``: at the first note of WHAT; when asked for "agree".
"""

import os
import signal
import sys
from pathlib import Path

from local_shipments import rendered, shipment

from pilotage.ship.lifecycle import Note
from pilotage.ship.lifecycle.difference import Difference
from pilotage.ship.targets.local.lifecycle import LocalLifecycle


def main(folder: str, port: str, step: str) -> None:
    def die_at(what: str | None) -> None:
        if what == step:
            os.kill(os.getpid(), signal.SIGKILL)

    def say(note: Note) -> None:
        die_at(note.what)

    def agree(_: Difference) -> bool:
        die_at("agree")
        return True

    where = shipment(Path(folder), port=int(port))
    LocalLifecycle().apply(where, rendered(int(port), says="anew"), agree=agree, say=say)


if __name__ == "__main__":
    main(*sys.argv[1:])
