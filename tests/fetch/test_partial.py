"""Heads of remote files, read without fetching the rest."""

from __future__ import annotations

import io

import pytest
from hub_origin import Hub
from odd_origin import Blob

from pilotage.errors import SourceError
from pilotage.fetch import look_into

LARGE = Blob(40 << 20, seed=3)


@pytest.fixture
def hub(monkeypatch, tmp_path, home):
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_TOKEN_PATH", "PILOTAGE_FETCH_ALLOW"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    with Hub() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        hub.add("org/model", {"config.json": b"{}", "model.safetensors": LARGE})
        yield hub


def test_the_head_of_a_large_file_costs_little(hub):
    with look_into("hf://org/model", include=["*.safetensors"]) as model:
        (entry,) = model.files
        file = model.open(entry)
        head = io.BufferedReader(file).read(1000)

        assert head == LARGE.bytes()[:1000]
        assert file.size == 40 << 20
        assert file.fetched == 256 << 10


def test_all_of_it_can_be_read_in_growing_blocks(hub):
    with look_into("hf://org/model", include=["*.safetensors"]) as model:
        file = model.open(model.files[0])
        assert io.BufferedReader(file).read() == LARGE.bytes()
        assert file.fetched == file.size
    # 256 KiB, doubled up to 8 MiB: five small ones and five large.
    assert hub.origin.requests["file"] == 10


def test_a_cut_answer_is_asked_for_again(hub):
    hub.fault("truncate", on="file", times=1)
    with look_into("hf://org/model", include=["*.safetensors"]) as model:
        file = model.open(model.files[0])
        assert io.BufferedReader(file).read(5000) == LARGE.bytes()[:5000]


def test_a_source_without_ranges_says_what_to_do():
    with (
        pytest.raises(SourceError, match="no ranges") as error,
        look_into("pypi://some-wheel==1.0/model.gguf"),
    ):
        pass
    assert "pilotage fetch" in str(error.value)


def test_a_model_that_is_not_there_is_said_so(hub):
    with pytest.raises(SourceError), look_into("hf://org/other"):
        pass
