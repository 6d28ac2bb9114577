"""Facts about models (and, as it grows, about hardware and prices)."""

from pilotage.catalog.architecture import ModelShape
from pilotage.catalog.gguf import GGUFArray, GGUFHeader, TensorInfo, read_header, read_header_of
from pilotage.catalog.safetensors import count_values, read_safetensors_header
from pilotage.catalog.vocabulary import TokenType, Vocabulary

__all__ = [
    "GGUFArray",
    "GGUFHeader",
    "ModelShape",
    "TensorInfo",
    "TokenType",
    "Vocabulary",
    "count_values",
    "read_header",
    "read_header_of",
    "read_safetensors_header",
]
