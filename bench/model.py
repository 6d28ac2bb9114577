"""The one model that every system of a comparison answers with."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from bench.peers.peer import NotMeasurable, python_of
from bench.processes import ROOT
from pilotage.fetch import default_home, fetch
from pilotage.spec.model import EMBEDDED_SHA256, EMBEDDED_SOURCE


def model_file(given: Path | None) -> Path:
    """`given`, or the embedded model, fetched into Pilotage's cache if it is not there yet.

    Raises:
        PilotageError: It cannot be had.
    """
    if given is not None:
        return fetch(str(given)).path
    return fetch(EMBEDDED_SOURCE, sha256=EMBEDDED_SHA256).path


def dense_folder(gguf: Path) -> Path:
    """The same model as a bf16 safetensors folder, made once and kept beside Pilotage's cache.

    Raises:
        NotMeasurable: It cannot be made.
    """
    name = hashlib.sha256(f"{gguf.resolve()} {gguf.stat().st_size}".encode()).hexdigest()[:16]
    folder = default_home() / "bench" / f"{gguf.stem}-bf16-{name}"
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        made = Path(scratch) / "model"
        done = subprocess.run(
            [python_of(".venv-bench", "bench-env"), "bench/dequantise.py", gguf, made],
            cwd=ROOT,
            env={**os.environ, "HF_HUB_OFFLINE": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise NotMeasurable(f"the model could not be dequantised: {done.stderr[-500:]}")
        shutil.move(made, folder)
    return folder
