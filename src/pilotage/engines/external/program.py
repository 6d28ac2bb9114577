"""Which program runs an engine."""

from __future__ import annotations

import os
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

from pilotage.engines.external.settings import ExternalEngine
from pilotage.errors import UsageError


def find_program(engine: ExternalEngine, command: str | None, search_path: str | None) -> str:
    """The absolute path of a Python that has vLLM, or of llama-server.

    Args:
        engine: Which engine.
        command: The spec's ``serving.engine_command``: a path or a name on the PATH.
        search_path: The PATH.

    Raises:
        UsageError: There is none.
    """
    if command is not None:
        found = shutil.which(os.path.expanduser(command), path=search_path)  # noqa: PTH111 may be a name
        if found is None:
            raise UsageError(
                "there is no such program, or it may not be run",
                where=f"serving.engine_command: {command}",
                hint="Give the path of a Python that has vLLM, or of llama-server",
            )
        return _python_of(found) if engine == "vllm" else str(Path(found).absolute())
    if engine == "llamacpp":
        found = shutil.which("llama-server", path=search_path)
        if found is None:
            raise UsageError(
                "llama-server is not on the PATH",
                where="model.engine",
                hint="Install llama.cpp, or say where it is with serving.engine_command",
            )
        return str(Path(found).absolute())
    found = shutil.which("vllm", path=search_path)
    if found is not None:
        return _python_of(found)
    if find_spec("vllm") is not None:
        return sys.executable
    raise UsageError(
        "vLLM is neither on the PATH nor installed beside Pilotage",
        where="model.engine",
        hint="Install it in an environment of its own (python -m venv vllm && "
        "vllm/bin/pip install vllm) and set serving.engine_command to vllm/bin/python",
    )


def _python_of(program: str) -> str:
    """The Python beside a ``vllm`` script; any other program is one itself.

    Not resolved: a virtual environment's Python is a link, and what it is depends on its place.
    """
    path = Path(program).absolute()
    if path.name == "vllm":
        for name in ("python", "python3"):
            if (path.parent / name).exists():
                return str(path.parent / name)
    return str(path)
