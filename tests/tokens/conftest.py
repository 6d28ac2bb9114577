"""Tokenizers that the tests of this folder share, and the GGUF writer of the catalog's tests."""

import sys
from pathlib import Path

import pytest

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "catalog")]

from gguf_writer import Typed, write_gguf  # noqa: E402
from vocabularies import sentencepiece_metadata  # noqa: E402

from pilotage.tokens import Tokenizer  # noqa: E402


@pytest.fixture(scope="session")
def smollm(embedded_model):
    return Tokenizer.open(embedded_model)


@pytest.fixture
def open_gguf(tmp_path):
    """Opens the tokenizer of a GGUF file with the given ``tokenizer.*`` metadata."""

    def opened(**metadata: Typed) -> Tokenizer:
        path = tmp_path / "model.gguf"
        keys = {
            f"tokenizer.{'' if key.startswith('chat') else 'ggml.'}{key}": value
            for key, value in metadata.items()
        }
        path.write_bytes(write_gguf(keys))
        return Tokenizer.open(path)

    return opened


@pytest.fixture
def sentencepiece(open_gguf):
    return open_gguf(**sentencepiece_metadata())
