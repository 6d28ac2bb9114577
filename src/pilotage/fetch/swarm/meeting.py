"""Which rendezvous the options name."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from pilotage.errors import PilotageError
from pilotage.fetch.swarm.folder import FolderRendezvous
from pilotage.fetch.swarm.options import SwarmOptions
from pilotage.fetch.swarm.rendezvous import Rendezvous
from pilotage.fetch.swarm.tracker import TrackerServer
from pilotage.fetch.swarm.tracker_client import TrackerRendezvous, tracker_urls


@contextmanager
def meeting(options: SwarmOptions) -> Iterator[Rendezvous]:
    """The tracker, else the peers in turn, else the folder.

    A fleet that is given by its addresses has no tracker of its own: every node plays one if its
    address is in the list, and all ask the first in the list that answers.

    Raises:
        UsageError: An address is malformed.
        SourceError: No name in the list has an address.
        StoreError: The folder is not there.
    """
    if options.tracker is not None:
        yield TrackerRendezvous([options.tracker], options.token)
    elif options.peers:
        urls = tracker_urls(options.peers)
        own = _own_tracker(urls, options)
        try:
            yield TrackerRendezvous(urls, options.token)
        finally:
            if own is not None:
                own.stop()
    else:
        yield FolderRendezvous(Path(str(options.folder)), quota=options.quota)


def _own_tracker(urls: tuple[str, ...], options: SwarmOptions) -> TrackerServer | None:
    """A tracker on the first of the addresses that is this machine's and free."""
    for url in urls:
        parts = urlsplit(url)
        try:
            return TrackerServer(
                str(parts.hostname),
                int(parts.port or 0),
                token=options.token,
                quota=options.quota,
            ).start()
        except PilotageError:
            continue  # another machine's address, or another process of this machine plays it
    return None
