"""A hub on this machine's loopback that the genuine ``huggingface_hub`` client downloads from.

::

    with Hub() as hub:
        commit = hub.add("org/model", {"config.json": b"{}", "model.safetensors": Blob(5 << 20)})
        hub.url                                  # HF_ENDPOINT
        hub.fault("status", on="revision", times=1, value=(429, {"Retry-After": "1"}))

Kinds of answers, for faults and counters: ``revision``, ``tree`` (a page of it), ``head`` and
``file`` (of a repo), ``plain`` (of `Hub.plain`), ``blob`` (on `Hub.cdn`), ``error`` and ``other``.
"""

from __future__ import annotations

import hashlib
import json
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from odd_origin import Answer, Blob, Fault, OddOrigin, Request

LFS = (".safetensors", ".gguf", ".onnx", ".bin", ".pt", ".pth", ".msgpack", ".h5", ".ckpt", ".pkl")
TOKEN = "hf_correct-horse"
STRANGER = "hf_not-on-the-list"  # a valid token whose owner has no access to gated repos


@dataclass
class Repo:
    """One repository: `refs` name commits, `commits` hold files by path."""

    gated: bool = False
    private: bool = False
    refs: dict[str, str] = field(default_factory=dict)
    commits: dict[str, dict[str, Blob]] = field(default_factory=dict)


