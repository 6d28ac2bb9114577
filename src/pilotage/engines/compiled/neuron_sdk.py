"""The few calls of the Neuron SDK that Pilotage makes, one class a library.

``torch_neuronx`` compiles for NeuronCores of version 2 and later (Inferentia2, Trainium),
``torch_neuron`` for version 1 (Inferentia); their interfaces are those of the AWS Neuron
documentation (API references of ``torch_neuronx.trace``, ``torch_neuron.trace`` and the core
placement of both, read 2026-11).
"""

from __future__ import annotations

import importlib
from contextlib import AbstractContextManager
from typing import Any, Final, Protocol

from pilotage.catalog.neuron_chips import NEURON_CHIPS, NeuronChipModel, chip_model
from pilotage.engines.compiled.neuron_advice import where_to_run
from pilotage.errors import ModelError, UsageError

DTYPES: Final = ("fp32", "bf16", "fp16")


class NeuronSdk(Protocol):
    """A library that compiles torch models for NeuronCores."""

    @property
    def name(self) -> str:
        """Library and version."""

    def flags(self, dtype: str) -> tuple[str, ...]:
        """What the compiler is told, to compute matrix products in `dtype`."""

    def trace(self, model: Any, example: tuple[Any, ...], flags: tuple[str, ...]) -> Any:
        """Compile a model for the shapes of its example inputs, into a TorchScript module.

        Raises:
            ModelError: It cannot be compiled; the message names the operators.
        """

    def on_core(self, core: int) -> AbstractContextManager[object]:
        """Modules that are loaded inside go to that one of this process's visible cores."""


class TorchNeuronX:
    """``torch_neuronx``. See `NeuronSdk`.

    Args:
        module: The imported library.
        family: Instance family to compile for, such as ``inf2``.
        on_device: Whether NeuronCores are here. Without, tracing runs on the CPU alone.
    """

    def __init__(self, module: Any, family: str, *, on_device: bool) -> None:
        self._module = module
        self._family = family
        self._on_device = on_device
        self.name = f"torch-neuronx {getattr(module, '__version__', 'of unknown version')}"

    def flags(self, dtype: str) -> tuple[str, ...]:
        """``neuronx-cc``'s: casts for matrix products only, or none."""
        cast = (
            ("--auto-cast=none",)
            if dtype == "fp32"
            else ("--auto-cast=matmult", f"--auto-cast-type={dtype}")
        )
        return (f"--target={self._family}", "--model-type=transformer", *cast)

    def trace(self, model: Any, example: tuple[Any, ...], flags: tuple[str, ...]) -> Any:
        """Compile the whole graph to one NEFF; an operator it does not have is an error."""
        extra: dict[str, Any] = {} if self._on_device else {"cpu_backend": True}
        try:
            return self._module.trace(model, example, compiler_args=list(flags), **extra)
        except Exception as error:  # the compiler's own, of no common base
            unsupported = self._unsupported(model, example)
            raise ModelError(
                f"neuronx-cc cannot compile it: {str(error)[:300]}{unsupported}",
                where=f"{self._family}, {tuple(example[0].shape)}",
            ) from error

    def on_core(self, core: int) -> AbstractContextManager[object]:
        """One core a module."""
        context: AbstractContextManager[object] = self._module.experimental.neuron_cores_context(
            start_nc=core, nc_count=1
        )
        return context

    def _unsupported(self, model: Any, example: tuple[Any, ...]) -> str:
        """The operators that are to blame, by the library's own analysis, if it finds any."""
        try:
            found = self._module.analyze(model, example, is_hf_transformers=True, cleanup=True)
            kinds = sorted({str(one["kind"]) for one in found["unsupported_operators"]})
        except Exception:  # noqa: BLE001  only a further word about an error that is told anyway
            return ""
        return f"; operators it does not have: {', '.join(kinds)}" if kinds else ""


class TorchNeuron:
    """``torch_neuron``, for Inferentia 1. See `NeuronSdk`.

    Operators that it does not have stay in the graph and run on the host's CPU.
    """

    def __init__(self, module: Any) -> None:
        self._module = module
        self.name = f"torch-neuron {getattr(module, '__version__', 'of unknown version')}"

    def flags(self, dtype: str) -> tuple[str, ...]:
        """``neuron-cc``'s."""
        if dtype == "fp32":
            return ("--fast-math", "none")
        return ("--fast-math", f"fp32-cast-matmult-{dtype}")

    def trace(self, model: Any, example: tuple[Any, ...], flags: tuple[str, ...]) -> Any:
        """Compile what can be; the rest stays TorchScript."""
        try:
            return self._module.trace(model, example, compiler_args=list(flags))
        except Exception as error:  # the compiler's own, of no common base
            raise ModelError(
                f"neuron-cc cannot compile it: {str(error)[:300]}",
                where=f"inf1, {tuple(example[0].shape)}",
            ) from error

    def on_core(self, core: int) -> AbstractContextManager[object]:
        """One core a module."""
        context: AbstractContextManager[object] = self._module.experimental.neuron_cores_context(
            start_nc=core, nc_count=1
        )
        return context


def chip_of_family(family: str) -> NeuronChipModel:
    """The chip of an instance family, such as ``inf2``.

    Raises:
        UsageError: There is none.
    """
    chip = chip_model(family)
    if chip is None:
        known = ", ".join(name for model in NEURON_CHIPS for name in model.families)
        raise UsageError(f'there is no Neuron chip "{family}"', where="--chip", hint=f"Use {known}")
    return chip


def open_sdk(chip: NeuronChipModel, *, on_device: bool, command: str) -> NeuronSdk:
    """The library for a chip.

    Args:
        chip: What to compile for or run on.
        on_device: Whether NeuronCores are here.
        command: What the user asked for, to be repeated where it can run.

    Raises:
        UsageError: The library is not installed; the hint says where it is.
    """
    name = "torch_neuron" if chip.core_version == 1 else "torch_neuronx"
    try:
        module = importlib.import_module(name)
    except ImportError as error:
        raise UsageError(
            f"the Neuron SDK ({name.replace('_', '-')}) is not installed here",
            where=chip.name,
            hint=where_to_run(chip, command),
        ) from error
    if chip.core_version == 1:
        return TorchNeuron(module)
    return TorchNeuronX(module, chip.families[0], on_device=on_device)
