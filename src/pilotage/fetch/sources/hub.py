"""``hf://owner/name[@revision][/pattern]``: a model of any hub that speaks the hub's protocol."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final
from urllib.parse import quote, unquote

from pilotage.errors import SourceError
from pilotage.fetch.http import Address, HttpOrigin
from pilotage.fetch.manifest import FileEntry, Manifest, checked_path
from pilotage.fetch.origin import Origin
from pilotage.fetch.pickles import check_not_pickled
from pilotage.fetch.progress import ProgressListener, unheard
from pilotage.fetch.remote_code import check_configs, may_name_code
from pilotage.fetch.retry import Retry
from pilotage.fetch.selection import Selection
from pilotage.fetch.sources import fragment
from pilotage.fetch.sources.hub_api import HubApi, endpoint_of_environment
from pilotage.fetch.sources.hub_token import HubToken
from pilotage.fetch.sources.network import Network

_PART: Final = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9_])?")
_REVISION: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._/+-]{0,199}")
_FORM: Final = "The form is hf://owner/name[@revision][/pattern]"


@dataclass(frozen=True, slots=True)
class HubSource:
    """A model of a hub: of the public one, or of the one that ``HF_ENDPOINT`` names.

    The hub is not part of the URI, and so not of the store's key: a mirror has the same commits.

    Attributes:
        repo: ``owner/name``.
        revision: A branch, a tag or a commit. The store keeps what a branch was when it was
            fetched; name a commit to be sure which one that is.
        selection: Which files.
        network: Bounds of calls and transfers.
    """

    repo: str
    revision: str = "main"
    selection: Selection = field(default_factory=Selection)
    network: Network = field(default_factory=Network, compare=False, repr=False)

    @staticmethod
    def parse(
        uri: str,
        *,
        revision: str | None = None,
        include: Sequence[str] = (),
        exclude: Sequence[str] = (),
        network: Network | None = None,
    ) -> HubSource:
        """Read the URI. A slash in a revision is written ``%2F`` there.

        Raises:
            SourceError: A part is missing, malformed, or named twice with different values.
            UsageError: A pattern is malformed.
        """
        bare, values = fragment.split(uri[len("hf://") :])
        where = f"hf://{bare.partition('?')[0][:200]}"
        if "?" in bare:
            raise SourceError(
                "an hf:// source has no query",
                where=where,
                hint="Tokens are set by HF_TOKEN, another hub by HF_ENDPOINT",
            )
        owner, _, rest = bare.partition("/")
        named, _, pattern = rest.partition("/")
        name, at, pinned = named.partition("@")
        pinned = unquote(pinned)
        for part in (owner, name):
            if not _PART.fullmatch(part) or ".." in part or "--" in part:
                raise SourceError(f"{part[:100]!r} is no owner or name", where=where, hint=_FORM)
        if pinned and revision is not None and revision != pinned:
            raise SourceError(
                f"the source names revision {pinned!r} and the revision says {revision!r}",
                where=where,
                hint="Name the revision once",
            )
        chosen = pinned or revision or ("" if at else "main")
        if not _REVISION.fullmatch(chosen) or ".." in chosen:
            raise SourceError(f"{chosen[:80]!r} is no revision", where=where, hint=_FORM)
        patterns = [unquote(pattern)] if pattern else []
        selection = fragment.selection(values, [*patterns, *include], exclude)
        fragment.refuse_unknown(values, where=where)
        return HubSource(f"{owner}/{name}", chosen, selection, network or Network())

    @property
    def uri(self) -> str:
        """``hf://owner/name@revision``, and the patterns if there are any."""
        chosen = fragment.joined(fragment.of_selection(self.selection))
        return f"hf://{self.repo}@{quote(self.revision, safe='')}{chosen}"

    @property
    def in_place(self) -> Path | None:
        """None: the files must be fetched."""
        return None

    def resolve(self) -> Manifest:
        """The commit, and its chosen files with sizes and digests; no call is made a file.

        Raises:
            SourceError: There is no such model, it is gated, a name is hostile, or there is
                nothing (or too much) to choose.
        """
        with self._calls() as (api, _):
            commit, gated = api.commit(self.revision)
            listed = api.tree(commit)
            by_path = {file.path: file for file in listed}
            for path in self.selection.narrowed(by_path):
                _check_name(path, self.uri)
            choice = self.selection.choose(list(by_path), where=self.uri)
            if gated:
                api.check_gate(commit, choice.paths[0])
        choice.tell(where=self.uri)
        return Manifest(self.uri, commit, tuple(by_path[path] for path in choice.paths))

    def fetch(
        self, manifest: Manifest, into: Path, scratch: Path, progress: ProgressListener
    ) -> Manifest:
        """Transfer the files; configurations first, so that remote code stops it there.

        Raises:
            SourceError: The bytes could not be had, or a configuration names remote code.
            IntegrityError: A file never verifies.
            ResourceError: The disk has not the room.
            StoreError: The folder cannot be used.
        """
        configs = tuple(file for file in manifest.files if may_name_code(file))
        rest = tuple(file for file in manifest.files if file not in configs)
        arrived: dict[str, FileEntry] = {}
        with self.opened(manifest) as (origin, retry):

            def transfer(
                files: tuple[FileEntry, ...], journal: str, listener: ProgressListener
            ) -> None:
                came = self.network.download(
                    replace(manifest, files=files),
                    origin,
                    into,
                    scratch,
                    retry=retry,
                    progress=listener,
                    journal=journal,
                )
                arrived.update({file.path: file for file in came.files})

            if configs:
                transfer(configs, "configs.journal", unheard if rest else progress)
                check_configs(configs, into, self.selection, where=self.uri)
            if rest:
                transfer(rest, "journal", _after(configs, progress))
                check_not_pickled(rest, into, self.selection, where=self.uri)
        return replace(manifest, files=tuple(arrived[file.path] for file in manifest.files))

    @contextmanager
    def opened(self, manifest: Manifest) -> Iterator[tuple[Origin, Retry]]:
        """Where the files' bytes come from; see `pilotage.fetch.sources.source.RangedSource`."""
        with self._calls() as (api, retry), api.explained(manifest.id):
            yield (
                HttpOrigin(
                    api.client,
                    lambda file: Address(api.file_url(manifest.id, file.path), api.headers),
                    name=api.endpoint.origin,
                ),
                retry,
            )

    @contextmanager
    def _calls(self) -> Iterator[tuple[HubApi, Retry]]:
        endpoint = endpoint_of_environment()
        retry = Retry(self.network.retry)
        with self.network.client(operators=endpoint.host) as client:
            token = HubToken.find()
            yield (
                HubApi(endpoint, self.repo, token, client=client, retry=retry, where=self.uri),
                retry,
            )


def _check_name(path: str, where: str) -> None:
    try:
        checked_path(path)
    except SourceError as error:
        error.where = where
        raise


def _after(files: tuple[FileEntry, ...], listener: ProgressListener) -> ProgressListener:
    """Tell of a transfer as of what follows that of `files`."""
    before = sum(file.size or 0 for file in files)
    return lambda told: listener(
        replace(
            told,
            done=told.done + before,
            total=None if told.total is None else told.total + before,
        )
    )