class Hub:
    """Repositories behind the hub protocol, and plain files under ``/plain/``.

    Attributes:
        origin: The server: its `faults`, `seen`, `requests`, `sent`.
        cdn: A second origin on another port; large files are redirected there with
            ``redirect_large=True``, as huggingface.co does.
        plain: Files by path, served as ``/plain/{path}``.
        page: Entries on one page of a tree.
        rewrite: Called with the entries of a tree before they are sent: a hostile hub.
    """

    def __init__(self, *, tls: ssl.SSLContext | None = None, redirect_large: bool = False) -> None:
        self.repos: dict[str, Repo] = {}
        self.plain: dict[str, Blob] = {}
        self.page = 1000
        self.rewrite: Callable[[list[dict[str, Any]]], list[dict[str, Any]]] = list
        self.redirect_large = redirect_large
        self._large: dict[str, Blob] = {}
        self.origin = OddOrigin(self._route, tls=tls)
        self.cdn = OddOrigin(self._cdn, tls=tls)
        self.url = self.origin.url

    def __enter__(self) -> Hub:
        return self

    def __exit__(self, *error: object) -> None:
        self.origin.__exit__()
        self.cdn.__exit__()

    def add(
        self,
        name: str,
        files: Mapping[str, bytes | Blob],
        *,
        ref: str = "main",
        gated: bool = False,
        private: bool = False,
    ) -> str:
        """Commit these files; returns the commit, which `ref` now names."""
        repo = self.repos.setdefault(name, Repo(gated, private))
        blobs = {path: Blob.of(data) for path, data in files.items()}
        text = repr([(path, blob.size, blob.git_sha1) for path, blob in sorted(blobs.items())])
        commit = hashlib.sha1(f"{name} {text}".encode()).hexdigest()
        repo.commits[commit] = blobs
        repo.refs[ref] = commit
        return commit

    def replace(self, name: str, path: str, data: bytes | Blob) -> None:
        """Change a file under its commit, which no honest hub does."""
        for files in self.repos[name].commits.values():
            files[path] = Blob.of(data)

    def fault(self, do: str, **rest: Any) -> Fault:
        """Switch a fault on; see `odd_origin`."""
        return self.origin.fault(do, **rest)

    def _route(self, request: Request) -> Answer:
        parts = request.path.removeprefix("/").split("/")
        match parts:
            case ["api", "models", owner, name, "revision", *ref]:
                return self._revision(request, f"{owner}/{name}", "/".join(ref))
            case ["api", "models", owner, name]:
                return self._revision(request, f"{owner}/{name}", "main")
            case ["api", "models", owner, name, "tree", ref, *_]:
                return self._tree(request, f"{owner}/{name}", ref)
            case ["plain", *path] if "/".join(path) in self.plain:
                blob = self.plain["/".join(path)]
                headers = {"ETag": f'"{blob.git_sha1}"'}
                return Answer("plain", headers=headers, body=blob, ranges=True)
            case [owner, name, "resolve", ref, *path]:
                return self._file(request, f"{owner}/{name}", ref, "/".join(path))
        return _error(404, "", "Not found")

    def _refused(self, request: Request, name: str, *, bytes_too: bool) -> Answer | None:
        """What keeps this request from this repo, in the public hub's words."""
        repo = self.repos.get(name)
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        if token not in {"", TOKEN, STRANGER}:
            return _error(401, "", "Invalid credentials in Authorization header")
        if repo is None or (repo.private and token != TOKEN):
            status = 404 if token else 401
            return _error(status, "RepoNotFound", "Repository not found")
        if bytes_too and repo.gated and token != TOKEN:
            said = "Access to model is restricted"
            return _error(403 if token else 401, "GatedRepo", said)
        return None

    def _revision(self, request: Request, name: str, ref: str) -> Answer:
        if refused := self._refused(request, name, bytes_too=False):
            return refused
        repo = self.repos[name]
        commit = ref if ref in repo.commits else repo.refs.get(ref)
        if commit is None:
            return _error(404, "RevisionNotFound", f"Invalid rev id: {ref}")
        info = {
            "id": name,
            "sha": commit,
            "private": repo.private,
            "gated": "manual" if repo.gated else False,
            "siblings": [{"rfilename": path} for path in repo.commits[commit]],
            "tags": [],
            "downloads": 0,
        }
        return _json("revision", info)

    def _tree(self, request: Request, name: str, ref: str) -> Answer:
        if refused := self._refused(request, name, bytes_too=False):
            return refused
        repo = self.repos[name]
        commit = ref if ref in repo.commits else repo.refs.get(ref)
        if commit is None:
            return _error(404, "RevisionNotFound", f"Invalid rev id: {ref}")
        entries: list[dict[str, Any]] = []
        folders: set[str] = set()
        for path, blob in repo.commits[commit].items():
            for end in (i for i, c in enumerate(path) if c == "/"):
                if path[:end] not in folders:
                    folders.add(path[:end])
                    oid = hashlib.sha1(path[:end].encode()).hexdigest()
                    entries.append({"type": "directory", "oid": oid, "size": 0, "path": path[:end]})
            entry = {"type": "file", "oid": blob.git_sha1, "size": blob.size, "path": path}
            if path.endswith(LFS):
                entry["lfs"] = {"oid": blob.sha256, "size": blob.size, "pointerSize": 134}
            entries.append(entry)
        entries = self.rewrite(entries)
        start = int(request.query.get("cursor", 0))
        answer = _json("tree", entries[start : start + self.page])
        if start + self.page < len(entries):
            more = f"{self.url}/api/models/{name}/tree/{ref}?recursive=True&cursor="
            answer.headers["Link"] = f'<{more}{start + self.page}>; rel="next"'
        return answer

    def _file(self, request: Request, name: str, ref: str, path: str) -> Answer:
        if refused := self._refused(request, name, bytes_too=True):
            return refused
        repo = self.repos[name]
        commit = ref if ref in repo.commits else repo.refs.get(ref)
        if commit is None:
            return _error(404, "RevisionNotFound", f"Invalid rev id: {ref}")
        blob = repo.commits[commit].get(path)
        if blob is None:
            return _error(404, "EntryNotFound", "Entry not found")
        large = path.endswith(LFS)
        etag = f'"{blob.sha256 if large else blob.git_sha1}"'
        headers = {"X-Repo-Commit": commit, "ETag": etag}
        kind = "head" if request.method == "HEAD" else "file"
        if large and self.redirect_large:
            self._large[blob.sha256] = blob
            headers |= {
                "X-Linked-Etag": etag,
                "X-Linked-Size": str(blob.size),
                "Location": f"{self.cdn.url}/blob/{blob.sha256}?X-Amz-Signature=sig-5ecret",
            }
            return Answer(kind, 302, headers)
        return Answer(kind, headers=headers, body=blob, ranges=True)

    def _cdn(self, request: Request) -> Answer:
        blob = self._large.get(request.path.removeprefix("/blob/"))
        if blob is None or request.query.get("X-Amz-Signature") != "sig-5ecret":
            return Answer("error", 403, body=Blob.of(b"<Error>AccessDenied</Error>"))
        return Answer("blob", headers={"ETag": f'"{blob.sha256}"'}, body=blob, ranges=True)


def resolve_url(hub: Hub, name: str, commit: str, path: str) -> str:
    return f"{hub.url}/{name}/resolve/{commit}/{quote(path)}"


def _json(kind: str, data: Any) -> Answer:
    body = Blob.of(json.dumps(data).encode())
    return Answer(kind, headers={"Content-Type": "application/json"}, body=body)


def _error(status: int, code: str, message: str) -> Answer:
    headers = {"Content-Type": "application/json", "X-Error-Message": message}
    if code:
        headers["X-Error-Code"] = code
    return Answer("error", status, headers, Blob.of(json.dumps({"error": message}).encode()))
