"""What a compiler is to us: one that makes networks of fixed shapes, and opens them again."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pilotage.engines.compiled.manifest import Operators, Target
from pilotage.engines.compiled.static_runner import Network
from pilotage.engines.config import EngineName
from pilotage.engines.encoders.runner import Runner


@dataclass(frozen=True, slots=True)
class Built:
    """A network that was compiled a moment ago.

    Attributes:
        network: Ready to run; None where there is no device for it here.
        operators: What the compiler did with its operators.
        file: Its file in the artifact's folder, if it has one.
    """

    network: Network | None
    operators: Operators
    file: str | None = None


class Compiler(Protocol):
    """A compiler with the model it is for."""

    target: Target
    engine: EngineName

    @property
    def name(self) -> str:
        """Compiler and version, such as "openvino 2026.4.1"."""

    @property
    def flags(self) -> tuple[str, ...]:
        """What it is told."""

    @property
    def device(self) -> str:
        """What it compiles on or for."""

    @property
    def dtype(self) -> str:
        """What is computed in: "fp32", "bf16" or "fp16"."""

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the model's inputs."""

    def prepare(self, folder: Path) -> None:
        """Write what all networks share into the artifact's folder."""

    def build(self, length: int, batch: int, folder: Path) -> Built:
        """Compile one network; its own file goes into the folder.

        Raises:
            ModelError: It cannot be compiled.
        """

    def reference(self) -> tuple[Runner, str]:
        """The uncompiled model to compare with, and what it is called."""

    def memory_bytes(self, folder: Path, shapes: list[tuple[int, int]]) -> int:
        """What the networks of these shapes take once they are loaded, estimated."""
