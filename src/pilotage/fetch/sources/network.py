"""How the sources over HTTP use the network: one set of bounds for all their calls."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from pilotage.fetch.http import Allowance, Guard, HttpClient, Timeouts
from pilotage.fetch.manifest import Manifest
from pilotage.fetch.origin import Origin
from pilotage.fetch.progress import ProgressListener
from pilotage.fetch.retry import Retry, RetryPolicy
from pilotage.fetch.transfer import TransferFolder, TransferOptions, download

_JOURNAL = "journal"


@dataclass(frozen=True, slots=True)
class Network:
    """Bounds of calls and transfers.

    Attributes:
        timeouts: Of a single call.
        retry: When to call again.
        transfer: Parts, threads, memory, stalls, the deadline.
    """

    timeouts: Timeouts = field(default_factory=Timeouts)
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    transfer: TransferOptions = field(default_factory=TransferOptions)

    def client(self, *, operators: str | None = None) -> HttpClient:
        """A client that may go to public addresses, and to what ``PILOTAGE_FETCH_ALLOW`` names.

        Args:
            operators: A host that the operator of this machine has named, and no URL from
                outside: it may be private, and may speak plain http.

        Raises:
            UsageError: The environment variable is malformed.
        """
        allowance = Allowance.from_environment()
        if operators is not None:
            allowance = allowance.also(operators)
        return HttpClient(
            Guard(allowance), timeouts=self.timeouts, connections=self.transfer.threads
        )

    def download(
        self,
        manifest: Manifest,
        origin: Origin,
        into: Path,
        scratch: Path,
        *,
        retry: Retry,
        progress: ProgressListener,
        journal: str = _JOURNAL,
    ) -> Manifest:
        """Transfer the files of `manifest`, going on where an earlier run stopped.

        Args:
            manifest: What to fetch.
            origin: Who has it.
            into: Where the files go.
            scratch: Where the journal is kept.
            retry: The policy at work.
            progress: Told how far it is.
            journal: Its name: two manifests that share a folder need two.

        Raises:
            SourceError: As `pilotage.fetch.transfer.download` does.
        """
        return download(
            manifest,
            origin,
            TransferFolder(into, scratch / journal),
            retry=retry,
            options=self.transfer,
            progress=progress,
        )
