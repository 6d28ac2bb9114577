"""``pilotage prove --start``: the server of the spec, started for the test and timed."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from pilotage.errors import UsageError
from pilotage.prove.target.cold_start import measure_cold_start
from pilotage.prove.target.endpoint import Endpoint

_LONGEST_S = 1800.0


@contextlib.contextmanager
def started(
    spec: Path | None,
    deployment: str | None,
    endpoint: Endpoint,
    waiting: Callable[[str], None],
) -> Iterator[float]:
    """`pilotage serve` on ``spec`` (or the embedded model), answering; gives the seconds it took.

    Args:
        spec: The spec file; None for the embedded model.
        deployment: Which of the spec's, if it is a portfolio.
        endpoint: Where it is to answer, which must be on this machine.
        waiting: Is told what takes time.

    Raises:
        UsageError: The endpoint is another machine's.
        PilotageError: The server does not start.
    """
    if not endpoint.is_same_machine():
        raise UsageError(
            "only a server on this machine can be started, and the target is elsewhere",
            where="--start",
        )
    what = [str(spec)] if spec is not None else []
    what += ["--deployment", deployment] if deployment is not None else []
    command = [sys.executable, "-m", "pilotage.cli.main", "serve", *what]
    command += ["--port", str(endpoint.port), "--json"]
    waiting(f"starting pilotage serve {' '.join(what)}".rstrip())
    with measure_cold_start(command, endpoint, timeout_s=_LONGEST_S) as server:
        waiting(f"it answered after {server.seconds:.1f} s")
        yield server.seconds
