"""A command line in the making, and the environment it runs in."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from pilotage.engines.external.versions import KnownFlags
from pilotage.errors import UsageError

_PASSED_ON: Final = re.compile(
    r"PATH|HOME|USER|LOGNAME|SHELL|LANG|LC_\w+|TZ|TMPDIR|LD_LIBRARY_PATH|LD_PRELOAD|XDG_\w+"
    r"|(CUDA|NVIDIA|NCCL|HIP|ROCM|ROCR|HSA|OMP|KMP|MKL|TORCH|TORCHINDUCTOR|TRITON|VLLM|GGML"
    r"|VK|GLOO|NEURON)_\w+"
)
"""Variables an engine may need. All others stay with us: tokens, keys, proxies, and
``LLAMA_ARG_*``, which would be options beside those of the spec."""

_SECRET: Final = re.compile(r"TOKEN$|_KEY$|SECRET|PASSWORD|CREDENTIAL", re.IGNORECASE)

_UNSAFE: Final = frozenset(
    {
        "VLLM_SERVER_DEV_MODE",  # opens routes that reconfigure the engine
        "VLLM_ALLOW_RUNTIME_LORA_UPDATING",  # lets clients load adapters
        "VLLM_ALLOW_INSECURE_SERIALIZATION",  # pickle over its queues
        "VLLM_PLUGINS",
    }
)


@dataclass(frozen=True, slots=True)
class Address:
    """Where an engine's server listens: a Unix socket where it can, else a port on loopback."""

    socket: str | None = None
    port: int | None = None


@dataclass(frozen=True, slots=True)
class Command:
    """What starts an engine's server.

    Attributes:
        argv: The program and its arguments; no shell, and no secret: anyone may list them.
        environment: All that it gets of variables, its API key among them.
        address: Where it will listen.
    """

    argv: tuple[str, ...]
    environment: Mapping[str, str]
    address: Address


@dataclass
class Arguments:
    """Collects the arguments that a version knows, and refuses those that it must not drop.

    Attributes:
        engine: The engine's name, for messages.
        known: The options of the version at hand.
        given: The spec fields that the user set.
        argv: What has been collected.
    """

    engine: str
    known: KnownFlags
    given: tuple[str, ...]
    argv: list[str] = field(default_factory=list)

    def add(self, where: str, spellings: tuple[str, ...], *values: str) -> bool:
        """Add an option under the first spelling that the version knows.

        Args:
            where: The spec field it stands for; "" for one of our own making.
            spellings: The option's names, the newest first.
            values: Its values; none for a switch.

        Returns:
            Whether it was added.

        Raises:
            UsageError: The version has none of them, and the user asked for it.
        """
        name = self.known.first(*spellings)
        if name is not None:
            self.argv += [name, *values]
            return True
        if where in self.given:
            raise UsageError(
                f"{self.engine} {self.known.version} has no option for it "
                f"(looked for {', '.join(spellings)})",
                where=where,
                hint="Leave it out, or use another version of the engine",
            )
        return False

    def refuse(self, where: str, why: str, hint: str) -> None:
        """Refuse a field that the engine has nothing for, if the user set it.

        Raises:
            UsageError: They did.
        """
        if where in self.given:
            raise UsageError(why, where=where, hint=hint)


def clean_environment(
    outer: Mapping[str, str], device: Mapping[str, str], own: Mapping[str, str]
) -> dict[str, str]:
    """The variables that an engine starts with.

    Args:
        outer: This process's variables; of these only what an engine may need is kept.
        device: Those of its device slice.
        own: Those that make up its settings; they win.
    """
    kept = {
        name: value
        for name, value in outer.items()
        if _PASSED_ON.fullmatch(name) and not _SECRET.search(name) and name not in _UNSAFE
    }
    quiet = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "DO_NOT_TRACK": "1"}
    return {**kept, **quiet, **device, **own}


def outer_environment() -> Mapping[str, str]:
    """This process's own variables."""
    return os.environ


def check_absolute(path: str) -> str:
    """A path that cannot be taken for an option.

    Raises:
        UsageError: It is not absolute.
    """
    if not Path(path).is_absolute():
        raise UsageError("the model's path is not absolute", where=path)
    return path
