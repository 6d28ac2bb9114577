"""What a file of a repository is, by its name and its neighbours; its bytes are not here yet."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from pathlib import PurePosixPath
from typing import Final


class Kind(StrEnum):
    """What a file of a repository is, by its name and its neighbours."""

    SAFETENSORS = "safetensors"
    GGUF = "GGUF"
    OPENVINO = "OpenVINO IR"
    ONNX = "ONNX"
    COMPANION = "companion"
    UNSAFE = "unsafe"
    OTHER = "other"


FORMATS: Final = (Kind.SAFETENSORS, Kind.GGUF, Kind.OPENVINO, Kind.ONNX)
"""Weight formats in order of preference."""

_BY_SUFFIX: Final = {
    ".safetensors": Kind.SAFETENSORS,
    ".gguf": Kind.GGUF,
    ".onnx": Kind.ONNX,
}
_UNSAFE: Final = re.compile(
    r"\.(?:bin|pt|pth|pkl|pickle|p|ckpt|joblib|dill|npy|npz|mar|nemo|t7|h5|hdf5|keras|pb"  # opened
    r"|engine|plan|ptl|pte|llamafile|exe|so|dll|dylib|jar|whl|egg"  # run
    r"|py|pyc|pyd|pyx|pyw|pth\.tar|sh|bash|bat|ps1|js|ipynb|lua|rb"  # programs
    r"|zip|tar|gz|tgz|bz2|xz|zst|7z|rar)$",  # anything may be inside
    re.IGNORECASE,
)
_TORCH: Final = re.compile(
    r"(?:pytorch|diffusion_pytorch|adapter|training|optimizer|scheduler|random_states|rng|consol"
    r"idated|learned_embeds|ip[-_]adapter|lora|tf_model|flax)",
    re.IGNORECASE,
)
_EXTERNAL_DATA: Final = re.compile(r"\.onnx[._]data(?:[._]?\d+)?$", re.IGNORECASE)
_COMPANION: Final = re.compile(
    r"(?:.*\.(?:json|jinja|jinja2|tiktoken|spm|bpe|vocab|ya?ml|md|txt|model)"
    r"|(?:licen[cs]e|notice|copying|use_policy)[^/]*)",
    re.IGNORECASE,
)


def kinds_of(paths: Sequence[str]) -> dict[str, Kind]:
    """The kind of every file of a listing."""
    everything = set(paths)
    return {path: _kind(path, everything) for path in paths}


def _kind(path: str, everything: set[str]) -> Kind:
    pure = PurePosixPath(path)
    suffix = pure.suffix.lower()
    if suffix in _BY_SUFFIX:
        return _BY_SUFFIX[suffix]
    if _EXTERNAL_DATA.search(path):
        return Kind.ONNX
    # Both beside each other, and not a name that PyTorch's libraries would unpickle.
    pair = {str(pure.with_suffix(".xml")), str(pure.with_suffix(".bin"))}
    if path in pair and pair <= everything and not _TORCH.match(pure.name):
        return Kind.OPENVINO
    if _UNSAFE.search(pure.name):
        return Kind.UNSAFE
    if not pure.name.startswith(".") and _COMPANION.fullmatch(pure.name):
        return Kind.COMPANION
    return Kind.OTHER


def has_weights(paths: Iterable[str], kinds: Mapping[str, Kind]) -> bool:
    """Whether there are weights among `paths` that can be opened safely."""
    return any(kinds[path] in FORMATS for path in paths)
