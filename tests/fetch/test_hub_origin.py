"""The test hub is a hub: the genuine client downloads from it and believes it."""

from __future__ import annotations

import hashlib

import pytest
from hub_origin import STRANGER, TOKEN, Hub
from huggingface_hub import HfApi, snapshot_download
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from odd_origin import Blob

FILES = {
    "config.json": b'{"model_type": "tiny"}',
    "model.safetensors": Blob(3_000_000, seed=1),
    "onnx/model.onnx": b"onnx" * 100,
    "README.md": b"# A model",
}


@pytest.fixture(params=[False, True], ids=["itself", "through its CDN"])
def hub(request):
    with Hub(redirect_large=request.param) as hub:
        yield hub


@pytest.fixture(autouse=True)
def _no_progress_bars(monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_PROGRESS_BARS", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "token"))


def test_the_genuine_client_downloads_and_verifies(hub, tmp_path):
    commit = hub.add("org/model", FILES)
    hub.page = 2
    folder = tmp_path / "got"
    snapshot_download("org/model", endpoint=hub.url, local_dir=folder, token=TOKEN)
    for path, data in FILES.items():
        assert (folder / path).read_bytes() == Blob.of(data).bytes()
    checked = HfApi(endpoint=hub.url, token=TOKEN).verify_repo_checksums(
        "org/model", revision=commit, local_dir=folder
    )
    assert checked.checked_count == len(FILES)
    assert not checked.mismatches
    assert hub.cdn.secrets_seen() == []


def test_the_genuine_client_misses_what_is_altered_without_its_second_look(hub, tmp_path):
    hub.add("org/model", FILES)
    (hub.cdn if hub.redirect_large else hub.origin).fault(
        "corrupt", on="[bf]*", path="*model.safetensors" if not hub.redirect_large else "*", at=2000
    )
    folder = tmp_path / "got"
    snapshot_download("org/model", endpoint=hub.url, local_dir=folder, token=False)
    checked = HfApi(endpoint=hub.url, token=False).verify_repo_checksums(
        "org/model", local_dir=folder
    )
    assert [mismatch["path"] for mismatch in checked.mismatches] == ["model.safetensors"]


@pytest.mark.parametrize(
    ("name", "revision", "token", "error"),
    [
        ("org/none", "main", False, RepositoryNotFoundError),
        ("org/none", "main", TOKEN, RepositoryNotFoundError),
        ("org/model", "v9", False, RevisionNotFoundError),
        ("org/model", "main", "hf_wrong", HfHubHTTPError),
        ("org/gated", "main", False, GatedRepoError),
        ("org/gated", "main", STRANGER, GatedRepoError),
    ],
)
def test_the_genuine_client_reads_its_errors(hub, tmp_path, name, revision, token, *, error):
    hub.add("org/model", FILES)
    hub.add("org/gated", FILES, gated=True)
    with pytest.raises(error):
        snapshot_download(
            name, revision=revision, endpoint=hub.url, local_dir=tmp_path / "got", token=token
        )


def test_the_genuine_client_misses_files_that_are_not_there(hub, tmp_path):
    hub.add("org/model", FILES)
    api = HfApi(endpoint=hub.url, token=False)
    with pytest.raises(EntryNotFoundError):
        api.hf_hub_download("org/model", "none.txt", local_dir=tmp_path)


def test_made_bytes_are_the_same_from_any_start():
    blob = Blob(5_000_000, seed=3)
    whole = blob.bytes()
    assert len(whole) == blob.size
    assert hashlib.sha256(whole).hexdigest() == blob.sha256
    for start, stop in [(0, 1), (1_048_582, 1_048_585), (2_500_000, 4_900_001)]:
        assert b"".join(blob.pieces(start, stop)) == whole[start:stop]
