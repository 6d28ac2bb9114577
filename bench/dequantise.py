"""A GGUF file as an ordinary bf16 safetensors folder, for engines that do not read GGUF.

Runs in ``.venv-bench``: ``.venv-bench/bin/python bench/dequantise.py MODEL.gguf FOLDER``. The
weights are the same numbers that the GGUF holds, rounded to bf16, so that every system of the
benchmark answers with the same model.
"""

# .venv-bench has torch and transformers; the environment that checks types has not.
# mypy: disable-error-code="import-not-found"

from __future__ import annotations

import sys
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig


def dequantise(gguf: Path, folder: Path) -> None:
    """Write `gguf` to `folder` as bf16 safetensors with its tokenizer and chat template."""
    model = AutoModelForCausalLM.from_pretrained(
        gguf.parent,
        gguf_file=gguf.name,
        quantization_config=GgufConfig(dequantize=True),
        dtype=torch.bfloat16,
    )
    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


if __name__ == "__main__":
    dequantise(Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve())
