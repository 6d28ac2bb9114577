"""Tokenizers of three kinds, from the tests of `tokens`."""

import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[2]
for folder in (TESTS / "tokens", TESTS / "catalog"):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))

from gguf_writer import write_gguf  # noqa: E402
from vocabularies import byte_level_metadata, sentencepiece_metadata  # noqa: E402

from pilotage.tokens import Tokenizer  # noqa: E402


@pytest.fixture(scope="session")
def smollm(embedded_model):
    return Tokenizer.open(embedded_model)


@pytest.fixture(scope="session")
def open_metadata(tmp_path_factory):
    """Opens the tokenizer of a GGUF file with the given ``tokenizer.ggml.*`` metadata."""

    def opened(metadata):
        path = tmp_path_factory.mktemp("model") / "model.gguf"
        path.write_bytes(
            write_gguf({f"tokenizer.ggml.{key}": value for key, value in metadata.items()})
        )
        return Tokenizer.open(path)

    return opened


@pytest.fixture(scope="session")
def sentencepiece(open_metadata):
    return open_metadata(sentencepiece_metadata())


@pytest.fixture(scope="session")
def byte_level(open_metadata):
    """A vocabulary with one word only, so that texts are of common words in pieces."""
    return open_metadata(byte_level_metadata())
