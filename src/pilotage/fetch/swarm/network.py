"""The network as a source uses it, with the swarm in the place of the plain transfer."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

from pilotage.fetch.manifest import FileEntry, Manifest
from pilotage.fetch.origin import NoRangesError, Origin
from pilotage.fetch.progress import ProgressListener
from pilotage.fetch.retry import Retry
from pilotage.fetch.sources.network import Network
from pilotage.fetch.swarm.layout import Layout
from pilotage.fetch.swarm.meeting import meeting
from pilotage.fetch.swarm.metainfo import ChunkRecord
from pilotage.fetch.swarm.node import SwarmNode
from pilotage.fetch.swarm.options import SwarmOptions
from pilotage.fetch.swarm.pull import allocate
from pilotage.fetch.swarm.verify import empty_entry, wrong_files
from pilotage.fetch.transfer import TransferFolder, download

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Shared:
    """What this machine can give to its peers once the model lies at its final place.

    Attributes:
        manifest: The files that were shared.
        records: Their chunks.
    """

    manifest: Manifest
    records: tuple[ChunkRecord, ...]


@dataclass(frozen=True, slots=True)
class SwarmNetwork(Network):
    """A network that has the bytes from peers, and from the origin where it must.

    Attributes:
        swarm: How this node takes part.
        say: Told, in one sentence, when something is not as it should be.
        shared: What has been shared so far; grows. The members stay in their swarms until
            `close`, so that others can finish meanwhile.
    """

    swarm: SwarmOptions = field(default_factory=SwarmOptions)
    say: Callable[[str], None] = _LOG.warning
    shared: list[Shared] = field(default_factory=list)
    members: ExitStack = field(default_factory=ExitStack)

    def download(
        self,
        manifest: Manifest,
        origin: Origin,
        into: Path,
        scratch: Path,
        *,
        retry: Retry,
        progress: ProgressListener,
        journal: str = "journal",
    ) -> Manifest:
        """Have the files of `manifest`, verified.

        Raises:
            SourceError: Neither peers nor origin have the bytes.
            ResourceError: The disk is full, or no port is free.
            UsageError: libtorrent is not installed, or an option is wrong.
        """

        def plainly(files: tuple[FileEntry, ...], name: str) -> Manifest:
            return download(
                replace(manifest, files=files),
                origin,
                TransferFolder(into, scratch / name),
                retry=retry,
                options=self.transfer,
                progress=progress,
            )

        if not any(file.size for file in manifest.files) or any(
            file.size is None for file in manifest.files
        ):
            self.say("The source does not tell its files' sizes, so they are not shared")
            return plainly(manifest.files, journal)
        try:
            arrived = self._together(manifest, origin, into, retry, progress)
        except NoRangesError:
            self.say("The origin has no ranges, so its files are fetched whole and not shared")
            return plainly(manifest.files, journal)
        if wrong := wrong_files(manifest, arrived.files):
            names = ", ".join(file.path for file in wrong[:5])
            self.say(f"What the swarm gave is not what was promised: {names}; asking the origin")
            # Whoever follows these piece hashes ends up where this node did.
            self.shared.clear()
            self.members.pop_all().close()
            for file in wrong:
                (into / file.path).unlink(missing_ok=True)
            mended = {f.path: f for f in plainly(tuple(wrong), f"{journal}.mended").files}
            arrived = replace(
                arrived, files=tuple(mended.get(file.path, file) for file in arrived.files)
            )
        return arrived

    def close(self) -> None:
        """Leave all swarms."""
        self.members.close()

    def _together(
        self,
        manifest: Manifest,
        origin: Origin,
        into: Path,
        retry: Retry,
        progress: ProgressListener,
    ) -> Manifest:
        layout = Layout.of(manifest)
        paths = [into / file.path for file in layout.files]
        for file in manifest.files:
            (into / file.path).unlink(missing_ok=True)
            allocate(into / file.path, file)
        with ExitStack() as stack:
            rendezvous = stack.enter_context(meeting(self.swarm))
            node = SwarmNode(layout, paths, rendezvous, self.swarm, say=self.say)
            stack.callback(node.close)
            hasher = node.fetch(origin, retry, progress)
            found = {file.path: file for file in hasher.finish()}
            for path in paths:
                _flush(path)
            self.shared.append(Shared(manifest, tuple(node.records.values())))
            self.members.push(stack.pop_all())
        return replace(
            manifest,
            files=tuple(found.get(file.path) or empty_entry(file) for file in manifest.files),
        )


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
