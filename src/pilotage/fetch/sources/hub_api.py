"""The calls of the hub protocol: a revision to its commit, the tree of a commit, the gate.

Two calls (and one for each further thousand files) resolve a model; there is no call a file, as
the public hub counts them: 500 an address in five minutes, 3,000 for files.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, TypeVar
from urllib.parse import quote

from pilotage.errors import SourceError
from pilotage.fetch.http import Follow, HttpClient, StatusError, Url
from pilotage.fetch.http.headers import next_page
from pilotage.fetch.manifest import FileEntry
from pilotage.fetch.retry import Retry
from pilotage.fetch.sources.hub_token import HubToken

T = TypeVar("T")

DEFAULT_ENDPOINT: Final = "https://huggingface.co"
MAX_FILES: Final = 20_000
"""A repository with more files than this is not one model."""

_MAX_PAGE: Final = 32 << 20
_COMMIT: Final = re.compile(r"[0-9a-f]{40}")
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_MAX_SIZE: Final = 1 << 53


def endpoint_of_environment() -> Url:
    """``HF_ENDPOINT``, read now (huggingface_hub reads it when it is imported), or the public hub.

    Raises:
        SourceError: It is no URL.
    """
    text = os.environ.get("HF_ENDPOINT", "").strip() or DEFAULT_ENDPOINT
    try:
        url = Url.parse(text.rstrip("/"))
    except SourceError as error:
        error.hint = "HF_ENDPOINT must be the address of a hub, such as https://huggingface.co"
        raise
    if url.query:
        raise SourceError("HF_ENDPOINT is the address of a hub, without a query", where=str(url))
    return url


class HubApi:
    """One repository of one hub.

    Args:
        endpoint: The hub; the only origin that sees the token.
        repo: ``owner/name``.
        token: None for an anonymous visitor.
        client: Makes the calls.
        retry: Makes them again.
        where: The source, for messages.
    """

    def __init__(
        self,
        endpoint: Url,
        repo: str,
        token: HubToken | None,
        *,
        client: HttpClient,
        retry: Retry,
        where: str,
    ) -> None:
        self.endpoint = endpoint
        self.headers = token.headers if token is not None else {}
        self._repo = repo
        self._token = token
        self.client = client
        self._retry = retry
        self._where = where

    def commit(self, revision: str) -> tuple[str, bool]:
        """What a branch, tag or commit is now.

        Returns:
            The commit's 40 hex digits, and whether the repository is gated.

        Raises:
            SourceError: There is no such repository or revision, or it cannot be had.
        """
        url = self._url(f"api/models/{self._repo}/revision/{quote(revision, safe='')}")
        with self.explained(revision):
            info, _ = self._call(lambda: self._json(url))
        commit = info.get("sha") if isinstance(info, dict) else None
        if not isinstance(commit, str) or not _COMMIT.fullmatch(commit):
            raise self._not_a_hub("it names no commit")
        if _COMMIT.fullmatch(revision) and commit != revision:
            raise self._not_a_hub("it answers with another commit than the one asked for")
        return commit, bool(info.get("gated"))

    def tree(self, commit: str) -> list[FileEntry]:
        """All files of a commit. Their names are not checked yet.

        Raises:
            SourceError: The listing cannot be had, or is malformed.
        """
        page: Url | None = self._url(f"api/models/{self._repo}/tree/{commit}?recursive=true")
        files: dict[str, FileEntry] = {}
        seen: set[str] = set()
        while page is not None:
            if page.full in seen or len(files) > MAX_FILES:
                raise self._not_a_hub(
                    f"its listing is endless, or of more than {MAX_FILES:,} files"
                )
            seen.add(page.full)
            here = page
            with self.explained(commit):
                entries, head = self._call(lambda here=here: self._json(here))  # type: ignore[misc]
                page = next_page(head.headers, here)
            if not isinstance(entries, list):
                raise self._not_a_hub("its listing is no list")
            for entry in entries:
                file = self._entry(entry)
                if file is not None:
                    if file.path in files:
                        raise self._not_a_hub(f"its listing names {file.path[:80]!r} twice")
                    files[file.path] = file
        return list(files.values())

    def check_gate(self, commit: str, path: str) -> None:
        """Ask for the head of one file of a gated repository, before any byte is fetched.

        Raises:
            SourceError: There is no token, or its owner has no access.
        """
        if self._token is None:
            raise self._gated()
        url = self.file_url(commit, path)
        with self.explained(commit):
            self._call(lambda: self.client.head(url, self.headers, follow=Follow.NONE))

    def file_url(self, commit: str, path: str) -> Url:
        """Where a file of a commit is; may redirect to where large files are kept."""
        return self._url(f"{self._repo}/resolve/{commit}/{quote(path)}")

    @contextmanager
    def explained(self, revision: str) -> Iterator[None]:
        """Say the hub's refusals in words.

        Raises:
            SourceError: What `StatusError` was raised within.
        """
        try:
            yield
        except StatusError as error:
            refused = self._refusal(error, revision)
            if refused is None:
                raise
            raise refused from None

    def _refusal(self, error: StatusError, revision: str) -> SourceError | None:
        """The hub's ``X-Error-Code`` and status as an error; None if it says no more than that."""
        token = self._token
        if not str(error.where).startswith(f"{self.endpoint.origin}/"):
            return None  # where the hub sent us to is another server, with other reasons
        match error.status, error.headers.get("X-Error-Code", ""):
            case _, "GatedRepo":
                return self._gated()
            case _, "RevisionNotFound":
                message = f"{self._repo} has no revision {revision!r}"
                hint = "A revision is a branch, a tag or a commit; without one, it is main"
            case _, "EntryNotFound":
                message, hint = "a file of the listing is not there", "Fetch again"
            case 401, code if token is not None and code != "RepoNotFound":
                message = f"the hub does not accept the token from {token.found_in}"
                hint = (
                    f"Make a new token at {self.endpoint.origin}/settings/tokens, or remove this "
                    "one if the model is public"
                )
            case (401 | 404, _) | (_, "RepoNotFound"):
                message = f"{self.endpoint.origin} has no model {self._repo}, or it is private"
                hint = "Check the name (owner/name); if it is private, " + (
                    f"the token from {token.found_in} has no access to it"
                    if token is not None
                    else "set HF_TOKEN to a token that has access"
                )
            case 403, _:
                message = "the hub does not allow this"
                hint = (
                    "The token may lack the permission to read this repository"
                    if token is not None
                    else "Set HF_TOKEN to a token that has access"
                )
            case _:
                return None
        return self._error(message, hint)

    def _gated(self) -> SourceError:
        page = f"{self.endpoint.origin}/{self._repo}"
        if self._token is None:
            return self._error(
                "the model is gated: its owner wants to know who downloads it",
                f"Accept its terms at {page}, make a token at "
                f"{self.endpoint.origin}/settings/tokens, and set HF_TOKEN to it",
            )
        return self._error(
            f"the model is gated, and the owner of the token from {self._token.found_in} has no "
            "access to it",
            f"Accept its terms at {page} with the account that the token belongs to",
        )

    def _entry(self, entry: Any) -> FileEntry | None:
        """A file of the listing; None for a folder. Nothing in it is trusted."""
        if not isinstance(entry, dict) or not isinstance(entry.get("path"), str):
            raise self._not_a_hub("its listing holds something that is no file")
        if entry.get("type") != "file":
            return None
        path, oid, lfs = entry["path"], entry.get("oid"), entry.get("lfs")
        size = lfs.get("size") if isinstance(lfs, dict) else entry.get("size")
        if type(size) is not int or not 0 <= size <= _MAX_SIZE:
            raise self._not_a_hub(f"it gives no size for {path[:80]!r}")
        if isinstance(lfs, dict):
            sha256 = str(lfs.get("oid")).removeprefix("sha256:")
            if _SHA256.fullmatch(sha256):
                return FileEntry(path, size, sha256)
        elif isinstance(oid, str) and _COMMIT.fullmatch(oid):
            return FileEntry(path, size, git_sha1=oid)
        raise self._not_a_hub(f"it gives no checksum for {path[:80]!r}")

    def _json(self, url: Url) -> tuple[Any, Any]:
        return self.client.get_json(url, self.headers, limit=_MAX_PAGE)

    def _call(self, fn: Callable[[], T]) -> T:
        return self._retry.call(fn, origin=self.endpoint.origin)

    def _url(self, path: str) -> Url:
        return Url.parse(f"{self.endpoint.full.rstrip('/')}/{path}")

    def _not_a_hub(self, why: str) -> SourceError:
        return self._error(
            f"{self.endpoint.origin} does not answer as a hub does: {why}", "Check HF_ENDPOINT"
        )

    def _error(self, message: str, hint: str) -> SourceError:
        return SourceError(message, where=self._where, hint=hint)
