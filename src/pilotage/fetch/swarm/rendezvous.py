"""Where the nodes of a swarm find one another."""

from __future__ import annotations

from typing import Protocol

from pilotage.fetch.swarm.messages import Report, View


class UnreachableError(Exception):
    """The rendezvous does not answer; it may do so later."""


class Rendezvous(Protocol):
    """Takes reports and answers with views. Safe to use from many threads."""

    def sync(self, report: Report) -> View:
        """Report, and learn what is new; may wait for news for ``report.wait_s``.

        Raises:
            UnreachableError: There is no answer now.
            SourceError: It refuses this node.
        """
        ...
