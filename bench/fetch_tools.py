"""The tools that `bench/fetch.py` compares, each a process of its own.

``python -m bench.fetch_tools TOOL FOLDER`` downloads ``bench/model`` from ``HF_ENDPOINT`` into the
empty FOLDER and prints a `Took` as JSON. The clock runs from the call of the tool to its return,
imports left out; curl is a program and is timed whole.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from bench.fetch_origin import REPO

HUB, OURS, OURS_BARE, CURL = "huggingface_hub", "pilotage", "pilotage-unverified", "curl"

TITLES = {
    OURS: ("pilotage fetch", "sha256 while downloading, fsync, publish"),
    HUB: ("huggingface_hub", "snapshot_download, then verify_repo_checksums; no fsync"),
    OURS_BARE: ("pilotage, no sha256", "the transfer alone, hashing switched off for this bench"),
    CURL: ("curl", "one stream, nothing verified, no fsync"),
}
"""Each tool's name, and what it does."""


class Took(msgspec.Struct, frozen=True):
    """What a tool's own process measured.

    Attributes:
        wall_s: Seconds from the call to the return.
        flush_s: Of these, waiting for the disk to have the bytes (fsync); 0 when the tool does not.
        verify_s: Of these, verifying after the download; 0 when that happens meanwhile, or never.
        version: The tool's.
    """

    wall_s: float
    flush_s: float
    verify_s: float
    version: str


def pilotage(folder: Path) -> Took:
    """``fetch()``, as ``pilotage fetch`` calls it."""
    import pilotage.fetch.sources.hub  # noqa: F401, PLC0415 - else it is imported on the clock
    from pilotage.fetch import fetch  # noqa: PLC0415 - outside the clock, in this process alone
    from pilotage.fetch.store import ready, store  # noqa: PLC0415

    flushed = 0.0

    def flush(path: Path) -> None:
        nonlocal flushed
        began = time.perf_counter()
        flush_itself(path)
        flushed += time.perf_counter() - began

    flush_itself = ready.flush
    for module in (ready, store):
        module.flush = flush  # type: ignore[attr-defined]  # to time it, it does what it did
    began = time.perf_counter()
    model = fetch(f"hf://{REPO}", home=folder)
    wall_s = time.perf_counter() - began
    if model.from_cache or any(file.sha256 is None for file in model.manifest.files):
        raise RuntimeError("not a cold, verified fetch")
    return Took(wall_s, flushed, 0.0, _version("pilotage"))


def pilotage_unverified(folder: Path) -> Took:
    """The source and its transfer without digests, and so without the store, which wants them."""
    from pilotage.fetch.progress import unheard  # noqa: PLC0415
    from pilotage.fetch.sources.hub import HubSource  # noqa: PLC0415
    from pilotage.fetch.sources.network import Network  # noqa: PLC0415
    from pilotage.fetch.transfer import TransferOptions  # noqa: PLC0415

    network = Network(transfer=TransferOptions(hashing=False))
    scratch = folder / "scratch"
    scratch.mkdir()
    began = time.perf_counter()
    source = HubSource.parse(f"hf://{REPO}", network=network)
    source.fetch(source.resolve(), folder / "files", scratch, unheard)
    return Took(time.perf_counter() - began, 0.0, 0.0, _version("pilotage"))


def huggingface_hub(folder: Path) -> Took:
    """Both of its calls: the first checks sizes only."""
    from huggingface_hub import HfApi, snapshot_download  # noqa: PLC0415

    began = time.perf_counter()
    snapshot_download(REPO, cache_dir=folder)
    arrived = time.perf_counter()
    verified = HfApi().verify_repo_checksums(REPO, cache_dir=folder)
    ended = time.perf_counter()
    if verified.mismatches or verified.missing_paths or not verified.checked_count:
        raise RuntimeError(f"huggingface_hub did not verify: {verified}")
    return Took(ended - began, 0.0, ended - arrived, _version("huggingface_hub"))


TOOLS: Mapping[str, Callable[[Path], Took]] = {
    OURS: pilotage,
    OURS_BARE: pilotage_unverified,
    HUB: huggingface_hub,
}


def environment(url: str, home: Path) -> dict[str, str]:
    """This process's, with the hub at `url`, no token, no proxy, no Xet, no progress bars."""
    dropped = ("HF_", "HUGGING", "PILOTAGE_")
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(dropped) and not name.lower().endswith("_proxy")
    }
    return kept | {
        "HF_ENDPOINT": url,
        "HF_HOME": str(home),
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "HF_HUB_DISABLE_IMPLICIT_TOKEN": "1",
    }


def _version(package: str) -> str:
    from importlib.metadata import version  # noqa: PLC0415

    return version(package)


if __name__ == "__main__":
    print(msgspec.json.encode(TOOLS[sys.argv[1]](Path(sys.argv[2]))).decode())
